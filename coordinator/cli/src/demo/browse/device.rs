//! The device that the page shows, in the words the page needs.

use std::collections::BTreeMap;

use serde::Serialize;
use tacit_model::rank::filter::Filter;
use tacit_model::rank::ranker::Precision;
use tacit_privacy::convert::shown;
use tacit_privacy::record::{Event, Line, Release};
use tacit_round::device::Status;
use tacit_sdk::{Installation, PrivacyReport, Recommender, SdkError, Why};
use tacit_types::{ItemId, Kind, RoundId};
use tacit_wire::clock;

use super::action::Action;
use crate::demo::world::World;
use crate::failure::Failure;

/// Places of the list.
const LIST: usize = 10;
/// Items of one page of the catalogue.
const PAGE: usize = 8;
/// Most items of what the owner did; the newest are shown.
const MINE_MAX: usize = 100;

/// One installation, and what the public ledger says of the rounds it took part in.
pub(super) struct Device {
    number: u32,
    devices: u32,
    installation: Installation,
    published: BTreeMap<RoundId, Release>,
}

/// Everything the page shows but the catalogue.
#[derive(Serialize)]
pub(super) struct State {
    device: u32,
    devices: u32,
    items: u32,
    list: Vec<Suggestion>,
    mine: Vec<Done>,
    categories: Vec<Category>,
    consent: &'static str,
    privacy: Privacy,
}

#[derive(Serialize)]
struct Item {
    item: u32,
    title: String,
    categories: Vec<String>,
}

#[derive(Serialize)]
struct Suggestion {
    #[serde(flatten)]
    item: Item,
    why: Reason,
}

/// Why a suggestion is in the list.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Reason {
    Because { did: &'static str, title: String },
    Chosen,
    General,
}

#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    item: Item,
    did: &'static str,
    /// Milliseconds since 1970.
    at: Option<u64>,
}

#[derive(Serialize)]
struct Category {
    number: u32,
    name: String,
    chosen: bool,
}

#[derive(Serialize)]
struct Privacy {
    share: f64,
    epsilon: String,
    limit: String,
    delta: f64,
    sentence: String,
    /// The newest first.
    sent: Vec<Sent>,
}

/// One vector that left the device.
#[derive(Serialize)]
struct Sent {
    round: u32,
    /// Milliseconds since 1970, to the hour.
    at: u64,
    what: &'static str,
    /// How long it was, whatever the owner did.
    numbers: Option<u32>,
    /// In whose sum alone it was opened.
    among: Option<u32>,
    share: f64,
    became: &'static str,
}

/// Some items of the catalogue.
#[derive(Serialize)]
pub(super) struct Found {
    items: Vec<Seen>,
    /// How many there are in all.
    total: usize,
    from: usize,
    /// Most of them at a time.
    page: usize,
}

#[derive(Serialize)]
struct Seen {
    #[serde(flatten)]
    item: Item,
    /// What was done last with it.
    did: Option<&'static str>,
}

impl Device {
    pub(super) fn open(world: &World, number: u32) -> Result<Self, Failure> {
        let config = world.path("device.toml");
        let deployment = crate::device::shipped(&config)?;
        let folder = world.device(number);
        let precision = Precision::Full;
        let installation = Installation::open(&folder, deployment, precision, None)?;
        Ok(Self {
            number,
            devices: world.devices(),
            installation,
            published: published(world)?,
        })
    }

    /// Does what a click asks for, then shows what came of it.
    pub(super) fn act(&self, action: Action) -> Result<State, SdkError> {
        let now = clock::now();
        let acted = self
            .installation
            .change(|lists| action.apply(lists, now));
        acted?;
        self.state()
    }

    pub(super) fn state(&self) -> Result<State, SdkError> {
        let privacy = self.installation.privacy()?;
        self.installation.read(|lists| {
            Ok(State {
                device: self.number,
                devices: self.devices,
                items: lists.ranker().catalogue_len(),
                list: suggestions(lists),
                mine: done(lists),
                categories: categories(lists),
                consent: lists.consent()?.as_str(),
                privacy: self.spent(privacy),
            })
        })
    }

