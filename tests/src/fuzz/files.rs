//! Files that somebody else wrote: the published model, data sets and configuration.

use std::fs;

use tacit_data::{Dataset, LoadOptions, load};
use tacit_model::family::{Family, Owner};
use tacit_model::history::fusion::Rules;
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::history::recency::HALF_LIFE;
use tacit_model::rank::profile::OnlineProfile;
use tacit_model::rank::ranker::{Precision, Ranker};
use tacit_model::{History, Interaction, InteractionKind, Model};
use tacit_types::{ItemId, Kind};
use tacit_wire::config::read;
use tempfile::TempDir;

/// Bytes offered as a model. HOSTILE 27-31.
///
/// # Panics
/// When a model does not write back to its bytes, holds or leads to a number that is not finite, or
/// makes a device's vector longer than 1.
pub fn model(bytes: &[u8]) {
    let Ok(model) = Model::from_bytes(bytes) else {
        return;
    };
    assert_eq!(model.to_bytes(), bytes, "accepted in another spelling");
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    assert!(finite(model.counts()));
    if let Some(model) = model.spectral() {
        assert!(finite(model.weights()) && finite(model.popularity()) && finite(model.axis()));
        assert!(model.factors().iter().all(|value| value.is_finite()));
    }
    let last = model.catalogue_len() - 1;
    let kind = if model.family() == Family::Rating {
        InteractionKind::Rating
    } else {
        InteractionKind::View
    };
    let used = |item| Interaction {
        item: ItemId(item),
        timestamp: None,
        value: 1.0,
        kind,
        surface: 0,
    };
    let interactions = [0, model.catalogue_len() / 2, last, u32::MAX].map(used);
    let ranker = Ranker::of(&model, Precision::Full);
    for length in [0, 1, interactions.len()] {
        let known = &interactions[..length];
        let (history, ratings) = (
            History::new(known, u32::MAX, usize::MAX),
            model.ratings(known, usize::MAX),
        );
        let owner = Owner {
            history: &history,
            ratings: &ratings,
        };
        assert!(
            finite(&model.scores(&owner, Some(HALF_LIFE))),
            "a score that is not finite"
        );
        let profile = OnlineProfile::new(known, Rules::default(), HISTORY_CAP, &ranker);
        assert!(
            finite(&ranker.scores(profile.profile())),
            "a served score that is not finite"
        );
        for kind in Kind::ALL {
            let Some(vector) = model.vector(kind, known, usize::MAX, false) else {
                continue;
            };
            assert_eq!(
                Some(vector.len()),
                model.extent(kind).map(|extent| extent.length())
            );
            let squares = vector
                .into_coordinates()
                .into_iter()
                .map(|v| f64::from(v).powi(2))
                .sum::<f64>();
            assert!(squares.sqrt() <= 1.0 + 1e-4, "a vector longer than 1");
        }
    }
}

/// Files that [`csv`] may write, by the names the loader knows.
const NAMES: [&str; 17] = [
    "interactions.csv",
    "interactions.csv.gz",
    "u.data",
    "ratings.dat",
    "ratings.csv",
    "ncf_test.csv",
    "ncf_negatives.csv",
    "u.item",
    "u.genre",
    "movies.dat",
    "movies.csv",
    "movies.csv.gz",
    "bx-book-ratings.csv",
    "jester-data-1.csv",
    "jester_ratings.dat",
    "set.inter",
    "user_artists.dat",
];

/// A folder in one piece: each file is a line `== NAME` and what follows, up to the next such line.
/// HOSTILE 118.
///
/// # Panics
/// When the loaded data set contradicts itself, or a refusal is not one line.
pub fn csv(bytes: &[u8]) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    for (name, content) in sections(bytes) {
        fs::write(folder.path().join(name), content).expect("a temporary file can be written");
    }
    match load(folder.path(), &LoadOptions::default()) {
        Ok(data) => check_dataset(&data),
        Err(error) => assert_one_line(&error),
    }
    let single = folder.path().join("interactions.csv");
    if single.exists()
        && let Err(error) = load(
            &single,
            &LoadOptions {
                users: Some(1),
                ..LoadOptions::default()
            },
        )
    {
        assert_one_line(&error);
    }
}

fn sections(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let named = line.strip_prefix(b"== ").map(<[u8]>::trim_ascii_end);
        match (
            NAMES
                .iter()
                .find(|name| Some(name.as_bytes()) == named),
            files.last_mut(),
        ) {
            (Some(name), _) => files.push((name, Vec::new())),
            (None, Some((_, content))) => content.extend_from_slice(line),
            (None, None) => {}
        }
    }
    files
}

fn check_dataset(data: &Dataset) {
    assert_eq!(data.users.len(), data.test.len());
    let negatives = data.negatives.as_deref().unwrap_or_default();
    assert!(data.negatives.is_none() || negatives.len() == data.users.len());
    let held_out = data.test.iter().chain(negatives).flatten().copied();
    let mut items = held_out.chain(
        data.users
            .iter()
            .flatten()
            .map(|interaction| interaction.item),
    );
    assert!(
        items.all(|item| (item.0 as usize) < data.items.len()),
        "an item outside the catalogue"
    );
    assert!(
        data.users
            .iter()
            .flatten()
            .all(|interaction| interaction.value.is_finite())
    );
    for (history, held_out) in data.users.iter().zip(&data.test) {
        assert!(
            !history
                .iter()
                .any(|interaction| held_out.contains(&interaction.item)),
            "held out and learned from"
        );
    }
}

/// Bytes offered as the configuration of either daemon. HOSTILE 84.
///
/// # Panics
/// When a refusal is not one line.
pub fn config(bytes: &[u8]) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let path = folder.path().join("daemon.toml");
    fs::write(&path, bytes).expect("a temporary file can be written");
    let coordinator = read::<tacit_server::Config>(&path).map_err(|error| error.to_string());
    let helper = read::<tacit_helper::Config>(&path).map_err(|error| error.to_string());
    let coordinator =
        coordinator.and_then(|config| config.check().map_err(|error| error.to_string()));
    for error in [coordinator, helper.and_then(|config| config.check())]
        .into_iter()
        .filter_map(Result::err)
    {
        assert_one_line(&error);
    }
}

fn assert_one_line(error: &impl ToString) {
    let text = error.to_string();
    assert!(
        !text.is_empty() && !text.contains(['\n', '\r']),
        "not one line: {text:?}"
    );
}
