//! An app that embeds the SDK: what it relies on holds although nothing in its Cargo.toml asks for
//! it.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tacit_embed::{Coordinator, Ear, X25519MLKEM768};
use tacit_sdk::model::rank::filter::Filter;
use tacit_sdk::model::{Interaction, InteractionKind, SpectralModel};
use tacit_sdk::privacy::exact::Exact;
use tacit_sdk::round::device::Outcome;
use tacit_sdk::types::{ItemId, Timestamp};
use tacit_sdk::{
    Agent, Consent, Deployment, Recommender, SdkError, TableCache, blocking, identity,
};

/// A coordinator that has just started answers within this time.
const SOON: Duration = Duration::from_secs(30);

/// The single-use tokens of the deployment, as bytes.
fn tokens(coordinator: &Coordinator) -> Vec<Vec<u8>> {
    let text = coordinator.pki("tokens.txt");
    let byte = |pair: &[u8; 2]| {
        let pair = std::str::from_utf8(pair).unwrap();
        u8::from_str_radix(pair, 16).unwrap()
    };
    let token = |line: &str| {
        let digits = line.as_bytes().as_chunks::<2>().0;
        digits.iter().map(byte).collect()
    };
    text.lines().map(token).collect()
}

fn deployment(coordinator: &Coordinator, address: &str) -> Deployment {
    let [root, policy, publisher] =
        ["root.crt", "policy.json", "publisher.pub"].map(|name| coordinator.pki(name));
    Deployment::read(address, "localhost", &root, &policy, &publisher).unwrap()
}

fn enrol(folder: &Path, deployment: &Deployment, token: &[u8]) {
    let until = Instant::now() + SOON;
    loop {
        match blocking(identity::enrol(folder, deployment, token)) {
            Ok(()) => return,
            Err(SdkError::RetryLater { .. }) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(100));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(since.as_millis().try_into().unwrap())
}

/// HOSTILE 149, 150: an app without a runtime enrols and checks in, and every connection it makes
/// exchanges keys by the hybrid, which is all it offers.
#[test]
fn an_app_enrols_checks_in_and_exchanges_keys_by_the_hybrid_alone() {
    let coordinator = Coordinator::start("keys");
    let ear = Ear::before(coordinator.port());
    let deployment = deployment(&coordinator, &ear.address());
    let folder = coordinator.path("app");
    enrol(&folder, &deployment, &tokens(&coordinator)[0]);
    let enrolling = ear.heard().len();

    let mut recommender = Recommender::open(&folder).unwrap();
    recommender.set_consent(Consent::Contribute).unwrap();
    let agent = Agent::new(&folder, deployment.into(), TableCache::default());
    blocking(agent.step(now())).unwrap();
    let heard = ear.heard();
    assert!(heard.len() > enrolling, "the step connected");
    let answered = heard.iter().filter(|one| one.taken().is_some());
    assert!(answered.count() >= 2, "{heard:?}");
    for one in &heard {
        assert_eq!(one.offered(), Some(vec![X25519MLKEM768]));
        if let Some(taken) = one.taken() {
            assert_eq!(taken, X25519MLKEM768);
        }
    }
}

/// HOSTILE 149: four installations of an app whose TLS is ring's are counted in a round.
#[test]
fn an_apps_installations_are_counted_in_a_round() {
    let coordinator = Coordinator::start("round");
    let address = format!("https://127.0.0.1:{}", coordinator.port());
    let deployment = Arc::new(deployment(&coordinator, &address));
    let mut waiting = Vec::new();
    for (number, token) in tokens(&coordinator).iter().enumerate() {
        let folder = coordinator.path(&format!("app{number}"));
        enrol(&folder, &deployment, token);
        let mut recommender = Recommender::open(&folder).unwrap();
        recommender.set_consent(Consent::Contribute).unwrap();
        waiting.push(Agent::new(
            &folder,
            deployment.clone(),
            TableCache::default(),
        ));
    }

    let until = Instant::now() + SOON;
    while !waiting.is_empty() {
        assert!(Instant::now() < until, "{} are not counted", waiting.len());
        waiting.retain(|agent| match blocking(agent.step(now())) {
            Ok(step) => step.outcome != Some(Outcome::Acknowledged),
            Err(SdkError::RetryLater { .. }) => true,
            Err(error) => panic!("{error}"),
        });
        thread::sleep(Duration::from_millis(50));
    }
}

/// HOSTILE 150: this app is built without the compiler's checks, and the arithmetic that decides
/// what is spent and released stops all the same.
#[test]
fn arithmetic_stops_where_the_apps_own_wraps() {
    let most = black_box(u32::MAX);
    assert_eq!(
        most.wrapping_add(1),
        own_sum(most, 1),
        "the checks are off here"
    );
    assert!(stops(|| black_box(u32::MAX).plus(1)));
    assert!(stops(|| black_box(u64::MAX).times(2)));
    assert!(stops(|| black_box(0u128).minus(1)));
    assert!(stops(|| black_box(i32::MIN).minus(1)));
}

fn stops<T: Send + 'static>(operation: fn() -> T) -> bool {
    thread::spawn(operation).join().is_err()
}

fn own_sum(one: u32, other: u32) -> u32 {
    black_box(one) + black_box(other)
}

/// HOSTILE 150: what the API shows has a name under the one crate an app depends on.
#[test]
fn an_app_ranks_by_the_one_crate() {
    let coordinator = Coordinator::start("ranks");
    let folder = coordinator.path("app");
    enrol(
        &folder,
        &deployment(
            &coordinator,
            &format!("https://127.0.0.1:{}", coordinator.port()),
        ),
        &tokens(&coordinator)[0],
    );
    let (bytes, models) = (SpectralModel::genesis(5).to_bytes(), folder.join("models"));
    let hash = tacit_sdk::privacy::canonical::digest(&bytes);
    std::fs::create_dir(&models).unwrap();
    std::fs::write(models.join(format!("{hash}.bin")), bytes).unwrap();
    std::fs::write(models.join("serving"), format!("films {hash} -\n")).unwrap();
    let mut recommender = Recommender::open(&folder).unwrap();
    recommender
        .record(Interaction {
            item: ItemId(0),
            timestamp: Some(now()),
            value: 1.0,
            kind: InteractionKind::View,
            surface: 0,
        })
        .unwrap();
    let list = recommender.recommend(10, &Filter::default());
    assert!(list.iter().all(|one| one.item != ItemId(0)) && !list.is_empty());
}
