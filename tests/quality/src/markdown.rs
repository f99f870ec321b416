//! The results as one Markdown file.

use std::fmt::Write;

use tacit_simulate::Outcome;
use tacit_simulate::outcome::{Point, Row};
use tacit_simulate::table::{headline, label};

use crate::Sections;
use crate::control;
use crate::target::{LEAVE_ONE_OUT, RANDOM, SMALL, Target, against_popularity, parity};

/// Columns: the metric and its heading.
const COLUMNS: [(&str, &str); 8] = [
    ("hr_at_10_sampled", "HR@10 (99)"),
    ("ndcg_at_10_sampled", "NDCG@10 (99)"),
    ("hr_at_10", "HR@10"),
    ("ndcg_at_10", "NDCG@10"),
    ("recall_at_20", "R@20"),
    ("coverage_at_10", "coverage"),
    ("popularity_lift", "lift"),
    ("tail_recall_at_20", "tail R@20"),
];

/// The whole file.
pub(crate) fn results(sections: &Sections) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_results(&mut out, sections);
    out
}

/// Means and deviations of a row's ranking figures, as cells of a table.
pub(crate) fn cells(row: &Row) -> String {
    let spread = |metric| match row.figures.get(metric) {
        Some(figure) => format!("{:.4} ± {:.4}", figure.mean, figure.std),
        None => "-".into(),
    };
    [
        "hr_at_10_sampled",
        "ndcg_at_10_sampled",
        "hr_at_10",
        "ndcg_at_10",
    ]
    .map(spread)
    .join(" | ")
}

fn write_results(out: &mut String, sections: &Sections) -> std::fmt::Result {
    let Sections {
        leave_one_out,
        without_recency,
        random,
        small,
        ..
    } = sections;
    writeln!(
        out,
        "# Recommendation quality\n\n\
         Made by `cargo xtask quality` with `TACIT_DATA` set; do not edit. Simulated, mode {}.\n\n\
         Epsilon is for {}; delta {:e}; {}. Every release is charged, no amplification. A share \
         of {} drops out of each round, a share of {} is assumed dishonest, histories are capped \
         at {}. Seeds {:?}; ± is the standard deviation over them. (99): against the 99 published \
         negatives; all else against everything the user has not used. Presets were chosen on \
         second-last interactions of MovieLens-1M and on a random fifth of what the test's random \
         fifth left. One choice is not untouched by these tests: how far taste is trusted was \
         chosen for new owners, after figures of MovieLens-1M's tests with and without it had \
         been seen (differences up to .006). No tuning is charged. The private model uses public \
         item features: genres, and the year and decade in titles. So do counts with features, \
         its like-for-like neighbour, with the same half-life. Central iALS and EASE use no \
         features; EASE is tuned on each user's latest training item, and \"with the half-life\" \
         iALS ranks as the devices do. \"Without noise\" has the recipe for no noise, and is no \
         bound.\n",
        leave_one_out.mode,
        leave_one_out.statement,
        leave_one_out.delta,
        leave_one_out.conversion,
        leave_one_out.dropout,
        leave_one_out.dishonest,
        leave_one_out.history_max,
        leave_one_out.seeds,
    )?;
    write_in_short(out, leave_one_out)?;
    write_targets(out, sections)?;
    writeln!(
        out,
        "\n## MovieLens-1M, published leave-one-out\n\n{}",
        ranking_note(leave_one_out)
    )?;
    write_points(out, leave_one_out)?;
    writeln!(
        out,
        "\n## MovieLens-1M, published leave-one-out, without recency\n\nDevices rank all of their \
         history alike."
    )?;
    write_points(out, without_recency)?;
    writeln!(
        out,
        "\n## MovieLens-1M, random 80/20\n\nThe fifth is drawn from the training file; the \
         published test items are not used. {}",
        ranking_note(random)
    )?;
    write_points(out, random)?;
    writeln!(
        out,
        "\n## MovieLens-100K, random 80/20\n\n{}",
        ranking_note(small)
    )?;
    write_points(out, small)
}

/// The table of the README: sampled and full hit ratio of every row at every budget.
fn write_in_short(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let points: Vec<&Point> = outcome
        .points
        .iter()
        .filter(|point| point.projected_users.is_none())
        .collect();
    let Some(first) = points.first() else {
        return Ok(());
    };
    writeln!(
        out,
        "## In short\n\nMovieLens-1M, published leave-one-out: HR@10 against the 99 published \
         negatives / against the full catalogue.\n"
    )?;
    let budgets: String = points
        .iter()
        .map(|point| format!(" epsilon {} |", point.epsilon_asked))
        .collect();
    writeln!(out, "| |{budgets}\n|---|{}", "---|".repeat(points.len()))?;
    for row in &first.rows {
        let cell = |point: &&Point| {
            let mean = |metric| point.row(row.model)?.mean(metric);
            let (sampled, full) = (mean("hr_at_10_sampled")?, mean("hr_at_10")?);
            Some(format!(" {sampled:.3} / {full:.3} |"))
        };
        let cells: String = points.iter().filter_map(cell).collect();
        let own = if row.model == "federated" { "**" } else { "" };
        writeln!(out, "| {own}{}{own} |{cells}", label(row.model))?;
    }
    writeln!(out)
}

