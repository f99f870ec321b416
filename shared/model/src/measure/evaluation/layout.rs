//! The questions of an evaluation and where their answers stand in the vector: public, fixed, the
//! same for every model.
//!
//! Each question has a few coordinates and a share of the squared norm. A device puts at most norm
//! 1 into a question, so its vector, with each question scaled by the root of its share, has norm
//! at most 1 whatever it answers:
//!
//! | question | answer | coordinates | share of 40 |
//! |---|---|---|---|
//! | [`RANK`] | one of the ranges of [`RANKS`] that the held-out item's rank falls in | 6 | 12 |
//! | [`PAIRED`] | +1 if only the model has it in its first ten, -1 if only popularity | 1 | 16 |
//! | [`RATING_ERROR`] | one of [`ERRORS`], where a rating was predicted and given | 7 | 3 |
//! | [`PREDICTED`] | one of [`CHANCES`] of a hit, twice: for misses, then for hits | 8 | 3 |
//! | [`DRIFT`] | one of [`COSINES`] between the older and the newer half of the history | 5 | 3 |
//! | [`LISTED`] | tenths of the first ten by [`BANDS`] of the catalogue | 5 | 3 |
//!
//! The paired answer has the largest share, because a decision hangs on it where the signal is
//! weakest; as one signed number it has half the variance of a difference of two counts. That of
//! popularity alone follows: hits of the model less it.

/// Length of a list.
pub const TOP: usize = 10;

/// First rank of each range, counted from 1.
pub const RANKS: [usize; 6] = [1, 2, 4, 11, 31, 101];
/// How many ranges of [`RANKS`] lie within the first ten.
pub const RANKS_HIT: usize = 3;
/// Least absolute rating error of each range, in stars.
pub const ERRORS: [f64; 7] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0];
/// What the last range of [`ERRORS`] counts as.
pub const ERROR_LAST: f64 = 2.5;
/// Least predicted chance of a hit of each range.
pub const CHANCES: [f64; 4] = [0.0, 0.05, 0.15, 0.4];
/// Least cosine of each range.
pub const COSINES: [f64; 5] = [-1.0, 0.0, 0.25, 0.5, 0.75];
/// Hundredths of the catalogue, by falling popularity, at which each band begins.
pub const BANDS: [usize; 5] = [0, 1, 5, 20, 50];
/// How many bands of [`BANDS`] hold the most popular fifth.
pub const BANDS_HEAD: usize = 3;

/// Shares of the squared norm are counted in these.
const PARTS: f64 = 40.0;

/// Some coordinates of the vector and their share of its squared norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// First coordinate.
    pub start: usize,
    /// Number of coordinates.
    pub len: usize,
    parts: u8,
}

impl Question {
    const fn after(before: Self, len: usize, parts: u8) -> Self {
        Self {
            start: before.start + before.len,
            len,
            parts,
        }
    }

    /// What an answer of 1 weighs in the vector.
    pub fn scale(&self) -> f64 {
        (f64::from(self.parts) / PARTS).sqrt()
    }

    /// The coordinates of this question.
    pub fn of<'a>(&self, vector: &'a [f64]) -> &'a [f64] {
        &vector[self.start..][..self.len]
    }
}

/// Rank of the held-out item.
pub const RANK: Question = Question {
    start: 0,
    len: RANKS.len(),
    parts: 12,
};
/// Whether the model or popularity has the held-out item in its first ten, if only one of them has.
pub const PAIRED: Question = Question::after(RANK, 1, 16);
/// How far a predicted rating was off.
pub const RATING_ERROR: Question = Question::after(PAIRED, ERRORS.len(), 3);
/// What chance of a hit the model gave, and whether there was one.
pub const PREDICTED: Question = Question::after(RATING_ERROR, 2 * CHANCES.len(), 3);
/// How much the owner's taste moved.
pub const DRIFT: Question = Question::after(PREDICTED, COSINES.len(), 3);
/// How popular the items of the list are.
pub const LISTED: Question = Question::after(DRIFT, BANDS.len(), 3);

/// Every question.
pub const QUESTIONS: [Question; 6] = [RANK, PAIRED, RATING_ERROR, PREDICTED, DRIFT, LISTED];

/// Coordinates of a metrics vector.
pub const LENGTH: usize = LISTED.start + LISTED.len;

/// Most coordinates that one device can set: one a question, and every band.
pub const NON_ZERO_MAX: usize = QUESTIONS.len() - 1 + BANDS.len();

/// The last range that `value` reaches; the first for what reaches none, such as NaN.
pub fn range<T: PartialOrd>(least: &[T], value: &T) -> usize {
    least
        .iter()
        .skip(1)
        .take_while(|least| *least <= value)
        .count()
}

/// The band of the item with `place` items before it by popularity, out of `items`.
pub fn band(place: usize, items: usize) -> usize {
    BANDS
        .iter()
        .skip(1)
        .take_while(|hundredths| place * 100 >= items * **hundredths)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_questions_share_the_norm_and_leave_no_gap() {
        let squares: f64 = QUESTIONS
            .iter()
            .map(|question| question.scale().powi(2))
            .sum();
        assert!((squares - 1.0).abs() < 1e-12);
        let mut next = 0;
        for question in QUESTIONS {
            assert_eq!(question.start, next);
            next += question.len;
        }
        assert_eq!((next, LENGTH, NON_ZERO_MAX), (32, 32, 10));
    }

    #[test]
    fn ranges_hold_what_they_begin_with() {
        assert_eq!(
            [1, 2, 3, 4, 10, 11, 30, 100, 101, 9999].map(|rank| range(&RANKS, &rank)),
            [0, 1, 1, 2, 2, 3, 3, 4, 5, 5]
        );
        assert_eq!(
            [-3.0, -0.1, 0.0, 0.3, 1.0, f64::NAN].map(|cosine| range(&COSINES, &cosine)),
            [0, 0, 1, 2, 4, 0]
        );
        assert!(RANKS[RANKS_HIT] == TOP + 1 && BANDS[BANDS_HEAD] == 20);
    }

    #[test]
    fn bands_are_hundredths_of_the_catalogue() {
        assert_eq!(
            [0, 9, 10, 49, 50, 199, 200, 499, 500, 999].map(|place| band(place, 1000)),
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        );
        assert_eq!(
            [band(0, 1), band(0, 3), band(1, 3), band(2, 3)],
            [0, 0, 3, 4]
        );
    }
}
