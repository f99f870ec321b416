//! A chart in coordinates of its view box, as the template writes it.

use std::fmt::Write as _;

use askama::Template;

use super::axis::{Axis, Tick};
use super::{Chart, Join, Line, Mark, Point, XAxis};

/// Edges of the drawing area.
const LEFT: f64 = 48.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 188.0;
/// Right edge of the drawing area: labels of lines, where there are any, stand right of it.
const RIGHT: f64 = 348.0;
const RIGHT_OF_LABELLED: f64 = 304.0;
/// From the right edge to the end of the view box.
const MARGIN: f64 = 12.0;
const MARGIN_OF_LABELLED: f64 = 120.0;
/// From either end of the horizontal axis to the outermost points.
const INSET: f64 = 8.0;
/// Least distance between two labels of lines.
const LINE_HEIGHT: f64 = 12.5;
/// Width of one character of a tick's label.
const CHARACTER: f64 = 6.8;

/// One chart, in view-box coordinates.
#[derive(Template)]
#[template(path = "chart.html")]
pub(super) struct Drawing<'a> {
    chart: &'a Chart,
    left: f64,
    right: f64,
    bottom: f64,
    width: f64,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    lines: Vec<Drawn<'a>>,
    limit: Option<Tick>,
}

/// One line as drawn.
struct Drawn<'a> {
    line: &'a Line,
    /// SVG path through the points.
    path: String,
    /// SVG path of whiskers, one standard deviation each way.
    whiskers: String,
    marks: Vec<Circle>,
    label_y: f64,
}

struct Circle {
    x: f64,
    y: f64,
    hollow: bool,
}

impl<'a> Drawing<'a> {
    pub(super) fn of(chart: &'a Chart) -> Self {
        let labelled = chart.lines.iter().any(|line| line.label.is_some());
        let (right, margin) = if labelled {
            (RIGHT_OF_LABELLED, MARGIN_OF_LABELLED)
        } else {
            (RIGHT, MARGIN)
        };
        let x = x_axis(chart, right);
        let y = y_axis(chart);
        let mut lines: Vec<Drawn<'_>> = chart
            .lines
            .iter()
            .filter_map(|line| Drawn::of(line, &x, &y))
            .collect();
        spread_labels(&mut lines);
        Self {
            chart,
            left: LEFT,
            right,
            bottom: BOTTOM,
            width: right + margin,
            x_ticks: x_ticks(chart, &x),
            y_ticks: y.ticks(0.0),
            lines,
            limit: limit(chart, &y),
        }
    }
}

impl<'a> Drawn<'a> {
    /// `None` for a line without a point to draw.
    fn of(line: &'a Line, x: &Axis, y: &Axis) -> Option<Self> {
        let last = finite(line).last()?;
        let mut drawn = Self {
            line,
            path: String::new(),
            whiskers: String::new(),
            marks: Vec::new(),
            label_y: y.place(last.y),
        };
        if line.join == Join::Stairs {
            drawn.path = format!("M{:.1} {:.1}", x.start(), y.place(0.0));
        }
        finite(line).for_each(|point| drawn.add(point, x, y));
        Some(drawn)
    }

    fn add(&mut self, point: &Point, x: &Axis, y: &Axis) {
        let (across, height) = (x.place(point.x), y.place(point.y));
        // Writing to a String cannot fail.
        let _ = match self.line.join {
            Join::Stairs => write!(self.path, "H{across:.1}V{height:.1}"),
            Join::Straight if self.path.is_empty() => {
                write!(self.path, "M{across:.1} {height:.1}")
            }
            Join::Straight => write!(self.path, "L{across:.1} {height:.1}"),
        };
        if point.std > 0.0 {
            let (low, high) = (y.place(point.y - point.std), y.place(point.y + point.std));
            let _ = write!(self.whiskers, "M{across:.1} {low:.1}V{high:.1}");
        }
        if point.mark != Mark::None {
            self.marks.push(Circle {
                x: across,
                y: height,
                hollow: point.mark == Mark::Hollow,
            });
        }
    }
}

/// The points of a line that have a place.
fn finite(line: &Line) -> impl Iterator<Item = &Point> + Clone {
    let has_place = |point: &&Point| point.x.is_finite() && point.y.is_finite();
    line.points.iter().filter(has_place)
}

