//! One handle for an app with threads, against the real processes: every call works on the caller's
//! thread and leaves neither a thread nor a lock behind.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tacit_model::rank::filter::Filter;
use tacit_model::rank::ranker::Precision;
use tacit_model::{Interaction, InteractionKind, Model};
use tacit_privacy::record::Release;
use tacit_privacy::{Rho, clip, quantise};
use tacit_round::device::Status;
use tacit_sdk::store::Forget;
use tacit_sdk::{
    Conditions, Consent, Deadlines, Event, Installation, Missing, Outcome, SdkError, Store,
    Unenrolled,
};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::enrolled::shipped;
use tacit_tests::stand_in::catalogue;
use tacit_types::{Kind, Timestamp};
use tacit_wire::clock;
use tokio::time::Instant;

const COHORT: u32 = 4;
/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(60);

/// Whoever counts threads is alone in this process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settings() -> Settings {
    Settings {
        cohort: COHORT,
        tokens: COHORT,
        items: 60,
        epsilon: 200.0,
        task: "rounds = 2\nfactors = 4\n",
        ..Settings::default()
    }
}

fn open(folder: &Path, app: &tacit_sdk::Deployment) -> Installation {
    Installation::open(folder, app.clone(), Precision::Full, None).unwrap()
}

/// Everything is given.
fn given() -> Conditions {
    Conditions {
        charging: true,
        unmetered: true,
        idle: true,
        now: clock::now(),
    }
}

fn events(device: u32) -> Vec<Event> {
    let event = |number: u32| Event {
        id: format!("film-{}", (device * 7 + number * 3) % 70),
        timestamp: Some(Timestamp(1_700_000_000_000 + u64::from(number))),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    (0..20).map(event).collect()
}

/// Threads of this process that an async runtime made.
fn runtime_threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
    names
        .filter_map(Result::ok)
        .filter(|name| name.contains("tokio"))
        .collect()
}

/// Locks on any file of a folder, as the kernel knows them.
fn locks(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let inodes: BTreeSet<String> = files
        .map(|file| file.unwrap().metadata().unwrap().ino().to_string())
        .collect();
    let held = |line: &&str| {
        let place = line
            .split_whitespace()
            .find(|word| word.matches(':').count() == 2);
        place.is_some_and(|place| inodes.contains(place.rsplit(':').next().unwrap()))
    };
    fs::read_to_string("/proc/locks")
        .unwrap()
        .lines()
        .filter(held)
        .map(str::to_owned)
        .collect()
}

/// Fails if a call has left something behind.
fn assert_nothing_left(folder: &Path, after: &str) {
    assert_eq!(runtime_threads(), [""; 0], "threads after {after}");
    assert_eq!(locks(folder), [""; 0], "locks after {after}");
}

struct Device {
    folder: PathBuf,
    app: Installation,
}

/// Steps all devices until the task has ended for all; what each step came to.
fn train(devices: &[Device]) -> Vec<Outcome> {
    let until = Instant::now() + SOON;
    let mut heard = Vec::new();
    let mut retired = BTreeSet::new();
    while retired.len() < devices.len() {
        assert!(Instant::now() < until, "the task does not end: {heard:?}");
        thread::sleep(Duration::from_millis(50));
        for (number, device) in devices.iter().enumerate() {
            let outcome = device.app.step(given()).unwrap().outcome;
            assert_nothing_left(&device.folder, "a step");
            if outcome == Outcome::Retired {
                retired.insert(number);
            }
            heard.push(outcome);
        }
    }
    heard
}

/// HOSTILE 160: the whole life of installations behind one handle, without a runtime of the app's:
/// what each step came to is told apart, and after every call nothing is left.
#[test]
fn a_life_on_the_callers_thread_leaves_no_thread_and_no_lock() {
    fn shared<T: Send + Sync>() {}
    let _alone = alone();
    shared::<Installation>();

    let mut deployment = Deployment::new(settings()).unwrap();
    fs::write(deployment.path("catalogue.txt"), catalogue(60)).unwrap();
    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    let app = shipped(&deployment, &deployment.pki("root.crt").unwrap()).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut devices = Vec::new();
    for (number, token) in deployment.tokens().unwrap().iter().enumerate() {
        let folder = home.path().join(number.to_string());
        let device = open(&folder, &app);
        first_steps(&device, &folder);
        enrol(&device, token);
        assert_nothing_left(&folder, "enrolling");
        let waiting = device
            .record_all(&events(u32::try_from(number).unwrap()))
            .unwrap();
        assert_eq!(
            (waiting.known, waiting.waiting),
            (0, 20),
            "no catalogue yet"
        );
        device
            .change(|lists| lists.set_consent(Consent::Contribute))
            .unwrap();
        assert_nothing_left(&folder, "recording");
        devices.push(Device {
            folder,
            app: device,
        });
    }

    let heard = train(&devices);
    for expected in [Outcome::Contributed, Outcome::NewModel] {
        assert!(heard.contains(&expected), "{expected:?} in {heard:?}");
    }
    let known = |outcome: &Outcome| {
        matches!(
            outcome,
            Outcome::Contributed
                | Outcome::NewModel
                | Outcome::NotSelected
                | Outcome::NothingOpen
                | Outcome::Prepared
                | Outcome::Retired
                | Outcome::TryLater(_)
        )
    };
    assert!(heard.iter().all(known), "{heard:?}");
    for device in &devices {
        last_words(device);
    }
}

