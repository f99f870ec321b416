//! How far an owner's taste is trusted against what is popular, by how much of it was seen.

/// Items from which on an owner's taste is trusted by half, see `taste_share`. How it was chosen:
/// `tests/quality/TUNING.md`, "Trust in a short history".
pub const TASTE_PRIOR: f64 = 8.0;

/// Share of its score that taste gets from an owner whose weights add up to `sizes` and whose
/// squares to `squares`: `n^2 / (n^2 + prior^2)` for the effective number of items `n = sizes^2 /
/// squares` (Kish 1965, section 11.7).
///
/// A few items say little about the rest of a taste, while what is popular holds for everybody:
/// shrinkage toward the mean of all owners, which long histories hardly feel.
pub(crate) fn taste_share(sizes: f64, squares: f64, prior: f64) -> f64 {
    let n = sizes * sizes / squares.max(f64::MIN_POSITIVE);
    if n > 0.0 {
        n * n / (n * n + prior * prior)
    } else {
        0.0
    }
}
