//! Two simulations of the same people, compared user by user: the difference of a figure, and its
//! standard error over the users.
//!
//! The spread over users is that of the *difference* of one user's figures, so what makes some
//! users easy and others hard for both does not count. Noise of training is averaged over the seeds
//! of each run and not part of the error.

use std::fmt::Write;

use askama::Template;
use serde::{Deserialize, Serialize};

use crate::error::SimulateError;
use crate::table::{fixed, label};

/// Names of the figures that are compared, in the order in which users have them.
const FIGURES: [&str; 2] = ["HR@10", "NDCG@10"];

/// What is needed of a saved outcome.
#[derive(Deserialize)]
struct Saved {
    data: String,
    split: String,
    points: Vec<SavedPoint>,
}

#[derive(Deserialize)]
struct SavedPoint {
    users: u32,
    epsilon: f64,
    rows: Vec<SavedRow>,
}

#[derive(Deserialize)]
struct SavedRow {
    model: String,
    #[serde(default)]
    per_user: Vec<[f64; 2]>,
}

/// A comparison of two outcomes, A and B.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Names of the two.
    pub names: [String; 2],
    /// Data of both.
    pub data: String,
    /// What was held out of both.
    pub split: String,
    /// One entry per combination and model, in the order of the outcomes.
    pub rows: Vec<Compared>,
}

/// One model of one combination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Epsilon of A and of B.
    pub epsilon: [f64; 2],
    /// The model, by the name outcomes have for it.
    pub model: String,
    /// Users compared.
    pub users: usize,
    /// HR@10 and NDCG@10.
    pub figures: [Difference; 2],
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Mean over users in A and in B.
    pub means: [f64; 2],
    /// B minus A.
    pub difference: f64,
    /// Standard error of that difference over users.
    pub standard_error: f64,
}

/// Compares two outcomes that were written as JSON, each given by name and text.
///
/// # Errors
/// [`SimulateError::Input`] when one is no outcome, has no figures of users, or is about other
/// people.
pub fn compare(a: (&str, &str), b: (&str, &str)) -> Result<Comparison, SimulateError> {
    let ((a_name, b_name), a, b) = ((a.0, b.0), read(a)?, read(b)?);
    let same = [
        ("data", a.data == b.data),
        ("what was held out", a.split == b.split),
        (
            "the number of combinations",
            a.points.len() == b.points.len(),
        ),
    ];
    if let Some((what, _)) = same.iter().find(|(_, same)| !same) {
        return Err(input(format!("{a_name} and {b_name} differ in {what}")));
    }
    let mut rows = Vec::new();
    for (a, b) in a.points.iter().zip(&b.points) {
        if a.users != b.users {
            return Err(input(format!("{a_name} and {b_name} differ in users")));
        }
        rows.extend(a.rows.iter().filter_map(|row| compared(row, a, b)));
    }
    if rows.is_empty() {
        let problem = "no figures of the same users: run both with --json --per-user";
        return Err(input(format!("{a_name} and {b_name} have {problem}")));
    }
    Ok(Comparison {
        names: [a_name.to_owned(), b_name.to_owned()],
        data: a.data,
        split: a.split,
        rows,
    })
}

fn read((name, text): (&str, &str)) -> Result<Saved, SimulateError> {
    serde_json::from_str(text)
        .map_err(|error| input(format!("{name}: no result of simulate --json ({error})")))
}

fn input(problem: String) -> SimulateError {
    SimulateError::Input(format!("--compare: {problem}"))
}

/// Compares one model, if both have figures of the same users for it.
fn compared(row: &SavedRow, a: &SavedPoint, b: &SavedPoint) -> Option<Compared> {
    let other = b.rows.iter().find(|other| other.model == row.model)?;
    let users = row.per_user.len();
    if users == 0 || users != other.per_user.len() {
        return None;
    }
    let of = |figure: usize| {
        let pairs = row.per_user.iter().zip(&other.per_user);
        difference(pairs.map(|(a, b)| [a[figure], b[figure]]).collect())
    };
    Some(Compared {
        epsilon: [a.epsilon, b.epsilon],
        model: row.model.clone(),
        users,
        figures: [of(0), of(1)],
    })
}

/// Of at least one pair; one pair has no standard error, which is 0 then.
fn difference(pairs: Vec<[f64; 2]>) -> Difference {
    let count = pairs.len() as f64;
    let mean = |of: &dyn Fn(&[f64; 2]) -> f64| {
        let sum: f64 = pairs.iter().map(of).sum();
        sum / count
    };
    let difference = mean(&|pair| pair[1] - pair[0]);
    let variance = mean(&|pair| (pair[1] - pair[0] - difference).powi(2));
    // Over n - 1 for the variance of the people, over n for that of their mean.
    let standard_error = (variance / (count - 1.0).max(1.0)).sqrt();
    Difference {
        means: [mean(&|pair| pair[0]), mean(&|pair| pair[1])],
        difference,
        standard_error,
    }
}

