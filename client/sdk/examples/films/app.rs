//! The app: one installation, and what was shown last.

use std::fs;
use std::path::{Path, PathBuf};

use tacit_sdk::model::rank::filter::Filter;
use tacit_sdk::model::rank::ranker::Precision;
use tacit_sdk::model::{Interaction, InteractionKind};
use tacit_sdk::privacy::convert::shown;
use tacit_sdk::types::ItemId;
use tacit_sdk::types::shown::Shown;
use tacit_sdk::{Conditions, Consent, Forget, Installation, Recommender, SdkError, Why};

use crate::command::{Command, HELP};
use crate::screen::{Line, Moved, Screen};
use crate::{Problem, now, shipped, words};

/// Places of the list.
const LIST: usize = 12;
/// Most films that a search or `mine` shows.
const FOUND_MAX: usize = 20;

pub(crate) struct App {
    installation: Installation,
    screen: Screen,
    /// The list as it was shown last.
    before: Option<Vec<ItemId>>,
    /// What the numbers in commands mean.
    shown: Vec<ItemId>,
}

impl App {
    /// Opens the installation, making it on first use. Asks nobody.
    pub(crate) fn open(shipped: &Path, state: &Path, screen: Screen) -> Result<Self, Problem> {
        let (deployment, bundle) = shipped::read(shipped)?;
        let precision = Precision::Full;
        Ok(Self {
            installation: Installation::open(state, deployment, precision, Some(&bundle))?,
            screen,
            before: None,
            shown: Vec::new(),
        })
    }

    pub(crate) fn obey(&mut self, command: Command) -> Result<String, Problem> {
        match command {
            Command::List => self.list(),
            Command::Find(words) => self.find(&words),
            Command::Similar(number) => self.similar(number),
            Command::Did(kind, number, value) => self.did(kind, number, value),
            Command::Why(number) => self.why(number),
            Command::Topics(None) => Ok(self.topics()),
            Command::Topics(Some(chosen)) => self.choose(&chosen),
            Command::Mine => Ok(self.mine()),
            Command::Consent(consent) => self.consent(consent),
            Command::Privacy => self.privacy(),
            Command::Enrol(token) => self.enrol(&token),
            Command::Step => self.step(),
            Command::Refresh => self.refresh(),
            Command::Export(path) => self.export(&path),
            Command::Forget(number) => self.forget(&Forget::Item(self.film(number)?)),
            Command::ForgetAll => self.forget(&Forget::Everything),
            Command::Help => Ok(HELP.into()),
            Command::Nothing | Command::Quit => Ok(String::new()),
        }
    }

    /// What is recommended now, how it moved, and why.
    pub(crate) fn list(&mut self) -> Result<String, Problem> {
        let filter = filter();
        let list = self.installation.recommend(LIST, &filter);
        let items: Vec<ItemId> = list.iter().map(|one| one.item).collect();
        let lines: Vec<Line> = self.installation.read(|lists| {
            let places = items.iter().enumerate();
            places
                .map(|(place, &item)| Line {
                    moved: self.moved(item, place),
                    note: because(lists, item, &filter),
                    ..line(lists, item)
                })
                .collect()
        });

        let spent = self.installation.privacy()?.share_used;
        let consent = self.installation.read(Recommender::consent)?.as_str();
        let aside = format!(
            "consent {consent}, {:.0} % of the budget spent",
            spent * 100.0
        );
        let heading = self.screen.heading("For you", &aside);
        self.before = Some(items.clone());
        self.shown = items;
        Ok(heading + &self.screen.lines(&lines))
    }

    fn moved(&self, item: ItemId, place: usize) -> Moved {
        let Some(before) = &self.before else {
            return Moved::Stayed;
        };
        let former = before.iter().position(|&other| other == item);
        match former {
            None => Moved::New,
            Some(former) if former > place => Moved::Up(former - place),
            Some(former) if former < place => Moved::Down(place - former),
            Some(_) => Moved::Stayed,
        }
    }

