//! An outcome as one self-contained page: curves first, then every figure.

use askama::Template;
use tacit_audit::chart::{self, Chart, Join, Line, Mark, XAxis};

use crate::outcome::{Outcome, Point, Row};
use crate::quality::{Group, LENGTHS, METRICS};
use crate::table::{fixed, headline, label, pairs};

/// Models from the least to the most important, the order lines are drawn in.
const MODELS: [(&str, &str); 6] = [
    ("random", "random"),
    ("central_ials", "central iALS"),
    ("noise_free", "without noise"),
    ("counts_features", "counts and features"),
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
pub fn html(outcome: &Outcome) -> String {
    let along = ALONG
        .iter()
        .filter_map(|along| section(outcome, along));
    let shown = shown_metrics(outcome);
    let page = Page {
        outcome,
        style: tacit_audit::PAGE_STYLE,
        delta: format!("{:e}", outcome.delta),
        facts: facts(outcome),
        sections: along.chain(by_history(outcome)).collect(),
        columns: shown.iter().map(|&place| COLUMNS[place]).collect(),
        tables: outcome
            .points
            .iter()
            .map(|point| table(point, outcome.delta, &shown))
            .collect(),
    };
    page.render()
        .expect("texts and numbers are written to memory")
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
    let largest = || {
        outcome
            .points
            .iter()
            .filter(|point| point.users == users)
    };
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

/// One chart for each figure along one option, through the base combination; nothing when that
/// option was not varied.
fn section(outcome: &Outcome, along: &Along) -> Option<Section> {
    let first = base(outcome)?;
    let points = on_line(outcome, along, first);
    let at = along.x;
    if points.iter().all(|point| at(point) == at(first)) {
        return None;
    }
    let chart = |place: usize| {
        let (metric, _) = METRICS[place];
        let lines = MODELS.map(|(model, label)| line(&points, at, model, label, metric));
        Chart {
            title: format!("{} {}", COLUMNS[place], along.title.to_lowercase()),
            x_label: along.x_label,
            y_label: COLUMNS[place],
            x_axis: XAxis::Points {
                logarithmic: along.logarithmic,
            },
            lines: lines.into(),
            limit: None,
        }
    };
    let shown = shown_metrics(outcome).into_iter();
    let hollow = if points
        .iter()
        .any(|point| point.projected_users.is_some())
    {
        " Hollow: a projection."
    } else {
        ""
    };
    let note = format!(
        "Other options as in the first combination of the largest population. Whiskers: one \
         standard deviation over seeds.{hollow}"
    );
    Some(Section {
        title: along.title,
        note,
        charts: shown.map(|place| chart(place).svg()).collect(),
    })
}

/// The combinations on one line with `first`, from left to right. Only the largest population is
/// carried on by projections.
fn on_line<'o>(outcome: &'o Outcome, along: &Along, first: &Point) -> Vec<&'o Point> {
    let users = outcome.points.iter().map(|point| point.users).max();
    let fixed = (along.fixed)(first);
    let is_on_line = |point: &&Point| {
        let carried = point.projected_users.is_none() || Some(point.users) == users;
        carried && (along.fixed)(point) == fixed
    };
    let mut points: Vec<&Point> = outcome.points.iter().filter(is_on_line).collect();
    points.sort_by(|a, b| (along.x)(a).total_cmp(&(along.x)(b)));
    points
}

fn line(
    points: &[&Point],
    x: fn(&Point) -> f64,
    model: &'static str,
    label: &'static str,
    metric: &str,
) -> Line {
    let place = |point: &&Point| {
        let spread = point.row(model)?.figures.get(metric)?;
        let projected = point.projected_users.is_some();
        Some(chart::Point {
            x: x(point),
            y: spread.mean,
            std: spread.std,
            mark: if projected { Mark::Hollow } else { Mark::Full },
        })
    };
    Line {
        label: Some(label),
        class: model,
        join: Join::Straight,
        points: points.iter().filter_map(place).collect(),
    }
}

/// Quality by length of history at the base combination.
fn by_history(outcome: &Outcome) -> Option<Section> {
    let first = base(outcome)?;
    let groups = &first.row("federated")?.by_history;
    if groups.len() < 2 {
        return None;
    }
    let tested: Vec<String> = groups
        .iter()
        .map(|group| format!("{} ({})", range(group.from), group.tested))
        .collect();
    let charts = [
        history_chart(first, "HR@10", |group| group.hr_at_10),
        history_chart(first, "NDCG@10", |group| group.ndcg_at_10),
    ];
    Some(Section {
        title: "By length of history",
        note: format!(
            "First combination of the largest population. Users tested: {}.",
            tested.join(", ")
        ),
        charts: charts.map(|chart| chart.svg()).into(),
    })
}

/// One figure of every model, by length of history.
fn history_chart(point: &Point, figure: &'static str, of: fn(&Group) -> f64) -> Chart {
    let groups = |model| point.row(model).map_or(&[][..], |row| &row.by_history);
    let place = |(place, group): (usize, &Group)| chart::Point {
        x: place as f64,
        y: of(group),
        std: 0.0,
        mark: Mark::Full,
    };
    let lines = MODELS.map(|(model, label)| Line {
        label: Some(label),
        class: model,
        join: Join::Straight,
        points: groups(model).iter().enumerate().map(place).collect(),
    });
    let names = groups("federated")
        .iter()
        .map(|group| range(group.from));
    Chart {
        title: format!("{figure} by length of history"),
        x_label: "items in the history",
        y_label: figure,
        x_axis: XAxis::Names(names.collect()),
        lines: lines.into(),
        limit: None,
    }
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
        rows: point
            .rows
            .iter()
            .map(|row| table_row(row, shown))
            .collect(),
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
        Some(spread) if spread.runs.len() > 1 => (fixed(spread.mean, 3), fixed(spread.std, 3)),
        Some(spread) => (fixed(spread.mean, 3), String::new()),
        None => ("-".into(), String::new()),
    };
    TableRow {
        label: label(row.model),
        federated: row.model == "federated",
        cells: shown.iter().map(cell).collect(),
    }
}
