//! Central baselines for honest comparison: they see every history, so they bound what private training can reach.
//!
//! Implicit ALS after Rendle, Krichene, Zhang, Koren, "Revisiting the Performance of iALS on Item Recommendation
//! Benchmarks" (2021), equations 1 to 4. Factors in f32, solves in f64; parallel over rows only, so results do not depend on
//! the number of threads.

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::linalg::{dot, narrow};
use crate::preference::History;

/// How many owners used each item: length `catalogue_len`. The raw popularity baseline.
pub fn popularity(histories: &[History], catalogue_len: u32) -> Vec<f32> {
    let mut counts = vec![0.0f32; catalogue_len as usize];
    for item in histories.iter().flat_map(History::items) {
        if let Some(count) = counts.get_mut(item.0 as usize) {
            *count += 1.0;
        }
    }
    counts
}

/// Settings of [`ials`].
#[derive(Clone, Debug, PartialEq)]
pub struct IalsConfig {
    /// d, length of the factors.
    pub factors: usize,
    /// Passes over users and items.
    pub epochs: usize,
    /// alpha_0, weight of every cell whether used or not, against 1 for a used one.
    pub unobserved_weight: f64,
    /// lambda, scaled per row by `|I_u| + alpha_0 |items|`.
    pub regularisation: f64,
    /// Seed of the first factors.
    pub seed: u64,
}

impl IalsConfig {
    /// Settings that do well on film-like data at `factors` factors.
    pub fn new(factors: usize, seed: u64) -> Self {
        Self { factors, epochs: 12, unobserved_weight: 0.3, regularisation: 0.003, seed }
    }
}

/// Item factors of implicit ALS, with exact fold-in of any history.
pub struct Ials {
    config: IalsConfig,
    items: Factors,
    item_gram: Vec<f64>,
}

/// Trains implicit ALS on all histories.
pub fn ials(histories: &[History], catalogue_len: u32, config: &IalsConfig) -> Ials {
    let users: Vec<Vec<u32>> = histories.iter().map(|history| known_items(history, catalogue_len)).collect();
    let by_item = transpose(&users, catalogue_len as usize);
    let mut rng = ChaCha20Rng::seed_from_u64(config.seed);
    let mut items = Factors::random(by_item.len(), config.factors, &mut rng);
    let mut owners = Factors::random(users.len(), config.factors, &mut rng);
    for _ in 0..config.epochs {
        owners.refit(&users, &items, config);
        items.refit(&by_item, &owners, config);
    }
    Ials { item_gram: items.gram(), items, config: config.clone() }
}

impl Ials {
    /// Scores every item for a history by solving for its user factors exactly: length `catalogue_len`.
    pub fn scores(&self, history: &History) -> Vec<f32> {
        let d = self.config.factors;
        let catalogue_len = u32::try_from(self.items.rows()).unwrap_or(u32::MAX);
        let mut p = vec![0.0f32; d];
        let used = known_items(history, catalogue_len);
        Solver::new(d).solve(&used, &self.items, &self.item_gram, &self.config, &mut p);
        self.items.values.chunks_exact(d).map(|row| dot(row, &p)).collect()
    }
}

/// Rows of d numbers.
struct Factors {
    values: Vec<f32>,
    d: usize,
}

impl Factors {
    fn random(rows: usize, d: usize, rng: &mut ChaCha20Rng) -> Self {
        assert!(d > 0, "implicit ALS needs at least one factor");
        let std = 0.1 / (d as f32).sqrt();
        let normal = |_| -> f32 {
            let normal: f32 = StandardNormal.sample(rng);
            std * normal
        };
        Self { values: (0..rows * d).map(normal).collect(), d }
    }

    fn rows(&self) -> usize {
        self.values.len() / self.d
    }

    fn row(&self, row: u32) -> &[f32] {
        &self.values[row as usize * self.d..][..self.d]
    }

    /// `F^T F`: (d, d), lower triangle filled.
    fn gram(&self) -> Vec<f64> {
        let mut gram = vec![0.0; self.d * self.d];
        self.values.chunks_exact(self.d).for_each(|row| add_outer(&mut gram, row));
        gram
    }

    /// Solves every row exactly given the other side; `used[r]` lists the other side's rows that row r met.
    fn refit(&mut self, used: &[Vec<u32>], other: &Factors, config: &IalsConfig) {
        let gram = other.gram();
        let rows = self.values.par_chunks_exact_mut(self.d).zip(used);
        rows.for_each_init(
            || Solver::new(config.factors),
            |solver, (row, used)| solver.solve(used, other, &gram, config, row),
        );
    }
}

/// Scratch space for one normal equation at a time.
struct Solver {
    matrix: Vec<f64>,
    rhs: Vec<f64>,
}

