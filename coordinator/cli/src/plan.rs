//! Says what a deployment of a given size would cost and give, before anything exists: the
//! coordinator's own planner.

use std::fmt::Write;

use serde::Serialize;
use tacit_model::family::Family;
use tacit_model::family::rating::Scale;
use tacit_model::family::recipe::{SIGNAL_GOOD, SIGNAL_UNSURE, gain_share};
use tacit_plan::{
    EVALUATION_SHARE, Forecast, PlanRequest, PlannedRelease, advice, default_delta, signal_min,
    thousands,
};
use tacit_privacy::convert;
use tacit_types::{Delta, Epsilon, Kind};

use crate::failure::Failure;
use crate::family::ModelOption;
use crate::say;

/// Clip, round, noise and mask of one coordinate: 14 ms for 118,592 of them, measured on a busy
/// server core by the device benchmark. Disk, network and sealing come on top.
const NANOSECONDS_PER_COORDINATE: f64 = 120.0;
/// Columns of the advice.
const WIDTH: usize = 100;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is trained.
    #[arg(long, value_enum, default_value_t = ModelOption::Spectral)]
    model: ModelOption,
    /// Devices a round takes.
    #[arg(long, value_name = "N")]
    users: u32,
    /// Items in the catalogue.
    #[arg(long, value_name = "M")]
    items: u32,
    /// Privacy budget of one device over the whole task.
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    epsilon: f64,
    /// Delta it is stated at [default: the largest number of one digit that is at most 1/(10 N)].
    #[arg(long, allow_negative_numbers = true)]
    delta: Option<f64>,
    /// Number of factors, instead of the planner's choice.
    #[arg(long, value_name = "d")]
    factors: Option<u32>,
    /// Factor-gradient rounds, instead of the planner's choice.
    #[arg(long, value_name = "T")]
    rounds: Option<u32>,
    /// Share of the budget for evaluating the model on the devices; 0 for none.
    #[arg(
        long,
        default_value_t = EVALUATION_SHARE,
        allow_negative_numbers = true,
        value_name = "s"
    )]
    evaluation: f64,
    /// Participation limit: most releases one device takes part in. Rounds beyond it are cut, down
    /// to one; a limit that does not cover one round is refused.
    #[arg(long, value_name = "k")]
    participation: Option<u32>,
    /// Share of devices assumed to drop out.
    #[arg(
        long,
        default_value_t = 0.05,
        allow_negative_numbers = true,
        value_name = "p"
    )]
    dropout: f64,
    /// Share of devices assumed dishonest.
    #[arg(
        long,
        default_value_t = 0.05,
        allow_negative_numbers = true,
        value_name = "f"
    )]
    dishonest: f64,
    /// Interactions of one device that may enter a vector.
    #[arg(long, default_value_t = 1024, value_name = "L")]
    history_max: u32,
    /// The helper adds the whole noise once more, so that privacy rests on the helper alone.
    #[arg(long)]
    helper_noise: bool,
    /// One JSON object on standard output. sigma and gamma are those of the last release that
    /// trains, in clipping norms.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let request = request(options)?;
    let forecast = tacit_plan::forecast(&request)
        .map_err(|error| Failure::input(format!("{}: {error}", flag(error.field()))))?;
    if options.json {
        say::json(&Outcome::new(&request, &forecast))?;
    } else {
        let mut text = String::new();
        render(&mut text, &request, &forecast)?;
        say::result(text)?;
    }
    Ok(())
}

fn request(options: &Options) -> Result<PlanRequest, Failure> {
    let epsilon = Epsilon::new(options.epsilon)
        .map_err(|error| Failure::input(format!("--epsilon: {error}")))?;
    let delta = options.delta.map(Delta::new).transpose();
    let delta = delta.map_err(|error| Failure::input(format!("--delta: {error}")))?;
    Ok(PlanRequest {
        model: options.model.into(),
        scale: Scale::STARS,
        cohort: options.users,
        items: options.items,
        epsilon,
        delta: delta.unwrap_or_else(|| default_delta(options.users)),
        dropout: options.dropout,
        dishonest: options.dishonest,
        history_max: options.history_max,
        helper_noise: options.helper_noise,
        factors: options.factors,
        rounds: options.rounds,
        clip_norm: None,
        carried: None,
        evaluation: options.evaluation,
        participation: options.participation,
    })
}

/// The flag of a request's field.
fn flag(field: &str) -> String {
    if field == "cohort" {
        "--users".into()
    } else {
        format!("--{}", field.replace('_', "-"))
    }
}

