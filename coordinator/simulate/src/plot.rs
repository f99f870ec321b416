//! Line charts of several models as inline SVG: labelled at the line's end, told apart by dashes as
//! well as by colour.

use std::fmt::Write as _;

use askama::Template;

/// Edges of the drawing area inside the 420 x 236 view box; labels stand right of it.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 300.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 188.0;
/// Least distance between two labels.
const LINE_HEIGHT: f64 = 12.5;

/// One line.
pub(crate) struct Series {
    pub(crate) label: &'static str,
    /// Class of the style sheet.
    pub(crate) class: &'static str,
    pub(crate) points: Vec<Point>,
}

/// One point: where, how high, how far it varies over seeds, and whether it is a projection.
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) std: f64,
    pub(crate) hollow: bool,
}

/// One chart, in view-box coordinates.
#[derive(Template)]
#[template(path = "chart.html")]
pub(crate) struct Chart {
    title: String,
    x_label: &'static str,
    y_label: &'static str,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    lines: Vec<Line>,
}

struct Tick {
    at: String,
    label: String,
}

struct Line {
    class: &'static str,
    path: String,
    /// Whiskers of one standard deviation each way.
    whiskers: String,
    marks: Vec<Mark>,
    label: &'static str,
    label_y: String,
}

struct Mark {
    x: String,
    y: String,
    hollow: bool,
}

/// Names and units of a chart.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) x_label: &'static str,
    pub(crate) y_label: &'static str,
    /// Whether steps of x multiply: budgets and populations do.
    pub(crate) logarithmic: bool,
    /// What stands under a point in place of its number, in order of x from 0.
    pub(crate) names: Option<Vec<String>>,
}

impl Chart {
    /// Draws the lines in order; the last is on top.
    pub(crate) fn new(frame: Frame, series: &[Series]) -> Self {
        let points = || series.iter().flat_map(|series| &series.points);
        let x = Axis::over(
            points().map(|point| point.x),
            frame.logarithmic,
            LEFT + 8.0,
            RIGHT - 8.0,
        );
        let heights = points().flat_map(|point| [point.y - point.std, point.y + point.std]);
        let y = Axis::with_zero(heights, BOTTOM, TOP);
        let mut lines: Vec<Line> = series
            .iter()
            .filter(|series| !series.points.is_empty())
            .map(|series| line(series, &x, &y))
            .collect();
        spread_labels(&mut lines, series, &y);
        let mut values: Vec<f64> = points().map(|point| point.x).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let name = |(place, value): (usize, f64)| Tick {
            at: coordinate(x.place(value)),
            label: frame
                .names
                .as_ref()
                .and_then(|names| names.get(place).cloned())
                .unwrap_or_else(|| short(value)),
        };
        let x_ticks = thinned(values.into_iter().enumerate().map(name).collect());
        Self {
            title: frame.title,
            x_label: frame.x_label,
            y_label: frame.y_label,
            x_ticks,
            y_ticks: y.ticks(),
            lines,
        }
    }
}

fn line(series: &Series, x: &Axis, y: &Axis) -> Line {
    let (mut path, mut whiskers, mut marks) = (String::new(), String::new(), Vec::new());
    for point in &series.points {
        let (at, height) = (coordinate(x.place(point.x)), coordinate(y.place(point.y)));
        // Writing to a String cannot fail.
        let _ = write!(
            path,
            "{}{at} {height}",
            if path.is_empty() { 'M' } else { 'L' }
        );
        if point.std > 0.0 {
            let (low, high) = (y.place(point.y - point.std), y.place(point.y + point.std));
            let _ = write!(whiskers, "M{at} {}V{}", coordinate(low), coordinate(high));
        }
        marks.push(Mark {
            x: at,
            y: height,
            hollow: point.hollow,
        });
    }
    Line {
        class: series.class,
        path,
        whiskers,
        marks,
        label: series.label,
        label_y: String::new(),
    }
}

