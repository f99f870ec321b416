//! An outcome as text and as CSV.

use std::fmt::Write;
use std::io;

use tacit_audit::{Figure, figures};
use tacit_data::Reading;
use tacit_privacy::convert;

use crate::evaluated::Evaluated;
use crate::outcome::{Outcome, Point, Row};
use crate::quality::METRICS;

/// How people read a model's name.
pub fn label(model: &str) -> &str {
    match model {
        "random" => "random",
        "private_popularity" => "private popularity, full epsilon",
        "federated" => "private federated (simulated)",
        "counts_features" => "counts and features, full epsilon",
        "noise_free" => "the same without noise (no bound)",
        "central_ials" => "central iALS, no privacy",
        "central_ials_recent" => "the same with the half-life",
        "central_ease" => "central EASE, tuned, no privacy",
        other => other,
    }
}

/// The table a person reads.
pub fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, outcome);
    out
}

fn write_text(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    for point in &outcome.points {
        writeln!(out, "\n{}", headline(point, outcome.delta))?;
        if point.fallback {
            writeln!(
                out,
                "The signal is below the planner's floor: factors are not trained, devices rank by \
                 popularity and public features."
            )?;
        }
        write_rows(out, &point.rows)?;
        if let Some(found) = &point.evaluation {
            write_evaluation(out, found)?;
        }
    }
    writeln!(
        out,
        "\n{} seed(s), +- is their standard deviation; {} users tested; held out: {}; {}.\n\
         Full ranking of everything not seen; (99): against published negatives; coverage: share \
         of the catalogue in\n\
         somebody's first ten; lift: popularity of the first ten over that of the history, minus \
         1; tail: recall@20 of held-out\n\
         items outside the most used fifth.\n\
         Epsilon: {}; {}.\n\
         Seeded noise: a simulation protects nobody. Presets were chosen on MovieLens-1M's \
         second-last interactions, uncharged.",
        outcome.seeds.len(),
        outcome
            .points
            .iter()
            .flat_map(|point| &point.rows)
            .map(|row| row.tested)
            .max()
            .unwrap_or(0),
        outcome.split,
        recency(outcome.half_life),
        outcome.statement,
        outcome.conversion,
    )?;
    write_reading(out, &outcome.reading)
}

fn recency(half_life: Option<f32>) -> String {
    half_life.map_or("recency does not order lists".into(), |half_life| {
        format!("a half-life of {half_life} interactions orders lists")
    })
}

/// Writes how the data was read, and what a person should know of it before the figures.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_reading(out: &mut String, reading: &Reading) -> std::fmt::Result {
    if reading.columns.is_empty() {
        return Ok(());
    }
    write!(out, "Read: {}; times: {}", reading.columns, reading.times)?;
    if let Some([low, high]) = reading.scale {
        write!(out, "; ratings: {low} to {high}")?;
    }
    writeln!(out, ".")?;
    let mut notes = reading.notes.iter();
    notes.try_for_each(|note| writeln!(out, "Note: {note}."))
}

/// Names a point in one line.
pub fn headline(point: &Point, delta: f64) -> String {
    let projection = match point.projected_users {
        Some(projected) => format!(" standing for {projected} (projection)"),
        None => String::new(),
    };
    let clip = point
        .clip_norm
        .map(|norm| format!(", clipped at {norm}"))
        .unwrap_or_default();
    format!(
        "{} users{projection}, {} items: epsilon {} at delta {delta:e} (asked {}), rho {:.4}, q \
         {:.0}, d {}, rounds {}, head {}{clip}",
        point.users,
        point.items,
        convert::shown(point.epsilon),
        point.epsilon_asked,
        point.rho,
        point.signal,
        point.factors,
        point.rounds,
        point.head
    )
}

/// Columns of the table: name, figure, decimals, and whether the spread over seeds is shown.
const SHOWN: [(&str, &str, usize, bool); 7] = [
    ("HR@10", "hr_at_10", 4, true),
    ("NDCG@10", "ndcg_at_10", 4, true),
    ("R@20", "recall_at_20", 3, false),
    ("HR@10 (99)", "hr_at_10_sampled", 4, true),
    ("coverage", "coverage_at_10", 3, false),
    ("lift", "popularity_lift", 3, false),
    ("tail", "tail_recall_at_20", 3, false),
];

/// Writes one line a model, each column as wide as its widest cell.
fn write_rows(out: &mut String, rows: &[Row]) -> std::fmt::Result {
    let names = SHOWN.map(|(name, ..)| name.to_owned());
    let lines = rows
        .iter()
        .map(|row| (label(row.model), SHOWN.map(|shown| cell(row, shown))));
    let lines: Vec<_> = std::iter::once(("", names)).chain(lines).collect();
    let width = |place: usize| {
        let widest = lines.iter().map(|(_, cells)| cells[place].len()).max();
        widest.unwrap_or(0) + 2
    };
    for (label, cells) in &lines {
        write!(out, "{label:<34}")?;
        for (place, cell) in cells.iter().enumerate() {
            write!(out, "{cell:>width$}", width = width(place))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn cell(row: &Row, (_, metric, decimals, spread): (&str, &str, usize, bool)) -> String {
    match row.figures.get(metric) {
        Some(figure) if spread && figure.runs.len() > 1 => {
            let (mean, std) = (fixed(figure.mean, decimals), fixed(figure.std, decimals));
            format!("{mean}+-{std}")
        }
        Some(figure) => fixed(figure.mean, decimals),
        None => "-".into(),
    }
}

/// A number with this many decimals; nothing is minus zero.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.to_owned(),
        _ => text,
    }
}

/// Writes the figures of the devices' own evaluation, under noise and in the clear.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_evaluation(out: &mut String, found: &Evaluated) -> std::fmt::Result {
    writeln!(
        out,
        "the devices' own evaluation, on each owner's latest item, under noise (and in the clear):"
    )?;
    for (name, [private, direct]) in pairs(found) {
        writeln!(out, "  {name:<44}{private:>20}   ({direct})")?;
    }
    if found.factors_dropped {
        writeln!(
            out,
            "  popularity won: the model is published without its factors"
        )?;
    }
    Ok(())
}