/// What scripts read.
#[derive(Serialize)]
struct Outcome {
    rho: f64,
    rho_units: String,
    epsilon: f64,
    conversion: &'static str,
    q: f64,
    gain_share: f64,
    releases: Vec<Release>,
    sigma: f64,
    gamma: f64,
    bytes_up_per_device: u64,
    advice: Vec<String>,
}

/// One release; sigma and gamma in clipping norms.
#[derive(Serialize)]
struct Release {
    kind: &'static str,
    rho: f64,
    sigma: f64,
    gamma: f64,
    length: u32,
    bytes: u64,
}

impl Release {
    fn new(planned: &PlannedRelease) -> Self {
        let mechanism = &planned.mechanism;
        let steps = f64::from(mechanism.steps);
        Self {
            kind: planned.kind.as_str(),
            rho: mechanism.rho().to_f64_up(),
            sigma: (mechanism.sigma2 as f64).sqrt() / steps,
            gamma: 1.0 / steps,
            length: mechanism.length,
            bytes: planned.upload_bytes(),
        }
    }
}

impl Outcome {
    fn new(request: &PlanRequest, forecast: &Forecast) -> Self {
        let releases: Vec<Release> = forecast.releases.iter().map(Release::new).collect();
        let trains = releases
            .iter()
            .rev()
            .find(|release| release.kind != Kind::Metrics.as_str());
        Self {
            rho: forecast.rho_total.to_f64_up(),
            rho_units: forecast.rho_total.to_string(),
            epsilon: forecast.epsilon,
            conversion: convert::CONVERSION,
            q: forecast.plan.signal,
            gain_share: forecast.gain_share,
            sigma: trains.map_or(0.0, |release| release.sigma),
            gamma: trains.map_or(0.0, |release| release.gamma),
            bytes_up_per_device: releases.iter().map(|release| release.bytes).sum(),
            releases,
            advice: advice(request, forecast),
        }
    }
}

/// What people read.
fn render(out: &mut String, request: &PlanRequest, forecast: &Forecast) -> std::fmt::Result {
    let outcome = Outcome::new(request, forecast);
    writeln!(out, "{}\n", verdict(request.model, forecast))?;
    let count = |value: u32| thousands(value.into());
    let mut line = |label: &str, text: String| writeln!(out, "  {label:<12}{text}");
    line(
        "devices",
        format!(
            "{} a round; {} honest shares of noise assumed (dropout {}, dishonest {})",
            count(request.cohort),
            count(forecast.plan.n_min),
            request.dropout,
            request.dishonest
        ),
    )?;
    line(
        "items",
        format!(
            "{}; {}",
            count(request.items),
            trained(request.model, forecast)
        ),
    )?;
    line(
        "privacy",
        format!(
            "epsilon {} of {} at delta {:e}, rho {}; {}",
            convert::shown(forecast.epsilon),
            request.epsilon,
            request.delta.get(),
            figure(outcome.rho),
            if request.helper_noise {
                "rests on the helper alone"
            } else {
                "if the coordinator is at most curious"
            }
        ),
    )?;
    line("", format!("conversion: {}", convert::CONVERSION))?;
    let good = match request.model {
        Family::Rating | Family::Neural => String::new(),
        _ => format!(", {SIGNAL_GOOD} keeps nine tenths of the gain"),
    };
    line(
        "signal q",
        format!(
            "{:.1}; {} is the least{good}",
            forecast.plan.signal,
            figure(signal_min(request.model))
        ),
    )?;
    let coordinates: f64 = outcome
        .releases
        .iter()
        .map(|release| f64::from(release.length))
        .sum();
    line(
        "each device",
        format!(
            "sends at most {}; computes for about {} ms (estimate, {NANOSECONDS_PER_COORDINATE} ns \
             a coordinate)",
            size(outcome.bytes_up_per_device),
            thousands((coordinates * NANOSECONDS_PER_COORDINATE / 1e6).ceil())
        ),
    )?;
    table(out, forecast, &outcome.releases)?;
    if !outcome.advice.is_empty() {
        writeln!(out)?;
    }
    outcome
        .advice
        .iter()
        .try_for_each(|text| out.write_str(&wrapped(text)))
}

