//! Line charts as inline SVG: small, with labelled axes, readable without colour.

use std::fmt::Write as _;

use askama::Template;

/// Edges of the drawing area inside the 360 x 230 view box.
const LEFT: f64 = 48.0;
const RIGHT: f64 = 348.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 184.0;

/// One chart, in view-box coordinates.
#[derive(Template)]
#[template(path = "plot.html")]
pub(crate) struct Plot {
    title: &'static str,
    x_label: &'static str,
    y_label: &'static str,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// SVG path of the curve.
    path: String,
    marks: Vec<Mark>,
    limit: Option<Tick>,
}

struct Tick {
    at: String,
    label: String,
}

/// A point on the curve; hollow where a round gave nothing.
struct Mark {
    x: String,
    y: String,
    hollow: bool,
}

/// One step of a cumulative curve: the value after it, and whether it gave nothing.
pub(crate) struct Step {
    pub(crate) value: f64,
    pub(crate) hollow: bool,
}

impl Plot {
    /// A staircase over charged rounds with a horizontal budget line.
    pub(crate) fn staircase(
        title: &'static str,
        y_label: &'static str,
        steps: &[Step],
        budget: f64,
    ) -> Self {
        let finite = steps
            .iter()
            .map(|step| step.value)
            .chain([budget])
            .filter(|value| value.is_finite());
        let y = Axis::linear(finite.fold(0.0, f64::max) * 1.08, TOP, BOTTOM);
        let x = Axis {
            low: 0.0,
            high: steps.len().max(1) as f64,
            start: LEFT,
            end: RIGHT,
        };
        let mut path = format!("M{} {}", coordinate(LEFT), coordinate(BOTTOM));
        let mut marks = Vec::new();
        for (i, step) in steps
            .iter()
            .enumerate()
            .filter(|(_, step)| step.value.is_finite())
        {
            let (at, height) = (
                coordinate(x.place(i as f64 + 1.0)),
                coordinate(y.place(step.value)),
            );
            // Writing to a String cannot fail.
            let _ = write!(path, "H{at}V{height}");
            marks.push(Mark {
                x: at,
                y: height,
                hollow: step.hollow,
            });
        }
        let limit = budget.is_finite().then(|| Tick {
            at: coordinate(y.place(budget)),
            label: "budget".into(),
        });
        let x_label = "charged rounds, in order";
        Self {
            title,
            x_label,
            y_label,
            x_ticks: x.counts(),
            y_ticks: y.ticks(),
            path,
            marks,
            limit,
        }
    }

    /// epsilon against delta, delta on a logarithmic axis; `marked` points carry a dot.
    pub(crate) fn profile(
        title: &'static str,
        y_label: &'static str,
        points: &[(f64, f64)],
        marked: &[f64],
    ) -> Self {
        let points: Vec<_> = points
            .iter()
            .filter(|(_, epsilon)| epsilon.is_finite())
            .collect();
        let logs = || points.iter().map(|(delta, _)| delta.log10());
        let (low, high) = (
            logs().fold(f64::INFINITY, f64::min),
            logs().fold(f64::NEG_INFINITY, f64::max),
        );
        let x = Axis {
            low,
            high: high.max(low + 1.0),
            start: LEFT,
            end: RIGHT,
        };
        let y = Axis::linear(
            points
                .iter()
                .map(|(_, epsilon)| *epsilon)
                .fold(0.0, f64::max)
                * 1.08,
            TOP,
            BOTTOM,
        );
        let (mut path, mut marks) = (String::new(), Vec::new());
        for (delta, epsilon) in &points {
            let (at, height) = (
                coordinate(x.place(delta.log10())),
                coordinate(y.place(*epsilon)),
            );
            let _ = write!(
                path,
                "{}{at} {height}",
                if path.is_empty() { 'M' } else { 'L' }
            );
            if marked.contains(delta) {
                marks.push(Mark {
                    x: at,
                    y: height,
                    hollow: false,
                });
            }
        }
        let x_label = "delta (logarithmic)";
        Self {
            title,
            x_label,
            y_label,
            x_ticks: x.powers(),
            y_ticks: y.ticks(),
            path,
            marks,
            limit: None,
        }
    }
}

/// Maps a range of values onto a stretch of the view box.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// From 0 at `bottom` to at least `high` at `top`.
    fn linear(high: f64, top: f64, bottom: f64) -> Self {
        Self {
            low: 0.0,
            high: if high > 0.0 { high } else { 1.0 },
            start: bottom,
            end: top,
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    fn tick(&self, value: f64, label: String) -> Tick {
        Tick {
            at: coordinate(self.place(value)),
            label,
        }
    }

    /// Round values, four to seven of them, with as many decimals as the step between them has.
    fn ticks(&self) -> Vec<Tick> {
        let step = round_step(self.high / 6.0);
        let places = (0..12)
            .find(|places| step * 10f64.powi(*places) >= 0.999)
            .unwrap_or(12);
        let places = usize::try_from(places).unwrap_or(0);
        let values = (0..10)
            .map(|i| f64::from(i) * step)
            .take_while(|value| *value <= self.high);
        values
            .map(|value| self.tick(value, format!("{value:.places$}")))
            .collect()
    }

    /// Whole numbers, at most about six.
    fn counts(&self) -> Vec<Tick> {
        let step = round_step(self.high / 6.0).max(1.0);
        let values = (0..20)
            .map(|i| f64::from(i) * step)
            .take_while(|value| *value <= self.high);
        values
            .map(|value| self.tick(value, format!("{value:.0}")))
            .collect()
    }

    /// Every second power of ten.
    fn powers(&self) -> Vec<Tick> {
        let values = (-40..40).map(|power| f64::from(power) * 2.0);
        let inside = values.filter(|power| (self.low - 1e-9..=self.high + 1e-9).contains(power));
        inside
            .map(|power| self.tick(power, format!("1e{power}")))
            .collect()
    }
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

fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_pick_round_ticks() {
        let labels = |axis: Axis| {
            axis.ticks()
                .into_iter()
                .map(|tick| tick.label)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            labels(Axis::linear(8.6, TOP, BOTTOM)),
            ["0", "2", "4", "6", "8"]
        );
        assert_eq!(
            labels(Axis::linear(0.8, TOP, BOTTOM)),
            ["0.0", "0.2", "0.4", "0.6", "0.8"]
        );
    }

    #[test]
    fn nothing_to_draw_still_draws_axes() {
        for plot in [
            Plot::staircase("t", "y", &[], 0.0),
            Plot::profile("t", "y", &[], &[]),
        ] {
            let svg = plot.render().unwrap();
            assert!(
                svg.contains("<svg") && !svg.contains("NaN") && !svg.contains("inf"),
                "{svg}"
            );
        }
    }
}
