//! The facade, in the words of app developers. No network, no thread: every call does its work and
//! returns.
//!
//! What is kept between calls follows each interaction at once: the owner's taste is a running sum
//! ([`tacit_model::rank::profile`]), so nothing is retrained on the device and nothing is sent.

mod aside;
mod export;
mod status;

use std::ops::Range;
use std::path::Path;

use tacit_model::Model;
use tacit_model::history::fusion::Rules;
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_model::history::preference::HISTORY_CAP;
use tacit_model::history::scene::Scene;
use tacit_model::history::sessions::Limits;
use tacit_model::measure::fusion_choice::choose;
use tacit_model::rank::cold_start;
use tacit_model::rank::explain::contributions;
use tacit_model::rank::filter::{Catalogue, Filter, shared};
use tacit_model::rank::profile::{OnlineProfile, Profile};
use tacit_model::rank::ranker::{Precision, Ranker};
use tacit_model::rank::rerank::{diversify, explore};
use tacit_model::rank::similar::similarities;
use tacit_model::rank::top::top_k;
use tacit_privacy::DeviceBudget;
use tacit_types::{ItemId, Timestamp};

use crate::error::SdkError;
use crate::files;
use crate::kept;
use crate::store::{Forget, Store};

use export::export;
pub use status::PrivacyStatus;

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

/// Offline recommendations of one installation.
///
/// ```
/// use tacit_model::rank::filter::{Facts, Filter};
/// use tacit_model::family::spectral::SpectralModel;
/// use tacit_sdk::{Feedback, Recommender, Store};
/// use tacit_types::{ItemId, Timestamp};
/// # use tacit_model::{Interaction, InteractionKind};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// // Enrolment creates the store, and training keeps models; until then one the app ships serves.
/// Store::create(folder)?;
/// std::fs::write(folder.join("model.bin"), SpectralModel::genesis(5).to_bytes())?;
///
/// let mut recommender = Recommender::open(folder)?;
/// recommender.catalogue_mut().set(ItemId(4), Facts { categories: vec![18], ..Facts::default() });
///
/// let at = Timestamp(1_767_225_600_000);
/// recommender.record(Interaction {
///     item: ItemId(0),
///     timestamp: Some(at),
///     value: 1.0,
///     kind: InteractionKind::View,
///     surface: 0,
/// })?;
/// recommender.feedback(ItemId(2), Feedback::Hide, at)?;
///
/// let filter = Filter {
///     now: Some(at),
///     exclude_categories: vec![18],
///     diversity: 0.2,
///     ..Filter::default()
/// };
/// let items: Vec<u32> = recommender.recommend(10, &filter).iter().map(|one| one.item.0).collect();
/// assert_eq!(items, [1, 3]);
/// # Ok(())
/// # }
/// ```
pub struct Recommender {
    store: Store,
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
    /// Opens an installation that has a model.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when the store or the model is missing or damaged.
    pub fn open(folder: &Path) -> Result<Self, SdkError> {
        Self::open_with(folder, Precision::default())
    }

    /// [`Self::open`], keeping the item factors in this precision.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(folder: &Path, precision: Precision) -> Result<Self, SdkError> {
        let store = Store::open(folder)?;
        let path = kept::serving(folder)?;
        let model =
            Model::from_bytes(&files::read(&path)?).map_err(|error| files::stop(&path, error))?;
        let ranker = Ranker::of(&model, precision);
        let interactions = store.interactions()?;
        let profile = OnlineProfile::new(&interactions, Rules::default(), HISTORY_CAP, &ranker);
        let (categories, trusted) = (store.categories()?, store.trusted()?);
        let catalogue = Catalogue::default();
        Ok(Self {
            store,
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
        if interaction.item.0 >= self.ranker.catalogue_len() {
            return Err(SdkError::Stop(format!(
                "item {} is not in the catalogue",
                interaction.item.0
            )));
        }
        if !interaction.value.is_finite() {
            return Err(SdkError::Stop(
                "the interaction's value is not a finite number".into(),
            ));
        }
        self.store.record(&[interaction])?;
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
    /// [`cold_start::FeatureMap::predict`] gives for its features. Lasts until closed: the next
    /// model may know the item itself.
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

    /// What ranking uses of the model, to learn a [`cold_start::FeatureMap`] from.
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

    /// Starts a new owner from categories they chose, by the catalogue's numbers; none to go back
    /// to popularity. Durable.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn choose_categories(&mut self, categories: &[u32]) -> Result<(), SdkError> {
        self.store.choose_categories(categories)?;
        self.categories = categories.to_vec();
        Ok(())
    }

    /// Forgets at once and for good; gives how many interactions are gone.
    ///
    /// What is forgotten no longer ranks anything and is in no later contribution. A contribution
    /// already prepared is still sent, and what was released stays released: hidden in noise, and
    /// charged to the budget, which forgetting does not give back.
    ///
    /// # Errors
    /// As [`Store::forget`].
    pub fn forget(&mut self, what: &Forget) -> Result<usize, SdkError> {
        let gone = self.store.forget(what);
        // Also after an error: what the file still holds counts, and nothing else.
        self.interactions = self.store.interactions()?;
        (self.categories, self.trusted) = (self.store.categories()?, self.store.trusted()?);
        self.profile.rebuild(&self.counted(), &self.ranker);
        gone
    }

    /// All that this installation holds of its owner, as one JSON object for the owner to keep or
    /// read: what was done, chosen and trusted, the taste made of it, and every release with its
    /// price.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn export_my_data(&self) -> Result<String, SdkError> {
        export(&self.store, &self.interactions, self.profile.profile())
    }

    /// Items interacted with, newest last.
    pub fn recent(&self) -> &[Interaction] {
        &self.interactions
    }

    /// What this installation has spent of the budget of its policy
    /// ([`tacit_round::policy::Policy::budget`]).
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn privacy_status(
        &self,
        budget: DeviceBudget,
        now: Timestamp,
    ) -> Result<PrivacyStatus, SdkError> {
        PrivacyStatus::read(&self.store, budget, now)
    }

    fn shares(&self, filter: &Filter) -> Vec<f32> {
        filter.shares(
            &self.interactions,
            &self.catalogue,
            self.ranker.catalogue_len() as usize,
        )
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

    /// The items that stand for the chosen categories, with their weights; none where ratings are
    /// predicted, because liking a category is no rating.
    fn chosen(&self) -> Vec<(ItemId, f64)> {
        if self.categories.is_empty() || self.ranker.scale().is_some() {
            return Vec::new();
        }
        let liked: Vec<ItemId> = self.catalogue.in_categories(&self.categories).collect();
        cold_start::prior(&liked, &self.ranker)
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
