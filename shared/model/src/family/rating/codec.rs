//! The bytes of a [`RatingModel`]: one fixed little-endian layout, as in
//! [`crate::family::spectral::codec`].
//!
//! ```text
//! magic "TCTRATE1" | M u32 | F u32 | low f64 | high f64 | biases M f32 | features M F f32
//! | a spectral model of M items
//! ```
//! Only released and public numbers are written; the columns ratings are fitted with follow from
//! them.

use ndarray::Array2;

use super::model::RatingModel;
use super::scale::Scale;
use crate::family::error::ModelError;
use crate::family::features::FEATURES_MAX;
use crate::family::limits::CATALOGUE_MAX;
use crate::family::spectral::SpectralModel;
use crate::family::words::{Words, put_f32s, put_size};

pub(crate) const MAGIC: &[u8; 8] = b"TCTRATE1";
/// Largest value of a public feature.
const FEATURE_MAX: f32 = 1e3;

impl RatingModel {
    /// Writes the model; equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_size(&mut bytes, self.catalogue_len());
        put_size(&mut bytes, self.features.ncols());
        bytes.extend(
            [self.scale.low, self.scale.high]
                .into_iter()
                .flat_map(f64::to_le_bytes),
        );
        put_f32s(&mut bytes, &self.biases);
        bytes.extend(
            self.features
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
        bytes.extend(self.spectral.to_bytes());
        bytes
    }

    /// Reads a model from bytes anybody may have written.
    ///
    /// # Errors
    /// [`ModelError`] for anything but bytes [`Self::to_bytes`] could have written; never panics,
    /// and never allocates more than a small multiple of `bytes.len()`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut words = Words::after(MAGIC, bytes)?;
        let items = words.size(1, CATALOGUE_MAX as usize)?;
        let columns = words.size(0, FEATURES_MAX)?;
        let low = words.f64()?;
        let high = words.f64()?;
        let scale = Scale::new(low, high).ok_or(ModelError::Terms)?;
        let biases = words.f32s(items)?;
        // The product passes 32 bits at the largest sizes, and phones may have no more.
        let cells = items.checked_mul(columns).ok_or(ModelError::Sizes)?;
        let features = words.f32s(cells)?;
        let spectral = SpectralModel::from_bytes(words.rest())?;

        // Rare items are rated too: all are in the block, which also bounds the width of what is
        // assembled.
        if spectral.counts().len() != items || spectral.block().len() != items {
            return Err(ModelError::Sizes);
        }
        let bias_max = (scale.high - scale.low) * (1.0 + 1e-6);
        let bias_fits = |bias: &f32| f64::from(bias.abs()) <= bias_max;
        let feature_fits = |value: &f32| value.abs() <= FEATURE_MAX;
        if !(biases.iter().all(bias_fits) && features.iter().all(feature_fits)) {
            return Err(ModelError::Biases);
        }
        let features = Array2::from_shape_vec((items, columns), features)
            .expect("as many numbers were read as the shape has");
        Ok(Self::new(biases, spectral, features, scale))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::family::rating::device::{biases, predictions};
    use crate::family::rating::ratings::tests::rated;
    use crate::family::recipe::Recipe;
    use crate::family::spectral::server::{apply_counts, random_init};
    use crate::maths::linalg::norm_squared;

    fn model() -> RatingModel {
        let recipe = Recipe {
            factors: 2,
            ..Recipe::counts_only()
        };
        let counts: Vec<f64> = (1..10).map(f64::from).collect();
        let spectral = random_init(&apply_counts(&counts, 1.0, &recipe), &recipe, 1);
        let features =
            Array2::from_shape_fn((9, 2), |(item, column)| f32::from((item + column) % 3 == 0));
        RatingModel::new(vec![0.25; 9], spectral, features, Scale::STARS)
    }

    #[test]
    fn bytes_read_back_as_the_same_model_and_no_other_length_does() {
        let bytes = model().to_bytes();
        assert!(RatingModel::from_bytes(&bytes) == Ok(model()));
        for len in 0..bytes.len() {
            assert!(RatingModel::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
        assert!(RatingModel::from_bytes(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn what_no_server_writes_is_refused() {
        let with = |at: usize, word: &[u8]| {
            let mut bytes = model().to_bytes();
            bytes[at..at + word.len()].copy_from_slice(word);
            RatingModel::from_bytes(&bytes).unwrap_err()
        };
        assert_eq!(with(8, &0u32.to_le_bytes()), ModelError::Sizes);
        assert_eq!(with(12, &u32::MAX.to_le_bytes()), ModelError::Sizes);
        for bad in [5.0, 9.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(with(16, &bad.to_le_bytes()), ModelError::Terms, "{bad}");
        }
        assert_eq!(with(32, &4.5f32.to_le_bytes()), ModelError::Biases);
        assert_eq!(with(32, &f32::NAN.to_le_bytes()), ModelError::Biases);
        assert_eq!(
            with(32 + 36, &f32::INFINITY.to_le_bytes()),
            ModelError::Biases
        );
        assert_eq!(with(32 + 36 + 72, b"TCTSPEC2"), ModelError::UnknownFormat);
    }

    proptest! {
        #[test]
        fn what_is_accepted_writes_back_and_predicts_finite_ratings(
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
            tail in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = model().to_bytes();
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Ok(model) = RatingModel::from_bytes(&bytes) {
                prop_assert_eq!(model.to_bytes(), bytes);
                let ratings = rated(&[(0, 5.0), (3, 1.0), (8, 2.0)]);
                prop_assert!(predictions(&ratings, &model).iter().all(|rating| rating.is_finite()));
                let sent = biases(&ratings, 9, model.scale()).into_coordinates();
                prop_assert!(norm_squared(&sent).sqrt() <= 1.0 + 1e-5);
            }
            let _ = RatingModel::from_bytes(&[&MAGIC[..], &tail].concat());
        }
    }
}
