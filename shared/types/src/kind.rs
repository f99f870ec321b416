//! What a release says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the vector of a round means. Every kind has L2 norm at most 1 before rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 1/sqrt(|I_u|) on the items used; length M.
    Counts,
    /// Pairs among the K most popular items; length K(K+1)/2.
    HeadGram,
    /// The item-factor gradient over the block; length M' d.
    FactorGradient,
    /// The gradient of weighted squares: item rows over the catalogue, then a (d, d) matrix; length
    /// (M + d) d.
    WeightedGradient,
    /// The gradient of a network's trained layer, through a public basis: length r d.
    LayerGradient,
    /// Counts and centred ratings of the items rated; length 2M.
    RatingBias,
    /// How well the model ranks what the device held out: a few small histograms.
    Metrics,
}

impl Kind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Counts,
        Self::HeadGram,
        Self::FactorGradient,
        Self::WeightedGradient,
        Self::LayerGradient,
        Self::RatingBias,
        Self::Metrics,
    ];

    /// The word used in tickets and ledgers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::HeadGram => "head_gram",
            Self::FactorGradient => "factor_gradient",
            Self::WeightedGradient => "weighted_gradient",
            Self::LayerGradient => "layer_gradient",
            Self::RatingBias => "rating_bias",
            Self::Metrics => "metrics",
        }
    }

    /// Reads the word [`Self::as_str`] gives; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }

    /// Whether a release of this kind trains the factors: before the first such one they are a
    /// first guess, random or from pairs or features.
    pub fn trains(self) -> bool {
        matches!(
            self,
            Self::FactorGradient | Self::WeightedGradient | Self::LayerGradient
        )
    }

    /// The name people read in reports and progress lines.
    pub fn title(self) -> &'static str {
        match self {
            Self::Counts => "Item counts",
            Self::HeadGram => "Pairs of popular items",
            Self::FactorGradient => "Item-factor gradient",
            Self::WeightedGradient => "Weighted-squares gradient",
            Self::LayerGradient => "Network layer gradient",
            Self::RatingBias => "Item biases and counts",
            Self::Metrics => "Evaluation on the devices",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_one_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(kind.to_string(), kind.as_str());
        }
        assert_eq!(Kind::parse("item counts"), None);
    }
}