impl Difference {
    /// How many standard errors it is away from nothing; a dash where that says nothing.
    fn in_errors(&self) -> String {
        if self.standard_error > 0.0 {
            format!("{:+.1}", self.difference / self.standard_error)
        } else {
            "-".into()
        }
    }

    fn cells(&self) -> [String; 4] {
        let [a, b] = self.means.map(|mean| fixed(mean, 4));
        let sign = if self.difference > 0.0 { "+" } else { "" };
        let difference = format!("{sign}{}", fixed(self.difference, 4));
        let error = fixed(self.standard_error, 4);
        [a, b, format!("{difference} +- {error}"), self.in_errors()]
    }
}

/// The table a person reads.
pub fn text(comparison: &Comparison) -> String {
    let [a, b] = &comparison.names;
    let mut out = format!(
        "\nA: {a}\nB: {b}\n{}; held out: {}\n\n{:<34}{:>20}{:>9}{:>9}{:>9}{:>20}{:>8}\n",
        comparison.data, comparison.split, "", "epsilon", "", "A", "B", "B - A", "errors"
    );
    for row in &comparison.rows {
        let epsilon = row
            .epsilon
            .map(|epsilon| format!("{epsilon:.3}"))
            .join(" / ");
        for (name, figure) in FIGURES.iter().zip(&row.figures) {
            let [a, b, difference, errors] = figure.cells();
            let model = label(&row.model);
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{model:<34}{epsilon:>20}{name:>9}{a:>9}{b:>9}{difference:>20}{errors:>8}"
            );
        }
    }
    let users = comparison.rows.first().map_or(0, |row| row.users);
    out + &format!(
        "\n+- is the standard error of B - A over {users} users, paired; errors: B - A in standard \
         errors.\nBeyond 2 it is hardly chance of who was asked; noise of training is in it only \
         as far as seeds did not\naverage it away.\n"
    )
}

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page<'a> {
    comparison: &'a Comparison,
    style: &'static str,
    rows: Vec<PageRow>,
}

struct PageRow {
    model: String,
    epsilon: String,
    figure: &'static str,
    cells: [String; 4],
}

/// The page as HTML; it loads nothing.
pub fn html(comparison: &Comparison) -> String {
    let rows = comparison.rows.iter().flat_map(|row| {
        let epsilon = row
            .epsilon
            .map(|epsilon| format!("{epsilon:.3}"))
            .join(" / ");
        FIGURES
            .into_iter()
            .zip(&row.figures)
            .map(move |(figure, difference)| PageRow {
                model: label(&row.model).to_owned(),
                epsilon: epsilon.clone(),
                figure,
                cells: difference.cells(),
            })
    });
    let page = Page {
        comparison,
        style: tacit_audit::PAGE_STYLE,
        rows: rows.collect(),
    };
    page.render()
        .expect("texts and numbers are written to memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(data: &str, hits: [f64; 4]) -> String {
        let per_user: Vec<[f64; 2]> = hits.map(|hit| [hit, hit / 2.0]).into();
        serde_json::json!({
            "data": data, "split": "last item",
            "points": [{"users": 4, "epsilon": 8.0, "rows": [
                {"model": "federated", "per_user": per_user},
                {"model": "random"},
            ]}],
        })
        .to_string()
    }

    #[test]
    fn a_difference_is_paired_by_user() {
        let (a, b) = (
            saved("x", [1.0, 0.0, 0.0, 0.0]),
            saved("x", [1.0, 1.0, 1.0, 0.0]),
        );
        let comparison = compare(("a", &a), ("b", &b)).unwrap();
        assert_eq!((comparison.rows.len(), comparison.rows[0].users), (1, 4));
        let hits = comparison.rows[0].figures[0];
        assert_eq!((hits.means, hits.difference), ([0.25, 0.75], 0.5));
        // Differences 0, 1, 1, 0: variance 1/3 over 3, so 1/12 of the mean of four.
        assert!((hits.standard_error - (1.0f64 / 12.0).sqrt()).abs() < 1e-12);
        let told = text(&comparison);
        assert!(
            told.contains("+0.5000 +- 0.2887") && told.contains("+1.7"),
            "{told}"
        );
        assert!(html(&comparison).contains("+0.5000 +- 0.2887"));
    }

    #[test]
    fn other_people_and_other_files_are_refused() {
        let (a, b) = (saved("x", [0.0; 4]), saved("y", [0.0; 4]));
        for (other, says) in [
            (b.as_str(), "differ in data"),
            ("{}", "no result of simulate --json"),
            (
                &saved("x", [0.0; 4]).replace("per_user", "nothing"),
                "--per-user",
            ),
        ] {
            let error = compare(("a", &a), ("b", other))
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("--compare: ") && error.contains(says),
                "{error}"
            );
        }
    }
}
