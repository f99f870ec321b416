//! An outcome as one self-contained page: curves first, then every figure.

use askama::Template;

use crate::outcome::{Outcome, Point, Row};
use crate::plot::{self, Chart, Frame, Series};
use crate::quality::{LENGTHS, METRICS};
use crate::table::{headline, label, pairs};

/// Models from the least to the most important, the order lines are drawn in.
const MODELS: [(&str, &str); 5] = [
    ("random", "random"),
    ("central_ials", "central iALS"),
    ("noise_free", "same, no noise"),
    ("private_popularity", "private popularity"),
    ("federated", "private federated"),
];

/// Columns of the tables, in the order of [`METRICS`].
const COLUMNS: [&str; 8] = [
    "HR@10",
    "NDCG@10",
    "Recall@20",
    "HR@10 (99)",
    "NDCG@10 (99)",
    "Coverage",
    "Lift",
    "Tail recall",
];

#[derive(Template)]
#[template(path = "simulation.html")]
struct Page<'a> {
    outcome: &'a Outcome,
    style: &'static str,
    delta: String,
    facts: [(String, String); 3],
    sections: Vec<Section>,
    columns: Vec<&'static str>,
    tables: Vec<Table>,
}

struct Section {
    title: &'static str,
    note: String,
    /// Rendered charts.
    charts: Vec<String>,
}

struct Table {
    title: String,
    facts: String,
    projection: bool,
    fallback: bool,
    rows: Vec<TableRow>,
    /// What the devices found themselves: name, under noise, in the clear.
    evaluation: Vec<[String; 3]>,
    factors_dropped: bool,
}

struct TableRow {
    label: &'static str,
    federated: bool,
    /// Mean and standard deviation; either may be empty.
    cells: Vec<(String, String)>,
}

/// What a section's charts go along.
struct Along {
    title: &'static str,
    x_label: &'static str,
    x: fn(&Point) -> f64,
    logarithmic: bool,
    /// What must be equal for two points to be on one line.
    fixed: fn(&Point) -> Vec<u64>,
}

const ALONG: [Along; 5] = [
    Along {
        title: "Against epsilon",
        x_label: "epsilon (logarithmic)",
        x: |point| point.epsilon_asked,
        logarithmic: true,
        fixed: |point| [population(point), trained(point)].concat(),
    },
    Along {
        title: "Against devices",
        x_label: "devices (logarithmic)",
        x: |point| f64::from(point.devices()),
        logarithmic: true,
        fixed: |point| [vec![point.epsilon_asked.to_bits()], trained(point)].concat(),
    },
    Along {
        title: "Against rounds",
        x_label: "rounds of factor gradients",
        x: |point| f64::from(point.rounds),
        logarithmic: false,
        fixed: |point| {
            [
                price(point),
                vec![asked(point.factors_asked), clip(point).to_bits()],
            ]
            .concat()
        },
    },
    Along {
        title: "Against factors",
        x_label: "item factors",
        x: |point| f64::from(point.factors),
        logarithmic: false,
        fixed: |point| {
            [
                price(point),
                vec![asked(point.rounds_asked), clip(point).to_bits()],
            ]
            .concat()
        },
    },
    Along {
        title: "Against the clipping norm",
        x_label: "clipping norm (logarithmic)",
        x: clip,
        logarithmic: true,
        fixed: |point| {
            [
                price(point),
                vec![asked(point.factors_asked), asked(point.rounds_asked)],
            ]
            .concat()
        },
    },
];

fn population(point: &Point) -> Vec<u64> {
    vec![point.devices().into(), point.users.into()]
}

/// Who takes part, and for how much.
fn price(point: &Point) -> Vec<u64> {
    [population(point), vec![point.epsilon_asked.to_bits()]].concat()
}

fn trained(point: &Point) -> Vec<u64> {
    vec![
        asked(point.factors_asked),
        asked(point.rounds_asked),
        clip(point).to_bits(),
    ]
}

/// The clipping norm; 1 for models whose vectors have that norm by construction.
fn clip(point: &Point) -> f64 {
    point.clip_norm.unwrap_or(1.0)
}

