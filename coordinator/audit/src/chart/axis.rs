//! An axis: which values it spans, where each is drawn, and which of them are marked.

/// Maps a range of values onto a stretch of the view box.
pub(super) struct Axis {
    /// Values at both ends; their logarithms on a logarithmic axis.
    low: f64,
    high: f64,
    /// Coordinates of both ends.
    start: f64,
    end: f64,
    logarithmic: bool,
}

/// One mark of an axis.
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

impl Axis {
    /// Exactly over `values`, from `start` to `end`.
    pub(super) fn over(
        values: impl Iterator<Item = f64>,
        logarithmic: bool,
        (start, end): (f64, f64),
    ) -> Self {
        let (low, high) = bounds(values.map(|value| scaled(value, logarithmic)));
        Self {
            low,
            high: if high > low { high } else { low + 1.0 },
            start,
            end,
            logarithmic,
        }
    }

    /// Over `values` and 0, with a little room past the furthest.
    pub(super) fn with_zero(values: impl Iterator<Item = f64>, (start, end): (f64, f64)) -> Self {
        let (low, high) = bounds(values.chain([0.0]));
        let room = 0.06 * (high - low);
        let low = if low < 0.0 { low - room } else { 0.0 };
        let high = if high > 0.0 { high + room } else { 0.0 };
        Self {
            low,
            high: if high > low { high } else { 1.0 },
            start,
            end,
            logarithmic: false,
        }
    }

    /// Coordinate of the end that low values are at.
    pub(super) fn start(&self) -> f64 {
        self.start
    }

    /// Coordinate of a value.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = (scaled(value, self.logarithmic) - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }

    /// Round values at least `step_min` apart, at most about seven of them, with the decimals that
    /// their step has.
    pub(super) fn ticks(&self, step_min: f64) -> Vec<Tick> {
        let step = round_step((self.high - self.low) / 6.0).max(step_min);
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
                at: self.place(value),
                // Adding 0 turns the negative zero, which would print its sign, into zero.
                label: format!("{:.places$}", value + 0.0),
            })
            .collect()
    }

    /// Every second power of ten of a logarithmic axis.
    pub(super) fn powers(&self) -> Vec<Tick> {
        let inside = self.low - 1e-9..=self.high + 1e-9;
        (-40..40)
            .map(|half| 2 * half)
            .filter(|power| inside.contains(&f64::from(*power)))
            .map(|power| Tick {
                at: self.place(10f64.powi(power)),
                label: format!("1e{power}"),
            })
            .collect()
    }
}

fn scaled(value: f64, logarithmic: bool) -> f64 {
    if logarithmic { value.log10() } else { value }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn axes_pick_round_ticks() {
        let up_to = |high: f64| Axis::over([0.0, high].into_iter(), false, (0.0, 100.0));
        assert_eq!(labels(up_to(8.6).ticks(0.0)), ["0", "2", "4", "6", "8"]);
        assert_eq!(
            labels(up_to(0.8).ticks(0.0)),
            ["0.0", "0.2", "0.4", "0.6", "0.8"]
        );
        assert_eq!(labels(up_to(3.0).ticks(1.0)), ["0", "1", "2", "3"]);
        assert_eq!(
            labels(up_to(12.0).ticks(1.0)),
            ["0", "2", "4", "6", "8", "10", "12"]
        );
    }

    #[test]
    fn zero_has_no_sign() {
        let axis = Axis::with_zero([-0.4, 0.4].into_iter(), (100.0, 0.0));
        assert_eq!(
            labels(axis.ticks(0.0)),
            ["-0.4", "-0.2", "0.0", "0.2", "0.4"]
        );
        assert!((axis.place(0.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn powers_of_ten_stand_where_they_belong() {
        let axis = Axis::over([1e-12, 1e-3].into_iter(), true, (0.0, 90.0));
        let ticks = axis.powers();
        let places = ticks
            .iter()
            .map(|tick| tick.at.round())
            .collect::<Vec<_>>();
        assert_eq!(places, [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(labels(ticks), ["1e-12", "1e-10", "1e-8", "1e-6", "1e-4"]);
    }
}
