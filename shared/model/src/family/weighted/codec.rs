//! The bytes of a [`WeightedModel`]: one fixed little-endian layout, as in
//! [`crate::family::spectral::codec`].
//!
//! ```text
//! magic "TCTWGHT1" | M u32 | d u32 | alpha_0 f64 | lambda f64 | gamma f64 | C f64 | counts M f32
//! | factors M d f32
//! ```

use ndarray::Array2;

use super::model::{FACTORS_EACH_MAX, ROW_NORM_MAX, WeightedModel};
use super::terms::WeightedTerms;
use crate::family::error::ModelError;
use crate::family::limits::{CATALOGUE_MAX, FACTORS_MAX};
use crate::family::words::{Words, put_f32s, put_size};
use crate::maths::linalg::norm_squared;

pub(crate) const MAGIC: &[u8; 8] = b"TCTWGHT1";

impl WeightedModel {
    /// Writes the model; equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put_size(&mut bytes, self.catalogue_len());
        put_size(&mut bytes, self.factor_count());
        let WeightedTerms {
            unobserved_weight,
            regularisation,
            gram_weight,
            clip_norm,
        } = self.terms;
        let terms = [unobserved_weight, regularisation, gram_weight, clip_norm];
        bytes.extend(terms.into_iter().flat_map(f64::to_le_bytes));
        put_f32s(&mut bytes, &self.counts);
        put_f32s(&mut bytes, self.factor_slice());
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
        // Popularity is one column more than a basis of the catalogue can have.
        let factors = words.size(1, FACTORS_EACH_MAX.min(items + 1))?;
        if (items + factors) * factors > FACTORS_MAX {
            return Err(ModelError::Sizes);
        }
        let (unobserved_weight, regularisation) = (words.f64()?, words.f64()?);
        let (gram_weight, clip_norm) = (words.f64()?, words.f64()?);
        let terms = WeightedTerms {
            unobserved_weight,
            regularisation,
            gram_weight,
            clip_norm,
        };
        let (counts, values) = (words.f32s(items)?, words.f32s(items * factors)?);
        words.end()?;
        if !terms.in_range() {
            return Err(ModelError::Terms);
        }
        if !counts
            .iter()
            .all(|count| count.is_finite() && *count > 0.0)
        {
            return Err(ModelError::Counts);
        }
        // A NaN fails the comparison, so it is refused too.
        let bounded = |row: &[f32]| norm_squared(row).sqrt() <= ROW_NORM_MAX * (1.0 + 1e-6);
        if !values.chunks_exact(factors).all(bounded) {
            return Err(ModelError::Factors);
        }
        let values = Array2::from_shape_vec((items, factors), values)
            .expect("as many numbers were read as the shape has");
        Ok(Self::new(values, counts, terms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::family::weighted::device::{gradient, scores};
    use crate::synthetic::history;

    fn model() -> WeightedModel {
        let factors = Array2::from_shape_fn((9, 3), |(item, k)| {
            (item * 7 + k * 5) as f32 % 4.0 / 4.0 - 0.4
        });
        WeightedModel::new(
            factors,
            (1u8..10).map(f32::from).collect(),
            WeightedTerms::default(),
        )
    }

    #[test]
    fn bytes_read_back_as_the_same_model_and_no_other_length_does() {
        let bytes = model().to_bytes();
        assert!(WeightedModel::from_bytes(&bytes) == Ok(model()));
        for len in 0..bytes.len() {
            assert!(WeightedModel::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
        let (expected, actual) = (bytes.len(), bytes.len() + 1);
        let longer = [bytes, vec![0]].concat();
        assert_eq!(
            WeightedModel::from_bytes(&longer),
            Err(ModelError::Length { expected, actual })
        );
    }

    #[test]
    fn what_no_server_writes_is_refused() {
        let with = |at: usize, word: &[u8]| {
            let mut bytes = model().to_bytes();
            bytes[at..at + word.len()].copy_from_slice(word);
            WeightedModel::from_bytes(&bytes).unwrap_err()
        };
        for size in [0, 11, u32::MAX] {
            assert_eq!(with(12, &size.to_le_bytes()), ModelError::Sizes);
        }
        for term in 0..4 {
            for bad in [-1.0, 0.0, 1e9, f64::NAN] {
                assert_eq!(
                    with(16 + 8 * term, &bad.to_le_bytes()),
                    ModelError::Terms,
                    "{term} {bad}"
                );
            }
        }
        assert_eq!(with(48, &0f32.to_le_bytes()), ModelError::Counts);
        assert_eq!(with(48 + 36, &f32::NAN.to_le_bytes()), ModelError::Factors);
        assert_eq!(with(48 + 36, &1.1e3f32.to_le_bytes()), ModelError::Factors);
    }

    proptest! {
        #[test]
        fn what_is_accepted_writes_back_and_ranks_with_finite_numbers(
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
            tail in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = model().to_bytes();
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Ok(model) = WeightedModel::from_bytes(&bytes) {
                prop_assert_eq!(model.to_bytes(), bytes);
                let used = history(&[0, 3, 8]);
                let scored = scores(&used, &model, Some(10.0));
                prop_assert!(scored.iter().all(|score| score.is_finite()));
                let sent = gradient(&used, &model).into_coordinates();
                prop_assert!(norm_squared(&sent).sqrt() <= 1.0 + 1e-5);
            }
            let _ = WeightedModel::from_bytes(&[&MAGIC[..], &tail].concat());
        }
    }
}
