//! What costs no privacy: each choice of the server and of ranking, taken away or turned the other
//! way.

use std::fmt::Write;
use std::path::Path;

use tacit_data::Split;
use tacit_model::Recipe;
use tacit_model::history::recency::HALF_LIFE;
use tacit_simulate::outcome::Row;
use tacit_simulate::train::train_featured;
use tacit_simulate::{Family, Population, reference};
use tacit_types::Epsilon;

use crate::markdown::cells;
use crate::{ML_1M, SEEDS, population, setting};

/// Budget of the measurement.
const EPSILON: f64 = 8.0;

/// One way to do it otherwise.
struct Variant {
    name: &'static str,
    /// Rounds asked for instead of the planner's choice.
    rounds: Option<u32>,
    change: fn(Recipe) -> Recipe,
    half_life: Option<f32>,
}

impl Variant {
    fn new(name: &'static str, change: fn(Recipe) -> Recipe) -> Self {
        Self {
            name,
            rounds: None,
            change,
            half_life: None,
        }
    }
}

fn variants() -> [Variant; 8] {
    [
        Variant::new("the planner's preset", |preset| preset),
        Variant::new("no weight for rare items (a = 0)", |preset| Recipe {
            weight_exponent: 0.0,
            ..preset
        }),
        Variant::new("more of it (a = .4)", |preset| Recipe {
            weight_exponent: 0.4,
            ..preset
        }),
        Variant::new("no popularity put back (b = 0)", |preset| Recipe {
            popularity_exponent: 0.0,
            ..preset
        }),
        Variant::new("items of 80 % of use only", |preset| Recipe {
            coverage: 0.8,
            ..preset
        }),
        Variant {
            rounds: Some(2),
            ..Variant::new("two rounds, the last alone (carry 0)", |preset| Recipe {
                carry: 0.0,
                ..preset
            })
        },
        Variant {
            rounds: Some(2),
            ..Variant::new("two rounds, averaged (carry .5)", |preset| Recipe {
                carry: 0.5,
                ..preset
            })
        },
        Variant {
            half_life: Some(HALF_LIFE),
            ..Variant::new("devices rank with a half-life of 10", |preset| preset)
        },
    ]
}

/// The table, on the published leave-one-out.
pub(crate) fn measure(data: &Path) -> anyhow::Result<String> {
    let population = population(&data.join(ML_1M), Split::LeaveOneOut)?;
    let mut out = format!(
        "\nMovieLens-1M, published leave-one-out, epsilon {EPSILON}, no recency but in the last \
         line. Each line changes one thing that costs no privacy, at the same releases or, with \
         two rounds, at the same epsilon.\n\n\
         | choice | HR@10 (99) | NDCG@10 (99) | HR@10 | NDCG@10 |\n|---|---|---|---|---|\n"
    );
    for variant in variants() {
        writeln!(
            out,
            "| {} | {} |",
            variant.name,
            cells(&judged(&population, &variant)?)
        )?;
    }
    Ok(out)
}

fn judged(population: &Population, variant: &Variant) -> anyhow::Result<Row> {
    let mut setting = setting(Epsilon::new(EPSILON)?)?;
    setting.rounds = variant.rounds;
    let mut plan = setting.plan(Family::Spectral, population.users(), population.items)?;
    plan.recipe = (variant.change)(plan.recipe);
    let histories = population.capped(setting.history_max);
    let mut figures = Vec::new();
    for seed in SEEDS {
        let model = train_featured(&histories, &population.features, &plan, seed)?.model;
        figures.push(reference::ranked_with(
            population,
            &model,
            variant.half_life,
        ));
        eprint!(".");
    }
    Ok(Row::of(variant.name, &figures))
}