fn x_axis(chart: &Chart, right: f64) -> Axis {
    let values = points(chart).map(|point| point.x);
    let inside = (LEFT + INSET, right - INSET);
    match chart.x_axis {
        XAxis::Counts => Axis::over(values.chain([0.0]), false, (LEFT, right)),
        XAxis::Powers => Axis::over(values, true, inside),
        XAxis::Points { logarithmic } => Axis::over(values, logarithmic, inside),
        XAxis::Names(_) => Axis::over(values, false, inside),
    }
}

fn y_axis(chart: &Chart) -> Axis {
    let ends = points(chart).flat_map(|point| [point.y - point.std, point.y + point.std]);
    let limit = chart.limit.map(|(_, value)| value);
    let heights = ends.chain(limit).filter(|value| value.is_finite());
    Axis::with_zero(heights, (BOTTOM, TOP))
}

fn points(chart: &Chart) -> impl Iterator<Item = &Point> {
    chart.lines.iter().flat_map(finite)
}

fn limit(chart: &Chart, y: &Axis) -> Option<Tick> {
    let (name, value) = chart.limit.filter(|(_, value)| value.is_finite())?;
    Some(Tick {
        at: y.place(value),
        label: name.to_owned(),
    })
}

fn x_ticks(chart: &Chart, x: &Axis) -> Vec<Tick> {
    match &chart.x_axis {
        XAxis::Counts => x.ticks(1.0),
        XAxis::Powers => x.powers(),
        XAxis::Points { .. } => {
            let tick = |value: f64| Tick {
                at: x.place(value),
                label: short(value),
            };
            thinned(places(chart).into_iter().map(tick))
        }
        XAxis::Names(names) => {
            let tick = |(value, name): (f64, &String)| Tick {
                at: x.place(value),
                label: name.clone(),
            };
            thinned(places(chart).into_iter().zip(names).map(tick))
        }
    }
}

/// Places along the horizontal axis at which any line has a point, each once, ascending.
fn places(chart: &Chart) -> Vec<f64> {
    let mut places: Vec<f64> = points(chart).map(|point| point.x).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    places
}

/// Drops ticks whose labels would run into the one before.
fn thinned(ticks: impl Iterator<Item = Tick>) -> Vec<Tick> {
    let mut kept: Vec<Tick> = Vec::new();
    let mut end = f64::NEG_INFINITY;
    for tick in ticks {
        let half = CHARACTER / 2.0 * tick.label.chars().count() as f64;
        if tick.at - half > end {
            end = tick.at + half + 3.0;
            kept.push(tick);
        }
    }
    kept
}

/// Moves the labels of lines that end together apart, in the order of their ends.
fn spread_labels(lines: &mut [Drawn<'_>]) {
    let mut order: Vec<&mut f64> = lines
        .iter_mut()
        .map(|line| &mut line.label_y)
        .collect();
    order.sort_by(|one, other| one.total_cmp(other));
    let mut above = f64::NEG_INFINITY;
    for at in &mut order {
        **at = at.max(above + LINE_HEIGHT);
        above = **at;
    }
    let mut below = BOTTOM + LINE_HEIGHT;
    for at in order.into_iter().rev() {
        *at = at.min(below - LINE_HEIGHT);
        below = *at;
    }
}

/// 70000 as 70k.
fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{}k", (value / 100.0).round() / 10.0)
    } else {
        format!("{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_lines_that_end_together_are_moved_apart() {
        let point = |x| Point {
            x,
            y: 0.5,
            std: 0.0,
            mark: Mark::Full,
        };
        let flat = |label| Line {
            label: Some(label),
            class: "a",
            join: Join::Straight,
            points: vec![point(1.0)],
        };
        let chart = Chart {
            title: "t".into(),
            x_label: "x",
            y_label: "y",
            x_axis: XAxis::Points { logarithmic: true },
            lines: ["a", "b", "c"].map(flat).into(),
            limit: None,
        };
        let drawing = Drawing::of(&chart);
        let mut at: Vec<f64> = drawing.lines.iter().map(|line| line.label_y).collect();
        at.sort_by(f64::total_cmp);
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] > 12.0), "{at:?}");
        assert!(at[2] <= BOTTOM);
    }

    #[test]
    fn names_that_would_touch_are_dropped() {
        let ticks = [(10.0, "1000"), (20.0, "2000"), (50.0, "3000")];
        let tick = |(at, label): (f64, &str)| Tick {
            at,
            label: label.to_owned(),
        };
        let kept = thinned(ticks.map(tick).into_iter());
        let labels: Vec<&str> = kept.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["1000", "3000"]);
        assert_eq!(
            [short(70_000.0), short(0.5), short(6040.0)],
            ["70k", "0.5", "6040"]
        );
    }
}
