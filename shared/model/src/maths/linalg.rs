//! The few dense operations the model needs, in f64 and in a fixed order.
//!
//! Invariant: no parallelism. `faer` is built without its `rayon` feature, so a replay on the same
//! machine gives the same bits.

use faer::Side;
use ndarray::{Array2, ArrayView2, Axis, Slice};

/// Singular values below this share of the largest are rounding, not direction.
const RANK_TOLERANCE: f64 = 1e-6;

/// Rounds to the nearest f32.
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding to storage precision is the purpose"
)]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}

/// Rounds a matrix to f32.
pub(crate) fn narrow_all(matrix: &Array2<f64>) -> Array2<f32> {
    matrix.mapv(narrow)
}

/// The same numbers in f64, one after the other.
pub(crate) fn widened(values: &[f32]) -> impl Iterator<Item = f64> + '_ {
    values.iter().map(|&value| f64::from(value))
}

/// Inner product over the shorter length, in eight independent lanes so that it vectorises.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + tail
}

/// `y += scale * x`.
pub(crate) fn add_scaled(y: &mut [f32], scale: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += scale * x;
    }
}

/// Scales values to L2 norm 1; leaves zeros and what has no finite norm as zeros.
pub(crate) fn make_unit<'a>(values: impl Iterator<Item = &'a mut f32> + 'a, norm_squared: f64) {
    let scale = if norm_squared > 0.0 && norm_squared.is_finite() {
        norm_squared.sqrt().recip()
    } else {
        0.0
    };
    for value in values {
        *value = narrow(f64::from(*value) * scale);
    }
}

/// Sum of squares in f64.
pub(crate) fn norm_squared(values: &[f32]) -> f64 {
    widened(values).map(|v| v * v).sum()
}

/// Polar factor of `y`: (m, d), the nearest matrix whose columns are orthonormal.
///
/// With the thin SVD `y = U S V^T` it is `U V^T`. Directions without signal (singular value 0 up to
/// rounding) are left out, so a rank-deficient `y` gives a partial isometry rather than arbitrary
/// columns, and `y = 0` gives 0.
///
/// # Panics
/// When `y` holds a value that is not finite.
pub(crate) fn polar(y: ArrayView2<'_, f64>) -> Array2<f64> {
    let (rows, columns) = y.dim();
    if rows == 0 || columns == 0 {
        return Array2::zeros((rows, columns));
    }
    assert!(
        y.iter().all(|v| v.is_finite()),
        "the polar factor needs finite input"
    );
    let matrix = faer::Mat::from_fn(rows, columns, |i, j| y[(i, j)]);
    let svd = matrix
        .thin_svd()
        .expect("the SVD of a finite matrix converges");
    let singular: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    let least = RANK_TOLERANCE * singular[0];
    let rank = singular
        .iter()
        .take_while(|&&value| value > least)
        .count();
    let left = svd.U().subcols(0, rank);
    let right = svd.V().subcols(0, rank);
    let q = left * right.transpose();
    Array2::from_shape_fn((rows, columns), |(i, j)| q[(i, j)])
}

/// The strongest directions of `a`, each with its singular value as length: (m, at most `most`),
/// largest first, by the Gram of its columns. Directions without signal are left out.
///
/// # Panics
/// When `a` holds a value that is not finite.
pub(crate) fn leading(a: &Array2<f64>, most: usize) -> Array2<f64> {
    let (squares, v) = eigen_descending(a.t().dot(a).view());
    let least = squares
        .first()
        .map_or(0.0, |largest| RANK_TOLERANCE * largest);
    let rank = squares
        .iter()
        .take(most)
        .take_while(|&&square| square > least)
        .count();
    a.dot(&v.slice_axis(Axis(1), Slice::from(..rank)))
}

/// Eigenpairs of a symmetric matrix (k, k), largest eigenvalue first: values (k) and vectors (k, k)
/// in columns.
///
/// # Panics
/// When the matrix is not square or holds a value that is not finite.
pub(crate) fn eigen_descending(symmetric: ArrayView2<'_, f64>) -> (Vec<f64>, Array2<f64>) {
    assert!(
        symmetric.iter().all(|v| v.is_finite()),
        "the eigenvalues need finite input"
    );
    let k = symmetric.nrows();
    let matrix = faer::Mat::from_fn(k, k, |i, j| symmetric[(i, j)]);
    let eigen = matrix
        .self_adjoint_eigen(Side::Lower)
        .expect("the eigenvalues of a finite symmetric matrix converge");
    let mut values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
    values.reverse();
    // The vectors come in the order of ascending eigenvalues too.
    let columns = eigen.U();
    let vectors = Array2::from_shape_fn((k, k), |(i, j)| {
        let from = k - 1 - j;
        columns[(i, from)]
    });
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn off_identity(q: &Array2<f64>) -> f64 {
        (q.t().dot(q) - Array2::<f64>::eye(q.ncols()))
            .iter()
            .fold(0.0, |worst, v| worst.max(v.abs()))
    }

    #[test]
    fn the_polar_factor_has_orthonormal_columns_and_keeps_an_orthonormal_matrix() {
        let y = Array2::from_shape_fn((40, 5), |(i, j)| {
            ((i * 7 + j * 13) % 11) as f64 - 4.0 + f64::from(i == j)
        });
        let q = polar(y.view());
        assert!(off_identity(&q) < 1e-12);
        assert!((polar(q.view()) - &q).iter().all(|v| v.abs() < 1e-12));
    }

    #[test]
    fn a_rank_deficient_matrix_gives_a_partial_isometry() {
        let q = polar(array![[3.0, 0.0], [4.0, 0.0], [0.0, 0.0]].view());
        assert!(
            (q - array![[0.6, 0.0], [0.8, 0.0], [0.0, 0.0]])
                .iter()
                .all(|v| v.abs() < 1e-12)
        );
        assert!(
            polar(Array2::zeros((4, 3)).view())
                .iter()
                .all(|&v| v == 0.0)
        );
        assert_eq!(polar(Array2::zeros((4, 0)).view()).dim(), (4, 0));
    }

    #[test]
    fn a_wide_matrix_has_a_polar_factor_too() {
        let q = polar(array![[1.0, 0.0, 2.0]].view());
        assert!((q.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn eigenvalues_come_largest_first_with_their_vectors() {
        let (values, vectors) = eigen_descending(array![[2.0, 1.0], [1.0, 2.0]].view());
        assert!((values[0] - 3.0).abs() < 1e-12 && (values[1] - 1.0).abs() < 1e-12);
        assert!((vectors[(0, 0)] - vectors[(1, 0)]).abs() < 1e-12);
    }

    #[test]
    fn the_inner_product_handles_every_remainder() {
        for len in 0..20 {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let expected: f32 = a.iter().map(|v| v * v).sum();
            assert_eq!(dot(&a, &a), expected);
        }
    }
}