    fn find(&mut self, wanted: &str) -> Result<String, Problem> {
        let found: Vec<ItemId> = self.installation.read(|lists| {
            let all = (0..lists.ranker().catalogue_len()).map(ItemId);
            let fits = |&item: &ItemId| title(lists, item).to_lowercase().contains(wanted);
            all.filter(fits).take(FOUND_MAX).collect()
        });
        if found.is_empty() {
            return Err("no such title".into());
        }
        Ok(self.show("Found", found, |_, _| String::new()))
    }

    fn similar(&mut self, number: usize) -> Result<String, Problem> {
        let item = self.film(number)?;
        let alike = self
            .installation
            .read(|lists| lists.similar(item, LIST, &filter()));
        if alike.is_empty() {
            return Err("this model has not learned what is alike".into());
        }
        let alike = alike.iter().map(|one| one.item).collect();
        Ok(self.show("Like it", alike, |_, _| String::new()))
    }

    fn did(&mut self, kind: InteractionKind, number: usize, value: f32) -> Result<String, Problem> {
        let interaction = Interaction {
            item: self.film(number)?,
            timestamp: Some(now()),
            value,
            kind,
            surface: 0,
        };
        self.installation
            .change(|lists| lists.record(interaction))?;
        self.list()
    }

    /// All reasons, the largest first, each as a share of all that speaks for it.
    fn why(&self, number: usize) -> Result<String, Problem> {
        let item = self.film(number)?;
        let said = self.installation.read(|lists| {
            let explained = lists.explain(item, &filter())?;
            let for_it = explained
                .reasons
                .iter()
                .filter(|reason| reason.score > 0.0);
            let whole = for_it.map(|reason| reason.score).sum::<f32>() + explained.chosen;
            let mut said = String::new();
            for reason in explained.reasons.iter().take(8) {
                let percent = 100.0 * reason.score / whole.max(f32::MIN_POSITIVE);
                let title = Shown(title(lists, reason.item));
                said += &format!("  {percent:>+5.0} %  {title}\n");
            }
            Some(said)
        });
        let said = said.filter(|said| !said.is_empty());
        Ok(said.unwrap_or_else(|| "  nothing you did: what everybody is told\n".into()))
    }

    fn topics(&self) -> String {
        let names = self
            .installation
            .read(|lists| lists.category_names().to_vec());
        let numbered = names.iter().enumerate();
        let lines: String = numbered
            .filter(|(_, name)| is_topic(name))
            .map(|(number, name)| format!("  {number:>3}  {}\n", Shown(name)))
            .collect();
        self.screen
            .heading("Topics", "choose with: topics 2 5")
            + &lines
    }

    fn choose(&mut self, chosen: &[u32]) -> Result<String, Problem> {
        let all = self
            .installation
            .read(|lists| lists.category_names().len());
        if chosen.iter().any(|&one| one as usize >= all) {
            return Err("no such topic; type: topics".into());
        }
        self.installation
            .change(|lists| lists.choose_categories(chosen))?;
        self.list()
    }

    fn mine(&mut self) -> String {
        let mut newest: Vec<ItemId> = Vec::new();
        self.installation.read(|lists| {
            for one in lists.recent().iter().rev() {
                if !newest.contains(&one.item) && newest.len() < FOUND_MAX {
                    newest.push(one.item);
                }
            }
        });
        self.show("What you did", newest, |lists, item| {
            let of_it = lists.recent().iter().filter(|one| one.item == item);
            let kinds: Vec<&str> = of_it.map(|one| words::did(one.kind)).collect();
            kinds.join(", ")
        })
    }

    fn consent(&self, consent: Consent) -> Result<String, Problem> {
        self.installation
            .change(|lists| lists.set_consent(consent))?;
        let means = match consent {
            Consent::Off => "nothing goes over the network; the list stays",
            Consent::Receive => "published models are fetched; nothing about you is sent",
            Consent::Contribute => "this device takes part in rounds, within its budget",
        };
        Ok(format!("  {means}\n"))
    }

