//! The facade, in the words of app developers. No network, no thread: every call does its work and
//! returns.
//!
//! What is kept between calls follows each interaction at once: the owner's taste is a running sum
//! ([`tacit_model::rank::profile`]), so nothing is retrained on the device and nothing is sent.

mod aside;
mod export;
mod listing;
mod model;
mod owner;
mod status;
mod why;

use std::ops::Range;
use std::path::{Path, PathBuf};

use tacit_model::family::catalogue::Catalogue as Listing;
use tacit_model::history::fusion::Rules;
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::history::scene::Scene;
use tacit_model::history::sessions::Limits;
use tacit_model::measure::fusion_choice::choose;
use tacit_model::rank::explain::contributions;
use tacit_model::rank::filter::{Catalogue, Filter, shared};
use tacit_model::rank::profile::{OnlineProfile, Profile};
use tacit_model::rank::ranker::{Precision, Ranker};
use tacit_model::rank::rerank::{diversify, explore};
use tacit_model::rank::similar::similarities;
use tacit_model::rank::top::top_k;
use tacit_types::{ItemId, Timestamp};

use crate::bundle::Bundle;
use crate::error::SdkError;
use crate::kept::Serving;
use crate::store::{OwnerId, Store};

pub use listing::Recorded;
use model::Source;
pub use status::PrivacyStatus;
pub use why::Why;

/// Candidates per place of a list that is made diverse.
const DIVERSE_POOL: usize = 5;
/// Places after the list that exploration draws from, per place of the list.
const EXPLORATION_POOL: usize = 10;

/// One recommended item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommendation {
    /// The item.
    pub item: ItemId,
    /// Ranking score; comparable within one list only, except predicted ratings before they are
    /// cut to their scale.
    pub score: f32,
}

/// What an owner says about a suggestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// More like this. Counts as a use of the item, in training too.
    Like,
    /// Less like this: it is not shown again, and items like it rank lower.
    Dislike,
    /// Not this one again; says nothing about others.
    Hide,
}

/// Why an item has its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The model's score, before filter and variety; all parts add up to it.
    pub score: f32,
    /// What each item the owner met adds, the largest first; below 0 where it speaks against. Empty
    /// where popularity alone decides.
    pub reasons: Vec<Recommendation>,
    /// What the categories chosen at the start add.
    pub chosen: f32,
    /// What everybody would be told: private popularity where that alone decides, or where a rating
    /// is predicted the middle of the scale and the item's bias.
    pub general: f32,
}

/// Offline recommendations of one installation, for one of its owners: the unnamed one, or whoever
/// [`Self::for_owner`] names.
///
/// ```no_run
/// # use std::path::Path;
/// use tacit_model::rank::filter::{Facts, Filter};
/// use tacit_model::rank::ranker::Precision;
/// use tacit_sdk::{Bundle, Consent, Deployment, Feedback, Recommender, SdkError};
/// use tacit_types::{ItemId, Timestamp};
/// # use tacit_model::{Interaction, InteractionKind};
///
/// fn first_list(folder: &Path, app: &Deployment, shipped: &[u8]) -> Result<Vec<u32>, SdkError> {
///     let bundle = Bundle::read(shipped, app.policy())?;
///     let mut recommender = Recommender::open_with(folder, Precision::Full, Some(&bundle))?;
///     recommender.set_consent(Consent::Receive)?;
///     let facts = Facts { categories: vec![18], ..Facts::default() };
///     recommender.catalogue_mut().set(ItemId(4), facts);
///
///     let at = Timestamp(1_767_225_600_000);
///     recommender.record(Interaction {
///         item: ItemId(0),
///         timestamp: Some(at),
///         value: 1.0,
///         kind: InteractionKind::View,
///         surface: 0,
///     })?;
///     recommender.feedback(ItemId(2), Feedback::Hide, at)?;
///
///     let filter = Filter {
///         now: Some(at),
///         exclude_categories: vec![18],
///         diversity: 0.2,
///         ..Filter::default()
///     };
///     let list = recommender.recommend(10, &filter);
///     Ok(list.iter().map(|one| one.item.0).collect())
/// }
/// ```
pub struct Recommender {
    folder: PathBuf,
    owner: OwnerId,
    precision: Precision,
    /// What was adopted and ranks; `None` while it is the app's, or nothing.
    adopted: Option<Serving>,
    /// What the published catalogue says of the items.
    listing: Listing,
    ranker: Ranker,
    interactions: Vec<Interaction>,
    profile: OnlineProfile,
    catalogue: Catalogue,
    /// Categories the owner chose at the start.
    categories: Vec<u32>,
    /// From when on interactions are set aside; `None` for never.
    limits: Option<Limits>,
    /// Periods in which nothing is set aside.
    trusted: Vec<Range<Timestamp>>,
}

