//! Public data sets as they are downloaded, read from the folder named by `TACIT_DATA` (with
//! `ml-100k`, `ml-1m`, `ml-latest-small` in it). Their licences forbid shipping them here, so
//! without that folder these tests say SKIPPED.

#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use std::env;
use std::path::PathBuf;

use tacit_data::{Dataset, LoadOptions, Split, load};

fn folder() -> Option<PathBuf> {
    let folder = env::var_os("TACIT_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED: TACIT_DATA is not set");
    }
    folder
}

fn load_from(name: &str) -> Option<Dataset> {
    Some(
        load(&folder()?.join(name), &LoadOptions::default())
            .unwrap_or_else(|error| panic!("{error}")),
    )
}

fn item<'a>(data: &'a Dataset, key: &str) -> &'a tacit_data::Item {
    data.items
        .iter()
        .find(|item| item.key == key)
        .expect("the item is in the catalogue")
}

#[test]
fn movielens_100k_loads() {
    let Some(data) = load_from("ml-100k") else {
        return;
    };
    assert_eq!((data.users.len(), data.items.len()), (943, 1_682));
    assert_eq!(data.interaction_count(), 100_000 - 943);
    assert!(data.test.iter().all(|of| of.len() == 1));
    assert_eq!(item(&data, "1").title, "Toy Story (1995)");
    assert_eq!(
        item(&data, "1").categories,
        ["Animation", "Children's", "Comedy"]
    );
    assert!(data.items.iter().all(|item| item.title != item.key));
}

#[test]
fn movielens_1m_loads_with_its_published_test_and_negatives() {
    let Some(data) = load_from("ml-1m") else {
        return;
    };
    assert_eq!((data.users.len(), data.items.len()), (6_040, 3_706));
    assert_eq!(data.interaction_count(), 1_000_209 - 6_040);
    assert!(data.test.iter().all(|of| of.len() == 1));
    assert!(
        data.negatives
            .as_ref()
            .is_some_and(|all| all.len() == 6_040 && all.iter().all(|of| of.len() == 99))
    );
    assert_eq!(item(&data, "1").title, "Toy Story (1995)");
    assert!(
        data.users[0]
            .iter()
            .all(|interaction| interaction.timestamp.is_some())
    );
    assert!(
        data.users[6_039]
            .iter()
            .all(|interaction| interaction.timestamp.is_none())
    );
}

#[test]
fn movielens_latest_small_loads() {
    let Some(data) = load_from("ml-latest-small") else {
        return;
    };
    assert_eq!((data.users.len(), data.items.len()), (610, 9_724));
    assert_eq!(data.interaction_count(), 100_836 - 610);
    assert_eq!(item(&data, "11").title, "American President, The (1995)");
}

#[test]
fn retailrocket_loads_from_the_archive() {
    let Some(folder) = folder() else { return };
    let options = LoadOptions {
        split: Split::Nothing,
        ..LoadOptions::default()
    };
    let data =
        load(&folder.join("retailrocket"), &options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (data.users.len(), data.items.len(), data.interaction_count()),
        (3_431, 8_885, 92_487)
    );
}

#[test]
fn a_folder_of_no_format_is_refused_by_name() {
    let Some(folder) = folder() else { return };
    let Err(error) = load(&folder, &LoadOptions::default()) else {
        panic!("it has no data of its own")
    };
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    assert!(
        error.to_string().contains("interactions.csv") && error.to_string().contains(&name),
        "{error}"
    );
}