/// What is said before there is an identity and a consent.
fn first_steps(device: &Installation, folder: &Path) {
    let said = |conditions| device.step(conditions).unwrap().outcome;
    assert_eq!(said(given()), Outcome::NotNow(Missing::Consent));
    let receive = |lists: &mut tacit_sdk::Recommender| lists.set_consent(Consent::Receive);
    device.change(receive).unwrap();
    let metered = Conditions {
        unmetered: false,
        ..given()
    };
    assert_eq!(said(metered), Outcome::NotNow(Missing::Network));
    let expected = Outcome::NeedsEnrolment(Unenrolled::Never);
    assert_eq!(said(given()), expected);
    assert_nothing_left(folder, "what asks nobody");
}

fn enrol(device: &Installation, token: &[u8]) {
    let until = Instant::now() + SOON;
    loop {
        match device.enrol(token) {
            Ok(()) => return,
            Err(SdkError::RetryLater { .. }) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Lists, privacy, what is held and forgetting, once the task is over.
fn last_words(device: &Device) {
    let app = &device.app;
    let list = app.recommend(5, &Filter::default());
    assert_eq!(list.len(), 5);
    let more = app.record_all(&events(1)).unwrap();
    assert!(more.known > 0 && more.waiting > 0, "{more:?}");

    let privacy = app.privacy().unwrap();
    assert!(!privacy.releases.is_empty());
    let shares: f64 = privacy.releases.iter().map(|one| one.share).sum();
    assert!((shares - privacy.share_used).abs() < 1e-9, "{privacy:?}");
    assert!(privacy.epsilon_used > 0.0 && privacy.epsilon_used <= privacy.epsilon_limit);
    let now = clock::now();
    let today = |when: Timestamp| now.millis_since(when) < 2 * 3_600_000;
    assert!(privacy.releases.iter().all(|one| today(one.when)));
    assert!(
        privacy
            .sentence
            .contains("% of what it may ever spend"),
        "{}",
        privacy.sentence
    );

    let export = app.read(|lists| lists.export_my_data()).unwrap();
    let export: serde_json::Value = serde_json::from_str(&export).unwrap();
    assert_eq!(
        export["releases"].as_array().unwrap().len(),
        privacy.releases.len()
    );
    app.change(|lists| lists.forget(&Forget::Everything))
        .unwrap();
    let after = app.privacy().unwrap();
    assert_eq!(after, privacy, "what was spent stays spent");
    assert_nothing_left(&device.folder, "forgetting");
}

/// HOSTILE 176: three owners of one installation, on a handle each, among devices of one. The
/// coordinator and the helper have it in every round once, at the price of one device, and what it
/// sent was of one device's norm.
#[test]
fn an_installation_of_three_owners_counts_as_one_device() {
    let _alone = alone();
    let mut deployment = Deployment::new(settings()).unwrap();
    fs::write(deployment.path("catalogue.txt"), catalogue(60)).unwrap();
    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    let app = shipped(&deployment, &deployment.pki("root.crt").unwrap()).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut devices = Vec::new();
    for (number, token) in deployment.tokens().unwrap().iter().enumerate() {
        let folder = home.path().join(number.to_string());
        let nobody = open(&folder, &app);
        enrol(&nobody, token);
        let names = match number {
            0 => &["Ada", "Eva", "Tim"][..],
            _ => &["Max"],
        };
        for (name, own) in names.iter().zip(0..) {
            let app = nobody.for_owner(name).unwrap();
            let history = events(u32::try_from(number).unwrap() + 10 * own);
            app.record_all(&history).unwrap();
            let consent = match *name {
                "Tim" => Consent::Receive,
                _ => Consent::Contribute,
            };
            app.change(|lists| lists.set_consent(consent)).unwrap();
            let folder = folder.clone();
            devices.push(Device { folder, app });
        }
    }
    let heard = train(&devices);
    assert!(heard.contains(&Outcome::Contributed), "{heard:?}");

    let (household, others) = devices.split_at(3);
    let releases = deployment.releases().unwrap();
    let prices = releases.iter().map(|release| release.charge.rho);
    let all = prices.fold(Rho::ZERO, Rho::compose);
    for device in &devices {
        let store = Store::open(&device.folder).unwrap();
        let ledger = store.ledger().unwrap();
        assert_eq!(ledger.len(), releases.len());
        let counted = |(_, status): &(_, Status)| *status == Status::Acknowledged;
        assert!(ledger.iter().all(counted), "{ledger:?}");
        assert_eq!(store.spent().unwrap(), all);
        // What the coordinator says at a check-in was more, had it counted anybody twice.
        assert_eq!(store.unrecorded().unwrap(), Rho::ZERO);
    }
    for release in &releases {
        assert_eq!(release.contributors, COHORT, "{}", release.charge.kind);
        assert_norm(&deployment, release, &household[0].folder);
    }
    let privacy = household[2].app.privacy().unwrap();
    assert!(privacy.sentence.contains("everybody who uses"));
    assert_eq!(
        privacy.share_used,
        others[0].app.privacy().unwrap().share_used
    );

    // Each list leaves out what its owner met, and nothing that another did: Tim's too, whose
    // handle has not contributed.
    for owner in household {
        let met = owner.app.read(|lists| {
            let recent = lists.recent().iter();
            recent.map(|one| one.item).collect::<BTreeSet<_>>()
        });
        let list = owner.app.recommend(60, &Filter::default());
        assert!(!met.is_empty() && list.len() == 60 - met.len());
        assert!(list.iter().all(|one| !met.contains(&one.item)));
    }
    let gone = household[0]
        .app
        .change(|lists| lists.remove_owner("Eva"));
    assert!(gone.unwrap());
    assert_eq!(household[0].app.privacy().unwrap(), privacy);
}

/// Makes the vector of a release again as the installation in `folder` made it, and holds it
/// against the bound of the release's ledger line, in integers.
fn assert_norm(deployment: &Deployment, release: &Release, folder: &Path) {
    let charge = &release.charge;
    let models = deployment.ledger().join("models");
    let model = fs::read(models.join(format!("{}.bin", charge.model_in_hash))).unwrap();
    let model = Model::from_bytes(&model).unwrap();
    let histories = Store::open(folder).unwrap().histories().unwrap();
    assert_eq!(histories.all().len(), 2, "Tim's is not in it");
    let mechanism = &charge.mechanism;
    let history_max = mechanism.history_max as usize;
    let kind = Kind::parse(&charge.kind).unwrap();
    let norm = |histories: &[Vec<Interaction>]| {
        let vector = model.joint_vector(kind, histories, history_max, false);
        let clipped = clip(vector.unwrap(), mechanism);
        let rounded = quantise(clipped, mechanism, &mut ChaCha20Rng::seed_from_u64(7));
        let square = |value: &i32| u128::from(value.unsigned_abs()).pow(2);
        rounded.values().iter().map(square).sum::<u128>()
    };
    let joint = norm(histories.all());
    assert!(joint > 0, "{}", charge.kind);
    assert!(joint <= charge.squared_sensitivity, "{}", charge.kind);
    if kind == Kind::Counts {
        // Two vectors, one of each owner, would not have kept it.
        let apart: u128 = histories.all().chunks(1).map(norm).sum();
        assert!(apart > charge.squared_sensitivity);
    }
}

/// HOSTILE 161: a step that hangs in the network ends when another thread says so, on whichever
/// owner's handle, and leaves nothing; the next one is not cancelled with it.
#[test]
fn a_step_is_cancelled_from_another_thread() {
    let _alone = alone();
    let deployment = Deployment::new(settings()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = shipped(&deployment, &deployment.pki("root.crt").unwrap()).unwrap();
    let mut app = tacit_sdk::Deployment::clone(&app);
    app.coordinator = format!("https://{}", silent.local_addr().unwrap());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("device");
    let deadlines = Deadlines {
        connect: SOON,
        ..Deadlines::default()
    };
    let device = open(&folder, &app).with_deadlines(deadlines);
    device
        .change(|lists| lists.set_consent(Consent::Contribute))
        .unwrap();
    borrow_identity(&deployment, &folder);

    let other = device.for_owner("Ada").unwrap();
    let ended = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (_kept, _) = silent.accept().unwrap();
            for handle in [&device, &other] {
                let second = handle.step(given()).unwrap().outcome;
                assert_eq!(second, Outcome::NotNow(Missing::Turn));
            }
            other.cancel();
            ended.wait();
        });
        let stepped = device.step(given()).unwrap();
        assert_eq!(stepped.outcome, Outcome::Cancelled);
        ended.wait();
    });
    assert_nothing_left(&folder, "a cancelled step");
    drop(silent);
    let next = device.step(given()).unwrap().outcome;
    assert!(matches!(next, Outcome::TryLater(_)), "{next:?}");
}

/// Gives an installation the coordinator's certificate, which is one: nobody is reached to refuse
/// it.
fn borrow_identity(deployment: &Deployment, folder: &Path) {
    for (from, to) in [
        ("coordinator.crt", "device.crt"),
        ("coordinator.key", "device.key"),
    ] {
        fs::write(folder.join(to), deployment.pki(from).unwrap()).unwrap();
    }
    fs::write(folder.join("device.life"), format!("{0} {0}\n", u64::MAX)).unwrap();
}