    /// Items whose title has all these words, from a place on.
    pub(super) fn find(&self, words: &str, from: usize) -> Found {
        let wanted = words.to_lowercase();
        let words: Vec<&str> = wanted.split_whitespace().collect();
        self.installation.read(|lists| {
            let len = lists.ranker().catalogue_len();
            let mut found = Vec::new();
            for item in (0..len).map(ItemId) {
                let title = title(lists, item).to_lowercase();
                if words.iter().all(|word| title.contains(word)) {
                    found.push(item);
                }
            }

            let page = found.iter().skip(from).take(PAGE);
            Found {
                items: page.map(|&item| seen(lists, item)).collect(),
                total: found.len(),
                from,
                page: PAGE,
            }
        })
    }

    fn spent(&self, report: PrivacyReport) -> Privacy {
        let mut sent = Vec::new();
        for one in report.releases.iter().rev() {
            let line = self.published.get(&one.round);
            let kind = line.and_then(|line| Kind::parse(&line.charge.kind));
            sent.push(Sent {
                round: one.round.0,
                at: one.when.0,
                what: kind.map_or("A vector", Kind::title),
                numbers: line.map(|line| line.charge.mechanism.length),
                among: line.map(|line| line.contributors),
                share: one.share,
                became: became(one.status),
            });
        }

        Privacy {
            share: report.share_used,
            epsilon: shown(report.epsilon_used),
            limit: shown(report.epsilon_limit),
            delta: report.delta,
            sent,
            sentence: report.sentence,
        }
    }
}

/// Every release of the public ledger, by its round.
fn published(world: &World) -> Result<BTreeMap<RoundId, Release>, Failure> {
    let path = world.ledger().join("ledger.jsonl");
    let text = std::fs::read_to_string(path)?;
    let mut published = BTreeMap::new();
    for line in text.lines() {
        let line = Line::from_bytes(line.as_bytes())?;
        if let Event::Release(release) = line.event {
            let round = release.charge.round;
            published.insert(round, *release);
        }
    }
    Ok(published)
}

fn became(status: Status) -> &'static str {
    match status {
        Status::Reserved => "being made",
        Status::Spooled => "waiting",
        Status::Acknowledged => "counted",
        Status::Forfeited => "in no sum",
    }
}

/// The list, without exploration: it moves by what the owner does and by nothing else.
fn suggestions(lists: &Recommender) -> Vec<Suggestion> {
    let filter = Filter {
        now: Some(clock::now()),
        ..Filter::default()
    };

    let list = lists.recommend(LIST, &filter);
    list.iter()
        .map(|one| Suggestion {
            item: described(lists, one.item),
            why: reason(lists, one.item, &filter),
        })
        .collect()
}

fn reason(lists: &Recommender, item: ItemId, filter: &Filter) -> Reason {
    match lists.why(item, filter) {
        Some(Why::Because { item, kind }) => Reason::Because {
            did: kind.as_str(),
            title: title(lists, item),
        },
        Some(Why::Chosen) => Reason::Chosen,
        _ => Reason::General,
    }
}

fn done(lists: &Recommender) -> Vec<Done> {
    let newest_first = lists.recent().iter().rev();
    newest_first
        .take(MINE_MAX)
        .map(|one| Done {
            item: described(lists, one.item),
            did: one.kind.as_str(),
            at: one.timestamp.map(|at| at.0),
        })
        .collect()
}

/// Categories for people to choose from. Years, which a model uses too, are no such.
fn categories(lists: &Recommender) -> Vec<Category> {
    let chosen = lists.chosen_categories();
    let named = (0_u32..).zip(lists.category_names());
    let for_people = named.filter(|(_, name)| is_topic(name));
    let all = for_people.map(|(number, name)| Category {
        number,
        name: name.clone(),
        chosen: chosen.contains(&number),
    });

    all.collect()
}

fn seen(lists: &Recommender, item: ItemId) -> Seen {
    let mut newest_first = lists.recent().iter().rev();
    let last = newest_first.find(|one| one.item == item);
    Seen {
        item: described(lists, item),
        did: last.map(|one| one.kind.as_str()),
    }
}

fn described(lists: &Recommender, item: ItemId) -> Item {
    let names = lists.category_names();
    let categories = lists
        .categories_of(item)
        .iter()
        .filter_map(|&number| names.get(number as usize))
        .filter(|name| is_topic(name));
    Item {
        item: item.0,
        title: title(lists, item),
        categories: categories.cloned().collect(),
    }
}

fn title(lists: &Recommender, item: ItemId) -> String {
    lists.title(item).unwrap_or("?").to_owned()
}

fn is_topic(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
}