fn write_targets(out: &mut String, sections: &Sections) -> std::fmt::Result {
    let Sections {
        leave_one_out,
        without_recency,
        random,
        small,
        control: counter,
    } = sections;
    writeln!(
        out,
        "## Targets\n\n| MovieLens-1M unless named | epsilon | figure | target | stretch | \
         measured | |\n|---|---|---|---|---|---|---|"
    )?;
    for (split, outcome, targets) in [
        ("leave-one-out", leave_one_out, &LEAVE_ONE_OUT[..]),
        (
            "leave-one-out, no recency",
            without_recency,
            &LEAVE_ONE_OUT[..],
        ),
        ("random 80/20", random, &RANDOM[..]),
        ("MovieLens-100K, random 80/20", small, &SMALL[..]),
    ] {
        for target in targets {
            write_target(out, split, outcome, target)?;
        }
    }
    for (split, outcome) in [
        ("leave-one-out", leave_one_out),
        ("leave-one-out, no recency", without_recency),
    ] {
        let Some((own, list, error)) = against_popularity(outcome) else {
            continue;
        };
        let verdict = if own >= list - error {
            "met"
        } else {
            "**missed**"
        };
        let least = format!("private popularity {list:.4} less one s.e. {error:.4}");
        writeln!(
            out,
            "| {split} | 1 | HR@10 (99) | {least} | | {own:.4} | {verdict} |"
        )?;
    }
    for (split, outcome) in [
        ("leave-one-out, no recency", without_recency),
        ("random 80/20", random),
    ] {
        let Some((least, own)) = parity(outcome) else {
            continue;
        };
        let verdict = if own >= least { "met" } else { "**missed**" };
        let least = format!("99 % of central iALS: {least:.4}");
        writeln!(
            out,
            "| {split} | no noise | NDCG@10 full | {least} | | {own:.4} | {verdict} |"
        )?;
    }
    let verdict = if control::is_chance(counter) {
        "chance"
    } else {
        "**not chance: the evaluation leaks**"
    };
    writeln!(
        out,
        "| leave-one-out | | HR@10 (99) of a counter that learns nothing | {} | | {:.4} | \
         {verdict} |",
        control::CHANCE,
        counter.hr_at_10_sampled.unwrap_or_default()
    )
}

fn write_target(
    out: &mut String,
    split: &str,
    outcome: &Outcome,
    target: &Target,
) -> std::fmt::Result {
    let Some(reached) = target.reached(outcome) else {
        return Ok(());
    };
    let stretch = target
        .stretch
        .map(|stretch| format!("{stretch:.3}"))
        .unwrap_or_default();
    writeln!(
        out,
        "| {split} | {} | {} | {:.3} | {stretch} | {:.4} ± {:.4} | {} |",
        target.epsilon,
        target.name,
        target.least,
        reached.mean,
        reached.std,
        target.verdict(reached.mean)
    )
}

fn ranking_note(outcome: &Outcome) -> String {
    match outcome.half_life {
        Some(half_life) => format!(
            "Devices rank with a half-life of {half_life} interactions where histories have times \
             (about half of these users)."
        ),
        None => "Devices rank without recency: a random hold-out is no future.".into(),
    }
}

fn write_points(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    for point in &outcome.points {
        writeln!(
            out,
            "\n{}\n\n|  |{}\n|---|{}",
            headline(point, outcome.delta),
            headings(),
            "---|".repeat(COLUMNS.len())
        )?;
        for row in &point.rows {
            write_row(out, row)?;
        }
        let groups = point
            .row("federated")
            .map(|row| row.by_history.as_slice())
            .unwrap_or_default();
        let groups: Vec<String> = groups
            .iter()
            .map(|group| {
                format!(
                    "from {} items {:.3} ({} users)",
                    group.from, group.ndcg_at_10, group.tested
                )
            })
            .collect();
        writeln!(
            out,
            "\nNDCG@10 of the federated model by length of history: {}.",
            groups.join(", ")
        )?;
    }
    Ok(())
}

fn headings() -> String {
    COLUMNS
        .iter()
        .map(|(_, heading)| format!(" {heading} |"))
        .collect()
}

fn write_row(out: &mut String, row: &Row) -> std::fmt::Result {
    write!(out, "| {} |", label(row.model))?;
    for (metric, _) in COLUMNS {
        match row.figures.get(metric) {
            Some(figure) if figure.runs.len() > 1 => {
                write!(out, " {:.4} ± {:.4} |", figure.mean, figure.std)?
            }
            Some(figure) => write!(out, " {:.4} |", figure.mean)?,
            None => write!(out, " - |")?,
        }
    }
    writeln!(out)
}