    fn privacy(&self) -> Result<String, Problem> {
        let report = self.installation.privacy()?;
        let bar = self.screen.bar(report.share_used);
        let (used, limit) = (shown(report.epsilon_used), shown(report.epsilon_limit));
        let mut said = self.screen.heading("Privacy", "asks nobody");
        said += &format!(
            "  {bar}  epsilon {used} of {limit}\n  {}\n",
            report.sentence
        );
        for one in &report.releases {
            let (when, became) = (words::date(one.when), words::became(one.status));
            let (round, percent) = (one.round.0, one.share * 100.0);
            said += &format!("  {when}  round {round:<4} {percent:>5.1} %  {became}\n");
        }
        Ok(said)
    }

    fn enrol(&self, token: &[u8]) -> Result<String, Problem> {
        self.installation.enrol(token)?;
        Ok("  this installation has an identity\n".into())
    }

    /// What an app's host calls at night. A terminal has no battery, so all is given.
    fn step(&mut self) -> Result<String, Problem> {
        let stepped = self.installation.step(Conditions {
            charging: true,
            unmetered: true,
            idle: true,
            now: now(),
        })?;
        Ok(words::stepped(&stepped))
    }

    fn refresh(&mut self) -> Result<String, Problem> {
        let stepped = self.installation.refresh(now())?;
        Ok(words::stepped(&stepped))
    }

    fn export(&self, path: &PathBuf) -> Result<String, Problem> {
        let data = self.installation.read(Recommender::export_my_data)?;
        fs::write(path, &data).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(format!("  {} bytes of JSON\n", data.len()))
    }

    fn forget(&mut self, what: &Forget) -> Result<String, Problem> {
        let gone: Result<usize, SdkError> = self.installation.change(|lists| lists.forget(what));
        let said = format!("  {} of what you did is gone for good\n", gone?);
        Ok(said + &self.list()?)
    }

    /// Shows films; the numbers in commands mean these from now on.
    fn show(
        &mut self,
        name: &str,
        items: Vec<ItemId>,
        note: impl Fn(&Recommender, ItemId) -> String,
    ) -> String {
        let lines: Vec<Line> = self.installation.read(|lists| {
            let line = |&item: &ItemId| Line {
                note: note(lists, item),
                ..line(lists, item)
            };
            items.iter().map(line).collect()
        });
        self.shown = items;
        let films = match lines.len() {
            1 => "1 film".into(),
            many => format!("{many} films"),
        };
        self.screen.heading(name, &films) + &self.screen.lines(&lines)
    }

    fn film(&self, number: usize) -> Result<ItemId, Problem> {
        let item = self.shown.get(number - 1).copied();
        item.ok_or_else(|| "no film has that number in what was shown last".into())
    }
}

/// A list for this moment, with some variety.
fn filter() -> Filter {
    Filter {
        now: Some(now()),
        ..Filter::default()
    }
}

fn title(lists: &Recommender, item: ItemId) -> &str {
    lists.title(item).unwrap_or("?")
}

fn line(lists: &Recommender, item: ItemId) -> Line {
    let names = lists.category_names();
    let topics: Vec<&str> = lists
        .categories_of(item)
        .iter()
        .filter_map(|&number| names.get(number as usize).map(String::as_str))
        .filter(|name| is_topic(name))
        .collect();
    Line {
        moved: Moved::Stayed,
        title: title(lists, item).to_owned(),
        topics: topics.join(", "),
        note: String::new(),
    }
}

/// Years are categories to the model; titles show them already.
fn is_topic(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
}

fn because(lists: &Recommender, item: ItemId, filter: &Filter) -> String {
    match lists.why(item, filter) {
        Some(Why::Because { item, kind }) => {
            let (did, title) = (words::did(kind), title(lists, item));
            format!("because you {did} {title}")
        }
        Some(Why::Chosen) => "for a topic you chose".into(),
        _ => "what many like".into(),
    }
}
