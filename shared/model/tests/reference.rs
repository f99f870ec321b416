//! Quality on MovieLens-1M, published leave-one-out split, without noise: the recipe the planner
//! picks for an infinite signal must stay close to central implicit ALS. Needs `TACIT_DATA`, a
//! folder that contains `ml-1m/`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tacit_model::family::spectral::score::scores;
use tacit_model::family::spectral::{device, server};
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::measure::baseline::{IalsConfig, ials, popularity};
use tacit_model::measure::metric::Ranking;
use tacit_model::{History, Interaction, InteractionKind, Recipe, SpectralModel};
use tacit_types::{ItemGradient, ItemId, Timestamp};

struct LeaveOneOut {
    catalogue_len: u32,
    histories: Vec<History>,
    held_out: Vec<ItemId>,
    negatives: Vec<Vec<ItemId>>,
}

/// Dense item ids in order of first appearance.
#[derive(Default)]
struct Catalogue(HashMap<String, u32>);

impl Catalogue {
    fn id(&mut self, raw: &str) -> ItemId {
        let next = u32::try_from(self.0.len()).expect("thousands of items");
        ItemId(*self.0.entry(raw.to_owned()).or_insert(next))
    }
}

fn records(path: PathBuf) -> Vec<csv::StringRecord> {
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let plain: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    csv::Reader::from_reader(plain)
        .into_records()
        .map(|record| record.expect("a CSV record"))
        .collect()
}

fn load(folder: &Path) -> LeaveOneOut {
    let mut catalogue = Catalogue::default();
    let mut users: Vec<Vec<Interaction>> = Vec::new();
    for record in records(folder.join("interactions.csv.gz")) {
        let user: usize = record[0].parse().expect("a user number");
        users.resize(users.len().max(user), Vec::new());
        users[user - 1].push(Interaction {
            item: catalogue.id(&record[1]),
            timestamp: record[2].parse().ok().map(Timestamp),
            value: 1.0,
            kind: InteractionKind::Rating,
            surface: 0,
        });
    }
    let held_out = records(folder.join("ncf_test.csv"))
        .iter()
        .map(|record| catalogue.id(&record[1]))
        .collect();
    let negatives = records(folder.join("ncf_negatives.csv.gz"));
    let negatives = negatives
        .iter()
        .map(|record| {
            record
                .iter()
                .skip(1)
                .map(|raw| catalogue.id(raw))
                .collect()
        })
        .collect();
    let catalogue_len = u32::try_from(catalogue.0.len()).expect("thousands of items");
    let histories = users
        .iter()
        .map(|user| History::new(user, catalogue_len, HISTORY_CAP))
        .collect();
    LeaveOneOut {
        catalogue_len,
        histories,
        held_out,
        negatives,
    }
}

/// The sum of what all devices send, without noise.
fn sum(data: &LeaveOneOut, statistic: impl Fn(&History) -> ItemGradient) -> Vec<f64> {
    let mut total = Vec::new();
    for vector in data
        .histories
        .iter()
        .map(|history| statistic(history).into_coordinates())
    {
        total.resize(vector.len(), 0.0);
        total
            .iter_mut()
            .zip(vector)
            .for_each(|(sum, v)| *sum += f64::from(v));
    }
    total
}

fn train(data: &LeaveOneOut, recipe: &Recipe) -> SpectralModel {
    let counts = sum(data, |history| device::counts(history, data.catalogue_len));
    let mut model = server::apply_counts(&counts, 0.0, recipe);
    let gram = sum(data, |history| device::head_gram(history, &model));
    model = server::apply_head_gram(&model, &gram, 0.0, recipe);
    for round in 0..recipe.rounds {
        let gradient = sum(data, |history| device::gradient(history, &model));
        model = server::apply_gradient(&model, &gradient, recipe, round == 0);
    }
    model
}

/// Mean quality: (99 negatives, full ranking).
fn measure(data: &LeaveOneOut, score: impl Fn(&History) -> Vec<f32>) -> (Ranking, Ranking) {
    let (mut sampled, mut full) = (Vec::new(), Vec::new());
    for ((history, &held_out), negatives) in data
        .histories
        .iter()
        .zip(&data.held_out)
        .zip(&data.negatives)
    {
        let scores = score(history);
        sampled.push(Ranking::sampled(&scores, held_out, negatives));
        full.push(Ranking::full(&scores, history.items(), &[held_out]));
    }
    (Ranking::mean(&sampled), Ranking::mean(&full))
}

#[test]
fn movielens_without_noise_reaches_the_reference() {
    let Some(folder) = std::env::var_os("TACIT_DATA") else {
        println!("SKIPPED: TACIT_DATA is not set");
        return;
    };
    let data = load(&Path::new(&folder).join("ml-1m"));
    let recipe = Recipe::for_signal(f64::INFINITY, data.catalogue_len).unwrap();
    let model = train(&data, &recipe);
    let (sampled, full) = measure(&data, |history| scores(history, &model, None));
    println!("spectral    99 negatives {sampled:?}\n            full         {full:?}");
    assert!(sampled.hr_at_10 >= 0.68 && full.hr_at_10 >= 0.09);

    let popular = popularity(&data.histories, data.catalogue_len);
    let (sampled, full) = measure(&data, |_| popular.clone());
    println!("popularity  99 negatives {sampled:?}\n            full         {full:?}");
    assert!((sampled.hr_at_10 - 0.455).abs() < 0.015);

    let central = ials(&data.histories, data.catalogue_len, &IalsConfig::new(32, 1));
    let (sampled, full) = measure(&data, |history| central.scores(history));
    println!("iALS d=32   99 negatives {sampled:?}\n            full         {full:?}");
    assert!(sampled.hr_at_10 >= 0.69 && full.hr_at_10 >= 0.085);
}