/// Each figure by its name, under noise and in the clear.
pub(crate) fn pairs(found: &Evaluated) -> Vec<(String, [String; 2])> {
    let direct = figures(&found.direct);
    let clear = |name: &str| {
        direct
            .iter()
            .find(|figure| figure.name == name)
            .map(|figure| figure.text.clone())
    };
    let pair = |one: Figure| clear(&one.name).map(|clear| (one.name, [one.text, clear]));
    figures(&found.private)
        .into_iter()
        .filter_map(pair)
        .collect()
}

/// Writes one line per point, model and seed.
///
/// # Errors
/// When writing fails.
pub fn csv(outcome: &Outcome, out: impl io::Write) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(out);
    let point_columns = [
        "users",
        "projected_users",
        "items",
        "epsilon_asked",
        "epsilon",
        "delta",
        "q",
        "factors",
        "rounds",
        "clip_norm",
    ];
    let columns = point_columns
        .into_iter()
        .chain(["head", "model", "seed", "tested"]);
    writer.write_record(columns.chain(METRICS.map(|(name, _)| name)))?;
    for (point, row) in outcome
        .points
        .iter()
        .flat_map(|point| point.rows.iter().map(move |row| (point, row)))
    {
        let runs = row
            .figures
            .values()
            .map(|figure| figure.runs.len())
            .max()
            .unwrap_or(0);
        for (run, seed) in outcome.seeds.iter().enumerate().take(runs) {
            let figure = |name: &str| {
                row.figures
                    .get(name)
                    .and_then(|figure| figure.runs.get(run))
                    .copied()
            };
            writer.write_record(record(outcome, point, row.model, *seed, row.tested, figure))?;
        }
    }
    // The devices' own evaluation is of the first seed.
    for (found, point) in outcome
        .points
        .iter()
        .filter_map(|point| Some((point.evaluation.as_ref()?, point)))
    {
        let seed = outcome.seeds.first().copied().unwrap_or(0);
        for (model, figures) in [
            ("own_evaluation", &found.private),
            ("own_evaluation_in_the_clear", &found.direct),
        ] {
            let figure = |name: &str| {
                let figure = match name {
                    "hr_at_10" => figures.hr_at_10,
                    "ndcg_at_10" => figures.ndcg_at_10,
                    _ => None,
                };
                figure.map(|figure| figure.value)
            };
            let tested = figures.contributors as usize;
            writer.write_record(record(outcome, point, model, seed, tested, figure))?;
        }
    }
    writer.flush()?;
    Ok(())
}

fn record(
    outcome: &Outcome,
    point: &Point,
    model: &str,
    seed: u64,
    tested: usize,
    figure: impl Fn(&str) -> Option<f64>,
) -> Vec<String> {
    let mut record = vec![
        point.users.to_string(),
        point
            .projected_users
            .map(|projected| projected.to_string())
            .unwrap_or_default(),
        point.items.to_string(),
        point.epsilon_asked.to_string(),
        point.epsilon.to_string(),
        outcome.delta.to_string(),
        point.signal.to_string(),
        point.factors.to_string(),
        point.rounds.to_string(),
        point
            .clip_norm
            .map(|norm| norm.to_string())
            .unwrap_or_default(),
        point.head.to_string(),
        model.to_owned(),
        seed.to_string(),
        tested.to_string(),
    ];
    record.extend(METRICS.iter().map(|(name, _)| {
        figure(name)
            .map(|figure| figure.to_string())
            .unwrap_or_default()
    }));
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Spread;

    fn row(model: &'static str, value: f64) -> Row {
        let figures = SHOWN.map(|(_, metric, ..)| (metric, Spread::of(vec![value, value + 0.001])));
        Row {
            model,
            tested: 10,
            figures: figures.into(),
            by_history: Vec::new(),
            per_user: Vec::new(),
        }
    }

    #[test]
    fn columns_never_touch_however_long_their_cells_are() {
        let mut out = String::new();
        write_rows(
            &mut out,
            &[row("random", -0.00001), row("federated", -12.5)],
        )
        .unwrap();
        for line in out.lines().skip(1) {
            let cells = line[34..].split_whitespace().count();
            assert_eq!(cells, SHOWN.len(), "{line}");
        }
        assert!(
            !out.contains("-0.000 ") && !out.contains("-0.0000"),
            "{out}"
        );
    }

    #[test]
    fn nothing_is_minus_zero() {
        assert_eq!([fixed(-0.0, 4), fixed(-0.00004, 4)], ["0.0000", "0.0000"]);
        assert_eq!([fixed(-0.0002, 4), fixed(-1.5, 1)], ["-0.0002", "-1.5"]);
    }
}