fn asked(value: Option<u32>) -> u64 {
    value.map_or(u64::MAX, u64::from)
}

/// The page as HTML with inline SVG; it loads nothing.
///
/// # Errors
/// When the template cannot be rendered.
pub fn html(outcome: &Outcome) -> Result<String, askama::Error> {
    let mut sections = Vec::new();
    for along in &ALONG {
        sections.extend(section(outcome, along)?);
    }
    sections.extend(by_history(outcome)?);
    let shown = shown_metrics(outcome);
    Page {
        outcome,
        style: tacit_audit::PAGE_STYLE,
        delta: format!("{:e}", outcome.delta),
        facts: facts(outcome),
        sections,
        columns: shown.iter().map(|&place| COLUMNS[place]).collect(),
        tables: outcome
            .points
            .iter()
            .map(|point| table(point, outcome.delta, &shown))
            .collect(),
    }
    .render()
}

/// Places in [`METRICS`] of the figures this data has.
fn shown_metrics(outcome: &Outcome) -> Vec<usize> {
    let rows = || outcome.points.iter().flat_map(|point| &point.rows);
    (0..METRICS.len())
        .filter(|&place| rows().any(|row| row.figures.contains_key(METRICS[place].0)))
        .collect()
}

/// The combination every curve passes through: the first of the largest population, not projected
/// where there is one.
fn base(outcome: &Outcome) -> Option<&Point> {
    let users = outcome.points.iter().map(|point| point.users).max()?;
    let largest = || outcome.points.iter().filter(|point| point.users == users);
    largest()
        .find(|point| point.projected_users.is_none())
        .or_else(|| largest().next())
}

/// What a reader looks for first.
fn facts(outcome: &Outcome) -> [(String, String); 3] {
    let of = |point: Option<&Point>, model: &str, metric: &str| {
        point
            .and_then(|point| point.row(model)?.mean(metric))
            .map_or("-".into(), |mean| format!("{mean:.3}"))
    };
    let first = base(outcome);
    let epsilon = first.map_or(String::new(), |point| format!("{}", point.epsilon_asked));
    let devices = first.map_or(0, Point::devices);
    [
        (
            of(first, "federated", "ndcg_at_10"),
            format!("NDCG@10, private federated, epsilon {epsilon}, {devices} devices"),
        ),
        (
            of(first, "private_popularity", "ndcg_at_10"),
            "NDCG@10, private popularity at the same epsilon".into(),
        ),
        (
            of(first, "central_ials", "ndcg_at_10"),
            "NDCG@10, central iALS, which sees everything".into(),
        ),
    ]
}

/// One chart a figure, along one option, through the base combination; nothing when that option was
/// not varied.
fn section(outcome: &Outcome, along: &Along) -> Result<Option<Section>, askama::Error> {
    let Some(first) = base(outcome) else {
        return Ok(None);
    };
    // Only the largest population is carried on by projections.
    let users = outcome
        .points
        .iter()
        .map(|point| point.users)
        .max()
        .unwrap_or(0);
    let on_line = |point: &&Point| {
        (along.fixed)(point) == (along.fixed)(first)
            && (point.projected_users.is_none() || point.users == users)
    };
    let mut points: Vec<&Point> = outcome.points.iter().filter(on_line).collect();
    points.sort_by(|a, b| (along.x)(a).total_cmp(&(along.x)(b)));
    if points
        .iter()
        .all(|point| (along.x)(point) == (along.x)(first))
    {
        return Ok(None);
    }
    let mut charts = Vec::new();
    for place in shown_metrics(outcome) {
        let (metric, _) = METRICS[place];
        let series = MODELS.map(|(model, label)| line(&points, along.x, model, label, metric));
        let frame = Frame {
            title: format!("{} {}", COLUMNS[place], along.title.to_lowercase()),
            x_label: along.x_label,
            y_label: COLUMNS[place],
            logarithmic: along.logarithmic,
            names: None,
        };
        charts.push(Chart::new(frame, &series).render()?);
    }
    let hollow = if points.iter().any(|point| point.projected_users.is_some()) {
        " Hollow: a projection."
    } else {
        ""
    };
    let note = format!(
        "Other options as in the first combination of the largest population. Whiskers: one \
         standard deviation over seeds.{hollow}"
    );
    Ok(Some(Section {
        title: along.title,
        note,
        charts,
    }))
}