fn table(out: &mut String, forecast: &Forecast, releases: &[Release]) -> std::fmt::Result {
    let head = ["rho", "sigma", "gamma", "coordinates", "bytes", "headroom"];
    let row =
        |out: &mut String, name: &str, [rho, sigma, gamma, length, bytes, room]: [String; 6]| {
            writeln!(
                out,
                "  {name:<19}{rho:>10}{sigma:>11}{gamma:>11}{length:>13}{bytes:>11}{room:>11}"
            )
        };
    writeln!(out)?;
    row(out, "release", head.map(str::to_owned))?;
    for (planned, release) in forecast.releases.iter().zip(releases) {
        let bits = 31.0 - (planned.mechanism.largest_coordinate() as f64).log2();
        let cells = [
            figure(release.rho),
            figure(release.sigma),
            figure(release.gamma),
            thousands(release.length.into()),
            size(release.bytes),
            format!("{bits:.1} bits"),
        ];
        row(out, release.kind, cells)?;
    }
    writeln!(
        out,
        "  sigma: noise on the sum, gamma: grid step, where one device adds a vector of norm at \
         most 1;"
    )?;
    writeln!(
        out,
        "  headroom: room left of 2^31 in the sum. Pruning rare items can only shorten a vector."
    )
}

/// The one line to read.
fn verdict(model: Family, forecast: &Forecast) -> String {
    if model == Family::Rating {
        return match forecast.plan.fallback {
            true => "Item biases only: ratings are predicted from them, public features and each \
                 owner's own mean."
                .into(),
            false => {
                "Within reach: biases and factors of what was rated; how much they gain depends on \
                 the data."
                    .into()
            }
        };
    }
    if model == Family::Neural && !forecast.plan.fallback {
        return "Within reach: what categories tell of the items; how much that is depends on the \
                catalogue."
            .into();
    }
    let percent = |q: f64| 100.0 * gain_share(q);
    // Sparse populations need about twice the signal.
    let band = format!(
        "expect about {:.0} % of a central model's gain over popularity, {:.0} % if the data are \
         sparse",
        percent(forecast.plan.signal),
        percent(forecast.plan.signal / 2.0)
    );
    match forecast.plan.signal {
        _ if forecast.plan.fallback => {
            "Out of reach: factors cannot be trained; devices would rank by private popularity and \
             public item features."
                .into()
        }
        q if q < SIGNAL_UNSURE => format!("At the edge: {band}."),
        q if q < SIGNAL_GOOD => format!("Within reach: {band}."),
        _ => format!("Good: {band}."),
    }
}

fn trained(model: Family, forecast: &Forecast) -> String {
    let recipe = &forecast.plan.recipe;
    let weighted = forecast
        .releases
        .iter()
        .filter(|release| release.kind == Kind::WeightedGradient)
        .count();
    let rounds = if recipe.rounds == 1 {
        "1 round".into()
    } else {
        format!("{} rounds", recipe.rounds)
    };
    let spectral = match (forecast.plan.fallback, recipe.head) {
        (true, _) if model == Family::Rating => "item biases and counts only".into(),
        (true, _) => "item counts only".into(),
        (false, _) if model == Family::Neural => {
            format!(
                "at most {} factors of public item features in {rounds}",
                recipe.factors
            )
        }
        (false, 0) => format!("{} factors in {rounds}", recipe.factors),
        (false, head) => format!(
            "{} factors in {rounds} after the pairs of {head} popular items",
            recipe.factors
        ),
    };
    match weighted {
        0 => spectral,
        1 => format!("{spectral}, then 1 round of weighted squares"),
        rounds => format!("{spectral}, then {rounds} rounds of weighted squares"),
    }
}

/// Three significant digits, without an exponent where that is short.
fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => thousands(value),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value if value >= 0.1 => format!("{value:.3}"),
        value if value >= 0.01 => format!("{value:.4}"),
        value if value >= 0.001 => format!("{value:.5}"),
        value => format!("{value:.1e}"),
    }
}

fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes < 1e4 => format!("{} B", thousands(bytes)),
        bytes if bytes < 1e7 => format!("{} KB", thousands(bytes / 1e3)),
        bytes => format!("{:.1} MB", bytes / 1e6),
    }
}

/// Advice as a list item of at most [`WIDTH`] columns a line.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("-"));
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            lines += &format!("{line}\n");
            line = " ".into();
        }
        line += &format!(" {word}");
    }
    format!("{lines}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [1_234.5, 12.34, 1.234, 0.1234, 0.01234, 0.000_12].map(figure),
            ["1,234", "12.3", "1.23", "0.123", "0.0123", "1.2e-4"]
        );
        assert_eq!(
            [400, 14_824, 474_368, 25_600_000].map(size),
            ["400 B", "15 KB", "474 KB", "25.6 MB"]
        );
    }

    #[test]
    fn advice_is_wrapped_without_losing_a_word() {
        let text = "word ".repeat(50);
        let wrapped = wrapped(text.trim());
        assert!(wrapped.lines().all(|line| line.len() <= WIDTH) && wrapped.lines().count() == 3);
        assert_eq!(wrapped.matches("word").count(), 50);
    }
}
