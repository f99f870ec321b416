//! What an installation receives without taking part, and what the owner's consent holds back.

use std::fs;

use tacit_model::rank::filter::Filter;
use tacit_privacy::canonical;
use tacit_round::device::{Outcome, Status};
use tacit_sdk::{Consent, Recommender, SdkError, Store};
use tacit_tests::kept_model;
use tacit_tests::stand_in::{Answer, Said, catalogue, consistency, genesis, logged};
use tacit_types::{Digest, ItemId, RoundId};
use tacit_wire::clock;

use crate::tickets::{Fixture, ITEMS, even, model, odd, turned_odd};
use crate::{contributions, heard, outcome, step};

impl Fixture {
    fn allow(&self, consent: Consent) {
        let mut store = Store::open(self.folder.path()).unwrap();
        store.set_consent(consent).unwrap();
    }

    /// Publishes the last of these models, in the middle of the task.
    fn publish(&self, models: &[Digest]) {
        let line = canonical::encode(&logged(models).unwrap()).unwrap();
        self.stand_in.script(|script| {
            script.model = *models.last().unwrap();
            script.logged = line.into();
        });
    }

    async fn refresh(&self) -> Result<tacit_sdk::Step, SdkError> {
        self.agent.refresh(clock::now()).await
    }

    fn calls(&self) -> usize {
        self.stand_in.recorded().into_iter().flatten().count()
    }
}

/// HOSTILE 154: the coordinator leases a ticket at every check-in, and nothing is released but with
/// consent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consent_says_what_is_asked_for_and_a_refresh_never_releases() {
    let fixture = Fixture::new().await;
    let first = fixture.round.ticket.model_in_hash;
    fixture.publish(&[first]);

    fixture.allow(Consent::Off);
    assert!(step(&fixture.agent).await.unwrap().withheld);
    assert!(fixture.refresh().await.unwrap().withheld);
    assert_eq!(fixture.calls(), 0, "nobody was asked");

    fixture.allow(Consent::Receive);
    assert!(step(&fixture.agent).await.unwrap().withheld);
    let refreshed = fixture.refresh().await.unwrap();
    assert!(refreshed.new_model && refreshed.outcome.is_none());
    assert!(fixture.kept() == model(&[even, odd]));
    let again = fixture.refresh().await.unwrap();
    assert!(!again.new_model && again.bytes_down == 0);
    assert_eq!(fixture.books(), (0, 0));

    fixture.allow(Consent::Contribute);
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    assert_eq!(fixture.books(), (1, 1));

    // Opting out keeps the list.
    fixture.allow(Consent::Off);
    let recommender = Recommender::open(fixture.folder.path()).unwrap();
    assert!(!recommender.recommend(5, &Filter::default()).is_empty());
}

/// PRIVACY 11.9; HOSTILE 154: the owner opts out while finished bytes wait to be sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opting_out_before_the_send_keeps_the_bytes_and_the_spend() {
    let fixture = Fixture::new().await;
    let task = fixture.round.ticket.task.clone();
    fixture
        .stand_in
        .script(|script| script.send_after_ms = 600_000);
    assert_eq!(outcome(&fixture.agent).await, None, "it waits to be sent");
    let folder = fixture.folder.path();
    let price = fixture.round.ticket.mechanism.rho();
    assert!(
        Store::open(folder)
            .unwrap()
            .spooled(&task, RoundId(1))
            .is_ok()
    );

    fixture.allow(Consent::Receive);
    fixture.allow(Consent::Contribute);
    fixture
        .stand_in
        .script(|script| script.send_after_ms = 0);
    step(&fixture.agent).await.unwrap();
    assert_eq!(contributions(&fixture.stand_in).len(), 0);
    let store = Store::open(folder).unwrap();
    let status = store.status(&task, RoundId(1)).unwrap();
    assert_eq!(status, Some(Status::Forfeited));
    assert_eq!(store.spent().unwrap(), price);
}

/// HOSTILE 152: what is kept is damaged, or the fetch is cut off; the running app never loses its
/// list, and sees the next model without opening again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_model_heals_at_the_next_refresh_and_the_running_app_sees_it() {
    let fixture = Fixture::new().await;
    let folder = fixture.folder.path();
    let first = fixture.round.ticket.model_in_hash;
    let near = fixture.serve(model(&[even, turned_odd]));
    let mut running = Recommender::open(folder).unwrap();
    assert!(!running.has_model());
    fixture.publish(&[first]);
    assert!(fixture.refresh().await.unwrap().new_model);
    assert!(running.reload().unwrap() && running.has_model());

    let path = kept_model(folder, "test");
    let pointer = folder.join("models/serving");
    let whole = fs::read(&path).unwrap();
    for damaged in [&path, &pointer] {
        for bytes in [&whole[..100], b"garbage", b""] {
            fs::write(damaged, bytes).unwrap();
            assert!(!Recommender::open(folder).unwrap().has_model());
            assert!(fixture.refresh().await.unwrap().new_model);
            assert!(Recommender::open(folder).unwrap().has_model());
        }
        fs::remove_file(damaged).unwrap();
        assert!(fixture.refresh().await.unwrap().new_model);
    }
    assert!(!running.reload().unwrap(), "it is the model it has");

    // Killed while the next one streams: the old one serves, and a later refresh takes the next.
    fixture.publish(&[first, near]);
    fixture.stand_in.script(|script| {
        script.proof = consistency(&[first, near], 1).unwrap();
        script.fetch = Answer::Withhold;
    });
    let cut = tokio::spawn({
        let agent = fixture.agent.clone();
        async move { agent.refresh(clock::now()).await }
    });
    heard(
        &fixture.stand_in,
        |said| matches!(said, Said::Fetch(fetch) if fetch.hash[..] == near.0),
    )
    .await;
    cut.abort();
    assert!(fixture.kept() == model(&[even, odd]));
    fixture
        .stand_in
        .script(|script| script.fetch = Answer::Give);
    assert!(fixture.refresh().await.unwrap().new_model);
    assert!(running.reload().unwrap());
    assert!(fixture.kept() == model(&[even, turned_odd]));
}

