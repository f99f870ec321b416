//! Integer arithmetic that stops where a result does not fit, in every build.
//!
//! A sensitivity, a price or a threshold that wrapped silently would be worse than none. The
//! compiler's own checks are a setting of whoever builds the app; these are not. A lint denies the
//! plain operators in this crate wherever they could overflow.

/// The operations of an integer that stop instead of wrapping.
///
/// # Panics
/// Each, where the result does not fit its type; the last two, where `other` is 0.
pub trait Exact: Copy {
    /// Sum.
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// Difference.
    #[must_use]
    fn minus(self, other: Self) -> Self;
    /// Product.
    #[must_use]
    fn times(self, other: Self) -> Self;
    /// Quotient, rounded toward zero.
    #[must_use]
    fn over(self, other: Self) -> Self;
    /// What the quotient leaves.
    #[must_use]
    fn rest(self, other: Self) -> Self;
}

macro_rules! exact {
    ($($integer:ty)*) => {$(
        impl Exact for $integer {
            #[inline]
            #[track_caller]
            fn plus(self, other: Self) -> Self {
                self.checked_add(other).expect("integer overflow: a sum")
            }

            #[inline]
            #[track_caller]
            fn minus(self, other: Self) -> Self {
                self.checked_sub(other).expect("integer overflow: a difference")
            }

            #[inline]
            #[track_caller]
            fn times(self, other: Self) -> Self {
                self.checked_mul(other).expect("integer overflow: a product")
            }

            #[inline]
            #[track_caller]
            fn over(self, other: Self) -> Self {
                self.checked_div(other).expect("a quotient that does not exist")
            }

            #[inline]
            #[track_caller]
            fn rest(self, other: Self) -> Self {
                self.checked_rem(other).expect("a quotient that does not exist")
            }
        }
    )*};
}

exact!(i32 u32 u64 u128 usize);

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn stops<T>(operation: impl FnOnce() -> T) -> bool {
        catch_unwind(AssertUnwindSafe(operation)).is_err()
    }

    #[test]
    fn what_fits_is_exact_and_what_does_not_stops() {
        assert_eq!(7u32.plus(2).times(3).minus(1).over(5), 5);
        assert_eq!(7i32.minus(9).rest(2), 0);
        assert!(stops(|| u32::MAX.plus(1)));
        assert!(stops(|| u64::MAX.times(2)));
        assert!(stops(|| 0u128.minus(1)));
        assert!(stops(|| i32::MIN.minus(1)));
        assert!(stops(|| i32::MIN.over(-1)));
        assert!(stops(|| 1usize.over(0)));
        assert!(stops(|| 1usize.rest(0)));
    }
}
