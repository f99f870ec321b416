//! Ridge regression on a handful of factors: one normal equation at a time, in f64.

use crate::maths::linalg::narrow;

/// Least square of a pivot: rounding can leave a definite matrix a pivot of 0.
const PIVOT_MIN: f64 = 1e-12;

/// `A x = b` being put together: A positive definite (d, d), kept as its lower triangle.
pub(crate) struct NormalEquation {
    matrix: Vec<f64>,
    rhs: Vec<f64>,
}

impl NormalEquation {
    /// Zeros of size d.
    pub(crate) fn new(d: usize) -> Self {
        Self {
            matrix: vec![0.0; d * d],
            rhs: vec![0.0; d],
        }
    }

    /// Starts over with `A = 0`, `b = 0`.
    pub(crate) fn restart(&mut self) {
        self.matrix.fill(0.0);
        self.rhs.fill(0.0);
    }

    /// Adds `weight * gram` to A.
    pub(crate) fn add_gram(&mut self, weight: f64, gram: &[f64]) {
        self.matrix
            .iter_mut()
            .zip(gram)
            .for_each(|(a, g)| *a += weight * g);
    }

    /// Adds a penalty on each unknown.
    pub(crate) fn penalise(&mut self, ridge: impl Iterator<Item = f64>) {
        let d = self.rhs.len();
        (0..d)
            .zip(ridge)
            .for_each(|(i, ridge)| self.matrix[i * d + i] += ridge);
    }

    /// Adds one observation: `weight (row . x - target)^2`.
    pub(crate) fn observe(&mut self, row: &[f32], target: f64, weight: f64) {
        add_outer(&mut self.matrix, row, weight);
        self.rhs
            .iter_mut()
            .zip(row)
            .for_each(|(b, &h)| *b += weight * target * f64::from(h));
    }

    /// Solves, and leaves this to be started over.
    pub(crate) fn solve(&mut self) -> &[f64] {
        solve_cholesky(&mut self.matrix, &mut self.rhs);
        &self.rhs
    }
}

/// `F^T F` of rows of `d` numbers: (d, d), lower triangle filled.
pub(crate) fn gram(rows: &[f32], d: usize) -> Vec<f64> {
    let mut gram = vec![0.0; d * d];
    rows.chunks_exact(d)
        .for_each(|row| add_outer(&mut gram, row, 1.0));
    gram
}

/// Solves `(sum w h h^T + alpha_0 H^T H + ridge I) p = sum w h` over the `used` rows h of H with
/// their weights w: implicit ALS, one user or item.
pub(crate) fn implicit<'a>(
    equation: &mut NormalEquation,
    used: impl Iterator<Item = (&'a [f32], f64)>,
    gram: &[f64],
    unobserved_weight: f64,
    ridge: f64,
    p: &mut [f32],
) {
    equation.restart();
    equation.add_gram(unobserved_weight, gram);
    equation.penalise(std::iter::repeat(ridge));
    used.for_each(|(row, weight)| equation.observe(row, 1.0, weight));
    p.iter_mut()
        .zip(equation.solve())
        .for_each(|(p, &solution)| *p = narrow(solution));
}

/// Adds `weight row row^T` to the lower triangle of a (d, d) matrix.
pub(crate) fn add_outer(matrix: &mut [f64], row: &[f32], weight: f64) {
    let d = row.len();
    for (i, &left) in row.iter().enumerate() {
        let left = weight * f64::from(left);
        matrix[i * d..][..=i]
            .iter_mut()
            .zip(row)
            .for_each(|(a, &right)| *a += left * f64::from(right));
    }
}

/// Solves `A x = b` in place for a positive definite A given by its lower triangle: (d, d).
pub(crate) fn solve_cholesky(a: &mut [f64], b: &mut [f64]) {
    let d = b.len();
    // Forwards: row i of L with `A = L L^T`, and `y_i` of `L y = b`.
    for i in 0..d {
        let (above, row) = a.split_at_mut(i * d);
        for j in 0..i {
            let left = &above[j * d..][..=j];
            let partial = product(&row[..j], left);
            row[j] = (row[j] - partial) / left[j];
        }
        let squares: f64 = row[..i].iter().map(|v| v * v).sum();
        row[i] = (row[i] - squares).max(PIVOT_MIN).sqrt();
        let partial = product(&row[..i], b);
        b[i] = (b[i] - partial) / row[i];
    }
    // Backwards: x of `L^T x = y`.
    for i in (0..d).rev() {
        let row = &a[i * d..][..=i];
        b[i] /= row[i];
        let solved = b[i];
        for (b, l) in b[..i].iter_mut().zip(row) {
            *b -= l * solved;
        }
    }
}

/// The inner product over the shorter length.
fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cholesky_solves_the_normal_equations() {
        // A = [[4, 2], [2, 3]], x = [1, 2].
        let (mut a, mut b) = (vec![4.0, f64::NAN, 2.0, 3.0], vec![8.0, 8.0]);
        solve_cholesky(&mut a, &mut b);
        assert!((b[0] - 1.0).abs() < 1e-12 && (b[1] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn observations_without_a_penalty_are_met_and_with_one_are_shrunk() {
        let fitted = |ridge: f64| {
            let mut equation = NormalEquation::new(2);
            equation.penalise([ridge, ridge].into_iter());
            equation.observe(&[1.0, 0.0], 3.0, 2.0);
            equation.observe(&[1.0, 1.0], 5.0, 1.0);
            equation.solve().to_vec()
        };
        assert!(
            fitted(0.0)
                .iter()
                .zip([3.0, 2.0])
                .all(|(x, y)| (x - y).abs() < 1e-12)
        );
        assert!(fitted(1.0).iter().zip([3.0, 2.0]).all(|(x, y)| *x < y));
    }
}