fn line(
    points: &[&Point],
    x: fn(&Point) -> f64,
    model: &'static str,
    label: &'static str,
    metric: &str,
) -> Series {
    let place = |point: &&Point| {
        let spread = point.row(model)?.figures.get(metric)?;
        let hollow = point.projected_users.is_some();
        Some(plot::Point {
            x: x(point),
            y: spread.mean,
            std: spread.std,
            hollow,
        })
    };
    Series {
        label,
        class: model,
        points: points.iter().filter_map(place).collect(),
    }
}

/// Quality by length of history at the base combination.
fn by_history(outcome: &Outcome) -> Result<Option<Section>, askama::Error> {
    let Some(first) = base(outcome) else {
        return Ok(None);
    };
    let Some(groups) = first
        .row("federated")
        .map(|row| &row.by_history)
        .filter(|groups| groups.len() > 1)
    else {
        return Ok(None);
    };
    let names: Vec<String> = groups.iter().map(|group| range(group.from)).collect();
    let chart = |title: &str, y_label, part: fn(&crate::quality::Group) -> f64| {
        let series = MODELS.map(|(model, label)| {
            let groups = first
                .row(model)
                .map(|row| row.by_history.as_slice())
                .unwrap_or_default();
            let point = |(place, group)| plot::Point {
                x: place as f64,
                y: part(group),
                std: 0.0,
                hollow: false,
            };
            Series {
                label,
                class: model,
                points: groups.iter().enumerate().map(point).collect(),
            }
        });
        let (title, names) = (title.to_owned(), Some(names.clone()));
        Chart::new(
            Frame {
                title,
                x_label: "items in the history",
                y_label,
                logarithmic: false,
                names,
            },
            &series,
        )
        .render()
    };
    let tested: Vec<String> = groups
        .iter()
        .map(|group| format!("{} ({})", range(group.from), group.tested))
        .collect();
    Ok(Some(Section {
        title: "By length of history",
        note: format!(
            "First combination of the largest population. Users tested: {}.",
            tested.join(", ")
        ),
        charts: vec![
            chart("HR@10 by length of history", "HR@10", |group| {
                group.hr_at_10
            })?,
            chart("NDCG@10 by length of history", "NDCG@10", |group| {
                group.ndcg_at_10
            })?,
        ],
    }))
}

/// A group's name: from its lower edge to below the next.
fn range(from: usize) -> String {
    match LENGTHS.iter().find(|edge| **edge > from) {
        Some(next) => format!("{from}-{}", next - 1),
        None => format!("{from}+"),
    }
}

fn table(point: &Point, delta: f64, shown: &[usize]) -> Table {
    let title = headline(point, delta);
    let (title, facts) = title.split_once(": ").unwrap_or((&title, ""));
    Table {
        title: title.to_owned(),
        facts: facts.to_owned(),
        projection: point.projected_users.is_some(),
        fallback: point.fallback,
        rows: point.rows.iter().map(|row| table_row(row, shown)).collect(),
        evaluation: point
            .evaluation
            .iter()
            .flat_map(pairs)
            .map(|(name, both)| [name, both[0].clone(), both[1].clone()])
            .collect(),
        factors_dropped: point
            .evaluation
            .as_ref()
            .is_some_and(|found| found.factors_dropped),
    }
}

fn table_row(row: &Row, shown: &[usize]) -> TableRow {
    let cell = |&place: &usize| match row.figures.get(METRICS[place].0) {
        Some(spread) if spread.runs.len() > 1 => {
            (format!("{:.3}", spread.mean), format!("{:.3}", spread.std))
        }
        Some(spread) => (format!("{:.3}", spread.mean), String::new()),
        None => ("-".into(), String::new()),
    };
    TableRow {
        label: label(row.model),
        federated: row.model == "federated",
        cells: shown.iter().map(cell).collect(),
    }
}