/// Puts each label beside the end of its line, moved apart where lines end together.
fn spread_labels(lines: &mut [Line], series: &[Series], y: &Axis) {
    let ends = series
        .iter()
        .filter_map(|series| series.points.last())
        .map(|point| y.place(point.y));
    let mut order: Vec<(usize, f64)> = ends.enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut above = f64::NEG_INFINITY;
    for (_, at) in &mut order {
        *at = at.max(above + LINE_HEIGHT);
        above = *at;
    }
    let mut below = BOTTOM + LINE_HEIGHT;
    for (place, at) in order.into_iter().rev() {
        let at = at.min(below - LINE_HEIGHT);
        below = at;
        lines[place].label_y = coordinate(at);
    }
}

/// Drops ticks whose labels would run into the one before.
fn thinned(ticks: Vec<Tick>) -> Vec<Tick> {
    let mut kept: Vec<Tick> = Vec::new();
    let mut end = f64::NEG_INFINITY;
    for tick in ticks {
        let (at, half) = (
            tick.at.parse().unwrap_or(0.0),
            3.4 * tick.label.len() as f64,
        );
        if at - half > end {
            end = at + half + 3.0;
            kept.push(tick);
        }
    }
    kept
}

/// Maps a range of values onto a stretch of the view box.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    logarithmic: bool,
}

impl Axis {
    /// Exactly over the values.
    fn over(values: impl Iterator<Item = f64>, logarithmic: bool, start: f64, end: f64) -> Self {
        let (low, high) =
            bounds(values.map(|value| if logarithmic { value.log10() } else { value }));
        Self {
            low,
            high: if high > low { high } else { low + 1.0 },
            start,
            end,
            logarithmic,
        }
    }

    /// Over the values and 0, with a little room.
    fn with_zero(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (low, high) = bounds(values.chain([0.0]));
        let room = 0.06 * (high - low);
        let (low, high) = (
            if low < 0.0 { low - room } else { 0.0 },
            if high > 0.0 { high + room } else { 0.0 },
        );
        Self {
            low,
            high: if high > low { high } else { 1.0 },
            start,
            end,
            logarithmic: false,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.log10()
        } else {
            value
        };
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    /// Round values, with as many decimals as the step between them has.
    fn ticks(&self) -> Vec<Tick> {
        let step = round_step((self.high - self.low) / 6.0);
        let places = (0..12)
            .find(|places| step * 10f64.powi(*places) >= 0.999)
            .unwrap_or(12);
        let places = usize::try_from(places).unwrap_or(0);
        let first = (self.low / step).ceil();
        let values = (0..12)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|value| *value <= self.high + 1e-9 * step);
        values
            .map(|value| Tick {
                at: coordinate(self.place(value)),
                label: format!("{value:.places$}").replace("-0.0", "0.0"),
            })
            .collect()
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `value`.
fn round_step(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= value * (1.0 - 1e-9))
        .unwrap_or(10.0);
    factor * power
}

/// 70000 as 70k.
fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{}k", (value / 100.0).round() / 10.0)
    } else {
        format!("{value}")
    }
}

fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            title: "t".into(),
            x_label: "x",
            y_label: "y",
            logarithmic: true,
            names: None,
        }
    }

    #[test]
    fn labels_of_lines_that_end_together_are_moved_apart() {
        let flat = |label| Series {
            label,
            class: "a",
            points: vec![Point {
                x: 1.0,
                y: 0.5,
                std: 0.0,
                hollow: false,
            }],
        };
        let chart = Chart::new(frame(), &[flat("a"), flat("b"), flat("c")]);
        let mut at: Vec<f64> = chart
            .lines
            .iter()
            .map(|line| line.label_y.parse().unwrap())
            .collect();
        at.sort_by(f64::total_cmp);
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] > 12.0), "{at:?}");
    }

    #[test]
    fn nothing_to_draw_and_negative_values_still_draw_axes() {
        let low = Series {
            label: "a",
            class: "a",
            points: vec![Point {
                x: 3.0,
                y: -0.5,
                std: 0.1,
                hollow: true,
            }],
        };
        for series in [vec![], vec![low]] {
            let svg = Chart::new(frame(), &series).render().unwrap();
            assert!(
                svg.contains("<svg") && !svg.contains("NaN") && !svg.contains("inf"),
                "{svg}"
            );
        }
    }
}