impl Recommender {
    /// Opens an installation, making its store on first use. Needs no network and no model: without
    /// one, or with one that is damaged, lists are empty until [`Self::reload`] finds one.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when the store is damaged, or missing where this installation has
    /// enrolled or written to one.
    pub fn open(folder: &Path) -> Result<Self, SdkError> {
        Self::open_with(folder, Precision::default(), None)
    }

    /// [`Self::open`], keeping the item factors in this precision, and ranking by the app's model
    /// until one was adopted.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        folder: &Path,
        precision: Precision,
        bundle: Option<&Bundle>,
    ) -> Result<Self, SdkError> {
        let store = model::open_store(folder)?;
        let source = Source::first(folder, precision, bundle)?;
        Self::of(store, folder, precision, source)
    }

    /// Lists of whoever's handle the store is.
    fn of(
        mut store: Store,
        folder: &Path,
        precision: Precision,
        source: Source,
    ) -> Result<Self, SdkError> {
        let Source {
            adopted,
            ranker,
            listing,
        } = source;
        store.settle(|id| listing.item(id))?;
        let interactions = store.interactions()?;
        let profile = OnlineProfile::new(&interactions, Rules::default(), HISTORY_CAP, &ranker);
        let (categories, trusted) = (store.categories()?, store.trusted()?);
        let catalogue = Catalogue::default();
        Ok(Self {
            folder: folder.to_owned(),
            owner: store.owner(),
            precision,
            adopted,
            listing,
            ranker,
            interactions,
            profile,
            catalogue,
            categories,
            limits: None,
            trusted,
        })
    }

    /// Makes an interaction durable; the next [`Self::recommend`] already knows it.
    ///
    /// # Errors
    /// [`SdkError::Stop`] for an item the catalogue does not have or a value that is not finite, or
    /// when storage fails.
    pub fn record(&mut self, interaction: Interaction) -> Result<(), SdkError> {
        self.check(&interaction)?;
        self.store()?.record(&[interaction])?;
        self.interactions.push(interaction);
        match self.limits {
            // One more interaction may complete a burst, so earlier ones may drop out too.
            Some(_) => self.profile.rebuild(&self.counted(), &self.ranker),
            None => self.profile.record(&self.interactions, &self.ranker),
        }
        Ok(())
    }

    /// Makes what the owner says about a suggestion durable; acts at once.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn feedback(
        &mut self,
        item: ItemId,
        feedback: Feedback,
        at: Timestamp,
    ) -> Result<(), SdkError> {
        let kind = match feedback {
            Feedback::Like => InteractionKind::Like,
            Feedback::Dislike => InteractionKind::Dislike,
            Feedback::Hide => InteractionKind::Hide,
        };
        // What is said of an item holds wherever it is shown, so it needs no surface.
        self.record(Interaction {
            item,
            timestamp: Some(at),
            value: 1.0,
            kind,
            surface: 0,
        })
    }

    /// The best `k` items that the filter lets through, best first; with variety and exploration,
    /// in the order to show.
    pub fn recommend(&self, k: usize, filter: &Filter) -> Vec<Recommendation> {
        let explores = filter.exploration > 0.0;
        let diverse = filter.diversity > 0.0;
        let pool = k.saturating_mul(if diverse { DIVERSE_POOL } else { 1 });
        let wanted = if explores {
            pool.max(k.saturating_mul(1 + EXPLORATION_POOL))
        } else {
            pool
        };
        let best = self
            .ranker
            .top(&self.taste(filter), &self.shares(filter), wanted);
        let mut list = if diverse {
            let pool = &best[..pool.min(best.len())];
            diversify(pool, &self.ranker, k, filter.diversity)
        } else {
            best[..k.min(best.len())].to_vec()
        };
        if explores {
            let mut after = best;
            after.retain(|one| !list.contains(one));
            explore(&mut list, after, filter.exploration, filter.seed);
        }
        list.into_iter()
            .map(|(item, score)| Recommendation { item, score })
            .collect()
    }

    /// The `k` items most like `item` that the filter lets through, `score` being a cosine; none
    /// where the model has no factors for it.
    pub fn similar(&self, item: ItemId, k: usize, filter: &Filter) -> Vec<Recommendation> {
        let Some(mut alike) = similarities(item, &self.ranker) else {
            return Vec::new();
        };
        alike
            .iter_mut()
            .zip(self.shares(filter))
            .for_each(|(cosine, share)| *cosine = shared(*cosine, share));
        top_k(&alike, &[item], k)
            .into_iter()
            .map(|(item, score)| Recommendation { item, score })
            .collect()
    }

    /// Why an item has its score in the scene of this filter: what each of the owner's items adds
    /// to it. `None` for an item the catalogue does not have.
    pub fn explain(&self, item: ItemId, filter: &Filter) -> Option<Explanation> {
        let score = *self
            .ranker
            .scores(&self.taste(filter))
            .get(item.0 as usize)?;
        let own = self.fused(filter);
        let all = [&own[..], &self.chosen()].concat();
        let shares = contributions(item, &all, &self.ranker);
        let mut reasons: Vec<Recommendation> = own
            .iter()
            .zip(&shares)
            .map(|(&(item, _), &score)| Recommendation { item, score })
            .collect();
        reasons.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
        let general = if shares.is_empty() {
            score
        } else {
            self.ranker.general(item)
        };
        Some(Explanation {
            score,
            reasons,
            chosen: shares.iter().skip(own.len()).sum(),
            general,
        })
    }

    /// What the owner would rate an item, on the scale of the task; `None` unless the model
    /// predicts ratings and knows the item.
    pub fn predicted_rating(&self, item: ItemId) -> Option<f32> {
        let scale = self.ranker.scale()?;
        let scores = self.ranker.scores(self.profile.profile());
        let score = *scores.get(item.0 as usize)?;
        Some(scale.clamp(score))
    }

    /// What the app knows about its items: hide, expire or retire an item here, without training.
    pub fn catalogue_mut(&mut self) -> &mut Catalogue {
        &mut self.catalogue
    }

    /// Places the next item of the catalogue, which the model does not know yet, by factors that
    /// [`tacit_model::rank::cold_start::FeatureMap::predict`] gives for its features. Lasts until
    /// closed or [`Self::reload`]: the next model may know the item itself.
    ///
    /// # Errors
    /// [`SdkError::Stop`] unless there are as many finite factors as the model has.
    pub fn place_new_item(&mut self, factors: &[f32]) -> Result<ItemId, SdkError> {
        let expected = self.ranker.factor_count();
        let item = self.ranker.place(factors);
        let item = item
            .ok_or_else(|| SdkError::Stop(format!("a new item needs {expected} finite factors")))?;
        // Recorded before the item was placed again, perhaps.
        self.profile.rebuild(&self.counted(), &self.ranker);
        Ok(item)
    }

    /// What ranking uses of the model, to learn a [`tacit_model::rank::cold_start::FeatureMap`]
    /// from.
    pub fn ranker(&self) -> &Ranker {
        &self.ranker
    }

    /// Sets what each kind of interaction counts when ranking. Training is not affected.
    pub fn set_rules(&mut self, rules: Rules) {
        self.ranker.set_taste_prior(rules.taste_prior);
        self.profile = OnlineProfile::new(&self.counted(), rules, HISTORY_CAP, &self.ranker);
    }

    /// Sets the candidate that would have ranked the owner's latest `held_out` new items best, in
    /// the order of recording, and gives its place; list the default first, it stays where nothing
    /// does better. Costs a full scoring per candidate and item. All are compared with the taste
    /// prior in force.
    pub fn choose_rules(&mut self, candidates: &[Rules], held_out: usize) -> Option<usize> {
        let chosen = choose(&self.counted(), &self.ranker, candidates, held_out)?;
        self.set_rules(candidates[chosen].clone());
        Some(chosen)
    }

    /// Items interacted with, newest last.
    pub fn recent(&self) -> &[Interaction] {
        &self.interactions
    }

    /// The store, for one call: between calls no file is locked, so an app may be suspended.
    fn store(&self) -> Result<Store, SdkError> {
        Ok(Store::open_for_one_call(&self.folder)?.of(self.owner))
    }

    fn check(&self, interaction: &Interaction) -> Result<(), SdkError> {
        let item = interaction.item.0;
        if self.has_model() && item >= self.ranker.catalogue_len() {
            let problem = format!("item {item} is not in the catalogue");
            return Err(SdkError::Stop(problem));
        }
        check_value(interaction.value)
    }

    /// The owner's items with their weights in the scene of a filter.
    fn fused(&self, filter: &Filter) -> Vec<(ItemId, f64)> {
        let scene = Scene {
            at: filter.now,
            surface: filter.surface,
        };
        self.ranker
            .weights(scene, &self.counted(), HISTORY_CAP, self.profile.rules())
            .weights
    }

    /// The owner's items and the chosen categories together. The running sums hold for no
    /// particular scene.
    fn taste(&self, filter: &Filter) -> Profile {
        let scene_counts = self.profile.rules().scene.count();
        let mut taste = if scene_counts {
            Profile::of(&self.fused(filter), &self.ranker)
        } else {
            self.profile.profile().clone()
        };
        self.chosen()
            .into_iter()
            .for_each(|(item, weight)| taste.add(item, weight, &self.ranker));
        taste
    }
}

fn check_value(value: f32) -> Result<(), SdkError> {
    let not_finite = "the interaction's value is not a finite number";
    match value.is_finite() {
        true => Ok(()),
        false => Err(SdkError::Stop(not_finite.into())),
    }
}