impl Solver {
    fn new(d: usize) -> Self {
        Self { matrix: vec![0.0; d * d], rhs: vec![0.0; d] }
    }

    /// Solves `(sum h h^T + alpha_0 H^T H + lambda (|used| + alpha_0 |H|) I) p = sum h` over the used rows h of H.
    fn solve(&mut self, used: &[u32], other: &Factors, gram: &[f64], config: &IalsConfig, p: &mut [f32]) {
        let d = config.factors;
        self.rhs.fill(0.0);
        self.matrix.iter_mut().zip(gram).for_each(|(a, g)| *a = config.unobserved_weight * g);
        let frequency = used.len() as f64 + config.unobserved_weight * other.rows() as f64;
        (0..d).for_each(|i| self.matrix[i * d + i] += config.regularisation * frequency);
        for &row in used {
            let h = other.row(row);
            add_outer(&mut self.matrix, h);
            self.rhs.iter_mut().zip(h).for_each(|(b, &h)| *b += f64::from(h));
        }
        solve_cholesky(&mut self.matrix, &mut self.rhs);
        p.iter_mut().zip(&self.rhs).for_each(|(p, &solution)| *p = narrow(solution));
    }
}

/// Adds `row row^T` to the lower triangle of a (d, d) matrix.
fn add_outer(matrix: &mut [f64], row: &[f32]) {
    let d = row.len();
    for (i, &left) in row.iter().enumerate() {
        let left = f64::from(left);
        matrix[i * d..][..=i].iter_mut().zip(row).for_each(|(a, &right)| *a += left * f64::from(right));
    }
}

/// Solves `A x = b` in place for a positive definite A given by its lower triangle: (d, d).
fn solve_cholesky(a: &mut [f64], b: &mut [f64]) {
    let d = b.len();
    for i in 0..d {
        let (above, row) = a.split_at_mut(i * d);
        for j in 0..i {
            let left = &above[j * d..][..=j];
            let partial: f64 = row[..j].iter().zip(left).map(|(x, y)| x * y).sum();
            row[j] = (row[j] - partial) / left[j];
        }
        let squares: f64 = row[..i].iter().map(|v| v * v).sum();
        row[i] = (row[i] - squares).max(1e-12).sqrt();
        let partial: f64 = row[..i].iter().zip(b.iter()).map(|(l, y)| l * y).sum();
        b[i] = (b[i] - partial) / row[i];
    }
    for i in (0..d).rev() {
        b[i] /= a[i * d + i];
        let solved = b[i];
        b[..i].iter_mut().zip(&a[i * d..][..i]).for_each(|(b, l)| *b -= l * solved);
    }
}

fn known_items(history: &History, catalogue_len: u32) -> Vec<u32> {
    history.items().iter().map(|item| item.0).filter(|item| *item < catalogue_len).collect()
}

/// For each item the users who used it.
fn transpose(users: &[Vec<u32>], items: usize) -> Vec<Vec<u32>> {
    let mut by_item = vec![Vec::new(); items];
    for (user, used) in (0u32..).zip(users) {
        used.iter().for_each(|&item| by_item[item as usize].push(user));
    }
    by_item
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Ranking;
    use crate::synthetic::{history, planted};

    #[test]
    fn popularity_counts_owners() {
        assert_eq!(popularity(&[history(&[0, 2]), history(&[2, 9])], 3), vec![1.0, 0.0, 2.0]);
    }

    #[test]
    fn cholesky_solves_the_normal_equations() {
        // A = [[4, 2], [2, 3]], x = [1, 2].
        let (mut a, mut b) = (vec![4.0, f64::NAN, 2.0, 3.0], vec![8.0, 8.0]);
        solve_cholesky(&mut a, &mut b);
        assert!((b[0] - 1.0).abs() < 1e-12 && (b[1] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn planted_tastes_are_found() {
        let data = planted(1500, 400, 8, 2);
        let model = ials(&data.histories, 400, &IalsConfig::new(8, 1));
        let popular = popularity(&data.histories, 400);
        let hits = |score: &dyn Fn(&History) -> Vec<f32>| {
            let judged = data.histories.iter().zip(&data.held_out);
            let judged = judged.map(|(used, held_out)| Ranking::full(&score(used), used.items(), &[*held_out]));
            Ranking::mean(&judged.collect::<Vec<_>>()).hr_at_10
        };
        assert!(hits(&|used| model.scores(used)) > 2.0 * hits(&|_| popular.clone()));
    }

    #[test]
    fn an_empty_history_and_an_unused_item_are_no_trouble() {
        let model = ials(&[history(&[0, 1]), history(&[])], 3, &IalsConfig::new(2, 1));
        assert!(model.scores(&history(&[])).iter().all(|&score| score == 0.0));
        assert!(model.scores(&history(&[1, 99])).iter().all(|score| score.is_finite()));
    }
}