/// HOSTILE 153: in the middle of a task, too, only what both parties signed for is adopted, and
/// never an older model.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_adopts_only_what_stands_in_the_signed_ledger() {
    let fixture = Fixture::new().await;
    fixture.allow(Consent::Receive);
    let first = fixture.round.ticket.model_in_hash;
    let near = fixture.serve(model(&[even, turned_odd]));
    fixture.publish(&[first, near]);
    assert!(fixture.refresh().await.unwrap().new_model);

    let stranger = fixture.serve(model(&[odd, even]));
    let refused = |models: &[Digest], offered: Digest| {
        fixture.publish(models);
        fixture
            .stand_in
            .script(|script| script.model = offered);
        fixture.refresh()
    };
    for (name, models, offered, reason) in [
        (
            "nobody signed",
            vec![first, near],
            stranger,
            "not in the signed",
        ),
        ("another past", vec![stranger, first], first, "forked"),
        ("rolled back", vec![first], first, "goes back"),
    ] {
        let stopped = refused(&models, offered).await;
        let stopped = stopped.unwrap_err().to_string();
        assert!(stopped.contains(reason), "{name}: {stopped}");
        assert!(fixture.kept() == model(&[even, turned_odd]), "{name}");
    }

    // A coordinator that has nothing signed yet is asked again later.
    fixture
        .stand_in
        .script(|script| script.logged = Vec::new().into());
    assert!(!fixture.refresh().await.unwrap().new_model);
    assert_eq!(fixture.books(), (0, 0));
}

/// HOSTILE 156: another catalogue comes with the next model. The pair is adopted only where both
/// parties named the catalogue, it is of the model's length, and no id moves; what serves never is
/// one without the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalogue_is_adopted_with_its_model_or_not_at_all() {
    let fixture = Fixture::new().await;
    fixture.allow(Consent::Receive);
    let folder = fixture.folder.path();
    let first = fixture.round.ticket.model_in_hash;
    let near = fixture.serve(model(&[even, turned_odd]));
    fixture.publish(&[first]);
    let mut running = Recommender::open(folder).unwrap();
    assert!(fixture.refresh().await.unwrap().new_model);
    assert!(running.reload().unwrap());
    assert_eq!(running.title(ItemId(3)), Some("Film 3"));
    assert_eq!(running.item("film-3"), Some(ItemId(3)));
    assert_eq!(running.category_names(), ["kind 0", "kind 1", "kind 2"]);

    let known = catalogue(ITEMS);
    let name = |text: &str| {
        fixture.serve(text.as_bytes().to_vec());
        let line = canonical::encode(&genesis(text.as_bytes()).unwrap()).unwrap();
        fixture
            .stand_in
            .script(|script| script.genesis = line.into());
    };
    let proof = consistency(&[first, near], 1).unwrap();
    fixture.stand_in.script(|script| script.proof = proof);
    fixture.publish(&[first, near]);
    let kept = || (fixture.kept(), Recommender::open(folder).unwrap());
    for (other, reason) in [
        (catalogue(ITEMS - 1), "its catalogue 39"),
        (catalogue(ITEMS + 1), "its catalogue 41"),
        (known.replace("film-3\t", "film-x\t"), "another place"),
        (known.replace("film-3\t", "film-4\t"), "two lines"),
        (String::new(), "1 to 4194304 lines"),
    ] {
        name(&other);
        let refused = fixture.refresh().await.unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
        let (bytes, opened) = kept();
        assert!(
            bytes == model(&[even, odd]),
            "{reason}: the model was taken alone"
        );
        assert_eq!(opened.title(ItemId(3)), Some("Film 3"), "{reason}");
    }

    // The line of another ledger, and the object of another hash.
    let whole = known.replace("Film 3\t", "Movie 3\t");
    name(&whole);
    let line = genesis(whole.as_bytes()).unwrap();
    let mut unsigned = line.clone();
    unsigned.line = unsigned.line.replace("\"test\"", "\"best\"");
    let unsigned = canonical::encode(&unsigned).unwrap();
    fixture
        .stand_in
        .script(|script| script.genesis = unsigned.into());
    let refused = fixture.refresh().await.unwrap_err().to_string();
    assert!(refused.contains("not in the signed"), "{refused}");
    name(&whole);
    let hash = canonical::digest(whole.as_bytes());
    fixture.stand_in.script(|script| {
        script.objects.insert(hash, "other bytes".into());
    });
    assert!(matches!(
        fixture.refresh().await,
        Err(SdkError::RetryLater { .. })
    ));
    assert!(kept().0 == model(&[even, odd]));

    name(&whole);
    assert!(fixture.refresh().await.unwrap().new_model);
    assert!(running.reload().unwrap());
    assert!(fixture.kept() == model(&[even, turned_odd]));
    assert_eq!(running.title(ItemId(3)), Some("Movie 3"));
    let filter = Filter {
        exclude_categories: vec![1, 2],
        ..Filter::default()
    };
    let list = running.recommend(40, &filter);
    assert_eq!(list.len(), 14);
    assert!(
        list.iter()
            .all(|one| running.categories_of(one.item) == [0])
    );
}
