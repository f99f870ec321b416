//! The program of `client/GUIDE.md`, block by block: `tests/tests/guide.rs` holds both together.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an app reads its own clock and speaks for itself"
)]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use tacit_sdk::model::InteractionKind;
use tacit_sdk::model::rank::filter::Filter;
use tacit_sdk::model::rank::ranker::Precision;
use tacit_sdk::types::Timestamp;
use tacit_sdk::{
    Bundle, Conditions, Consent, Deployment, Event, Forget, Installation, Outcome, Recommender,
    SdkError, Why,
};

fn open(shipped: &Path, folder: &Path) -> Result<Installation, Box<dyn Error>> {
    let text = |name: &str| fs::read_to_string(shipped.join(name));
    let coordinator = text("coordinator.txt")?;
    let (address, name) = coordinator
        .trim()
        .split_once(' ')
        .ok_or("coordinator.txt: an address and a name")?;
    let (root, policy, publisher) = (
        text("root.crt")?,
        text("policy.json")?,
        text("publisher.pub")?,
    );
    let deployment = Deployment::read(address, name, &root, &policy, &publisher)?;

    let bundle = fs::read(shipped.join("app.bundle"))?;
    let bundle = Bundle::read(&bundle, deployment.policy())?;
    let app = Installation::open(folder, deployment, Precision::Full, Some(&bundle))?;
    Ok(app)
}

fn show(app: &Installation, now: Timestamp) {
    let filter = Filter {
        now: Some(now),
        ..Filter::default()
    };
    let list = app.recommend(5, &filter);
    app.read(|lists| {
        let title = |item| lists.title(item).unwrap_or("?");
        for one in &list {
            let why = match lists.why(one.item, &filter) {
                Some(Why::Because { item, .. }) => format!("because of {}", title(item)),
                Some(Why::Chosen) => "for a category you chose".into(),
                _ => "what many like".into(),
            };
            println!("{:<32} {why}", title(one.item));
        }
    });
}

fn like(app: &Installation, id: &str, now: Timestamp) -> Result<(), SdkError> {
    let event = Event {
        id: id.into(),
        timestamp: Some(now),
        value: 1.0,
        kind: InteractionKind::Like,
        surface: 0,
    };
    let recorded = app.record_all(&[event])?;
    println!("{} recorded, {} waiting", recorded.known, recorded.waiting);
    Ok(())
}

fn join(app: &Installation, token: &str) -> Result<(), Box<dyn Error>> {
    app.change(|lists| lists.set_consent(Consent::Contribute))?;
    let digits = token.as_bytes().chunks(2);
    let bytes: Result<Vec<u8>, Box<dyn Error>> = digits
        .map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?))
        .collect();
    app.enrol(&bytes?)?;
    Ok(())
}

fn in_the_background(app: &Installation, now: Timestamp) -> Result<Duration, SdkError> {
    let conditions = Conditions {
        charging: true,
        unmetered: true,
        idle: true,
        now,
    };
    let stepped = app.step(conditions)?;
    match &stepped.outcome {
        Outcome::Contributed => println!("took part in a round"),
        Outcome::NewModel => println!("a new model"),
        Outcome::Retired => println!("the task is over, its last model stays"),
        Outcome::TryLater(reason) => println!("later: {reason}"),
        Outcome::NeedsEnrolment(why) => println!("a new token is needed: {why}"),
        other => println!("{other:?}"),
    }
    Ok(stepped.call_again)
}

fn look_for_news(app: &Installation, now: Timestamp) -> Result<bool, SdkError> {
    let stepped = app.refresh(now)?;
    Ok(stepped.outcome == Outcome::NewModel)
}

fn privacy(app: &Installation) -> Result<(), SdkError> {
    let report = app.privacy()?;
    println!("{}", report.sentence);
    for release in &report.releases {
        let percent = 100.0 * release.share;
        println!("round {}: {percent:.1} %", release.round.0);
    }
    Ok(())
}

fn forget(app: &Installation, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mine = app.read(Recommender::export_my_data)?;
    fs::write(folder.join("my data.json"), mine)?;
    let gone = app.change(|lists| lists.forget(&Forget::Everything))?;
    println!("{gone} interactions forgotten");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [shipped, folder, token] = &arguments[..] else {
        return Err("usage: guide SHIPPED FOLDER TOKEN".into());
    };
    let (shipped, folder) = (Path::new(shipped), Path::new(folder));
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now = Timestamp(u64::try_from(since.as_millis())?);

    let app = open(shipped, folder)?;
    show(&app, now);
    let first = app.recommend(1, &Filter::default());
    let id = app.read(|lists| Some(lists.id(first.first()?.item)?.to_owned()));
    like(&app, &id.ok_or("an empty catalogue")?, now)?;
    show(&app, now);

    join(&app, token)?;
    println!("new: {}", look_for_news(&app, now)?);
    let again = in_the_background(&app, now)?;
    println!("call again in {} s", again.as_secs());
    privacy(&app)?;
    forget(&app, folder)
}
