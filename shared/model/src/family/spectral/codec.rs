//! The model's bytes: one fixed little-endian layout, so that a hash of them names the model.
//!
//! ```text
//! magic "TCTSPEC1" | M u32 | M' u32 | d u32 | K u32 | a f32 | b f32 | counts M f32 | block M' u32
//! | factors M' d f32
//! ```
//! Reading checks sizes against the number of bytes before it allocates, and every value before it
//! is used: what it accepts writes back to the same bytes.

use ndarray::Array2;

use super::model::{HEAD_MAX, Parts, SpectralModel};
use crate::family::error::ModelError;
use crate::family::limits::{CATALOGUE_MAX, FACTORS_MAX};
use crate::maths::linalg::norm_squared;

const MAGIC: &[u8; 8] = b"TCTSPEC1";
const HEADER_LEN: usize = MAGIC.len() + 6 * 4;
/// Orthonormal columns leave no row longer than 1; the rest is rounding.
const ROW_NORM_MAX: f64 = 1.0 + 1e-3;

struct Header {
    catalogue_len: usize,
    block_len: usize,
    factors: usize,
    head: usize,
    weight_exponent: f32,
    popularity_exponent: f32,
}

impl SpectralModel {
    /// Writes the model; equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let words = self.counts().len() + self.block().len() + self.factors().len();
        let mut bytes = Vec::with_capacity(HEADER_LEN + 4 * words);
        bytes.extend_from_slice(MAGIC);
        for len in [
            self.counts().len(),
            self.block().len(),
            self.factor_count(),
            self.head_items().len(),
        ] {
            bytes.extend(
                u32::try_from(len)
                    .expect("sizes are bounded far below u32::MAX")
                    .to_le_bytes(),
            );
        }
        bytes.extend(self.weight_exponent().to_le_bytes());
        bytes.extend(self.popularity_exponent().to_le_bytes());
        bytes.extend(self.counts().iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(self.block().iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(
            self.factor_slice()
                .iter()
                .flat_map(|v| v.to_le_bytes()),
        );
        bytes
    }

    /// Reads a model from bytes anybody may have written.
    ///
    /// # Errors
    /// [`ModelError`] for anything but bytes [`Self::to_bytes`] could have written; never panics,
    /// and never allocates more than a small multiple of `bytes.len()`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let header = Header::read(bytes)?;
        let mut words = bytes[HEADER_LEN..]
            .chunks_exact(4)
            .map(|word| [word[0], word[1], word[2], word[3]]);
        let counts: Vec<f32> = words
            .by_ref()
            .take(header.catalogue_len)
            .map(f32::from_le_bytes)
            .collect();
        let block: Vec<u32> = words
            .by_ref()
            .take(header.block_len)
            .map(u32::from_le_bytes)
            .collect();
        let factors: Vec<f32> = words.map(f32::from_le_bytes).collect();
        check_block(&block, header.catalogue_len)?;
        check_factors(&factors, header.factors)?;
        if !counts.iter().all(|c| c.is_finite() && *c > 0.0) {
            return Err(ModelError::Counts);
        }
        let factors = Array2::from_shape_vec((header.block_len, header.factors), factors)
            .expect("the header's sizes were checked against the number of bytes");
        let Header {
            weight_exponent,
            popularity_exponent,
            head,
            ..
        } = header;
        let model = Self::assemble(Parts {
            counts,
            weight_exponent,
            popularity_exponent,
            block,
            head,
            factors,
        });
        // Counts too far apart for f32 weights.
        if model.weights().iter().all(|w| w.is_finite()) {
            Ok(model)
        } else {
            Err(ModelError::Counts)
        }
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.len() < HEADER_LEN {
            return Err(ModelError::Length {
                expected: HEADER_LEN,
                actual: bytes.len(),
            });
        }
        if !bytes.starts_with(MAGIC) {
            return Err(ModelError::UnknownFormat);
        }
        let word = |i: usize| {
            let at = MAGIC.len() + 4 * i;
            [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
        };
        let size = |i: usize| u32::from_le_bytes(word(i));
        let header = Self {
            catalogue_len: bounded(size(0), 1, CATALOGUE_MAX)?,
            block_len: bounded(size(1), 0, size(0))?,
            factors: bounded(size(2), 0, if size(1) == 0 { 0 } else { u32::MAX })?,
            head: bounded(size(3), 0, HEAD_MAX.min(size(1)))?,
            weight_exponent: f32::from_le_bytes(word(4)),
            popularity_exponent: f32::from_le_bytes(word(5)),
        };
        header.check(bytes.len())?;
        Ok(header)
    }

    fn check(&self, actual: usize) -> Result<(), ModelError> {
        let exponent = |e: f32| (0.0..=1.0).contains(&e) && e.is_sign_positive();
        let cells = self
            .block_len
            .checked_mul(self.factors)
            .filter(|&cells| cells <= FACTORS_MAX);
        let cells = cells.ok_or(ModelError::Sizes)?;
        let expected = HEADER_LEN + 4 * (self.catalogue_len + self.block_len + cells);
        if actual != expected {
            return Err(ModelError::Length { expected, actual });
        }
        if exponent(self.weight_exponent) && exponent(self.popularity_exponent) {
            Ok(())
        } else {
            Err(ModelError::Counts)
        }
    }
}

fn bounded(value: u32, min: u32, max: u32) -> Result<usize, ModelError> {
    if (min..=max).contains(&value) {
        Ok(value as usize)
    } else {
        Err(ModelError::Sizes)
    }
}

fn check_block(block: &[u32], catalogue_len: usize) -> Result<(), ModelError> {
    let ascending = block.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = block
        .last()
        .is_none_or(|&last| (last as usize) < catalogue_len);
    if ascending && inside {
        Ok(())
    } else {
        Err(ModelError::Block)
    }
}

fn check_factors(factors: &[f32], columns: usize) -> Result<(), ModelError> {
    let bounded = |row: &[f32]| norm_squared(row) <= ROW_NORM_MAX * ROW_NORM_MAX;
    // A NaN fails every comparison, so it is refused too.
    if columns == 0 || factors.chunks(columns).all(bounded) {
        Ok(())
    } else {
        Err(ModelError::Factors)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::family::recipe::Recipe;
    use crate::family::spectral::score::scores;
    use crate::family::spectral::server::{apply_counts, random_init};

    fn model() -> SpectralModel {
        let recipe = Recipe {
            head: 5,
            factors: 3,
            coverage: 0.8,
            ..Recipe::for_signal(400.0, 30).unwrap()
        };
        let sum: Vec<f64> = (0..30).map(|j| f64::from(j * 7 % 30)).collect();
        random_init(&apply_counts(&sum, 1.0, &recipe), &recipe, 11)
    }

    fn with_word(at: usize, word: [u8; 4]) -> Result<SpectralModel, ModelError> {
        let mut bytes = model().to_bytes();
        bytes[at..at + 4].copy_from_slice(&word);
        SpectralModel::from_bytes(&bytes)
    }

    #[test]
    fn bytes_read_back_as_the_same_model() {
        for model in [
            model(),
            SpectralModel::genesis(1),
            SpectralModel::genesis(77),
        ] {
            assert!(SpectralModel::from_bytes(&model.to_bytes()) == Ok(model));
        }
    }

    #[test]
    fn every_truncation_and_any_trailing_byte_is_refused() {
        let bytes = model().to_bytes();
        for len in 0..bytes.len() {
            assert!(SpectralModel::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
        let expected = bytes.len();
        let longer = [bytes, vec![0]].concat();
        assert_eq!(
            SpectralModel::from_bytes(&longer),
            Err(ModelError::Length {
                expected,
                actual: expected + 1
            })
        );
    }

    /// HOSTILE 10.
    #[test]
    fn impossible_sizes_are_refused_before_anything_is_read() {
        let huge = u32::MAX.to_le_bytes();
        for size in 0..4 {
            assert_eq!(
                with_word(8 + 4 * size, huge),
                Err(ModelError::Sizes),
                "size {size}"
            );
        }
        assert_eq!(with_word(8, 0u32.to_le_bytes()), Err(ModelError::Sizes));
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        let model = model();
        let (counts, block) = (HEADER_LEN, HEADER_LEN + 4 * model.counts().len());
        let factors = block + 4 * model.block().len();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(with_word(24, bad.to_le_bytes()), Err(ModelError::Counts));
            assert_eq!(
                with_word(counts, bad.to_le_bytes()),
                Err(ModelError::Counts)
            );
            assert_eq!(
                with_word(factors, bad.to_le_bytes()),
                Err(ModelError::Factors)
            );
        }
        assert_eq!(
            with_word(counts, 0f32.to_le_bytes()),
            Err(ModelError::Counts)
        );
        assert_eq!(with_word(28, 2f32.to_le_bytes()), Err(ModelError::Counts));
        assert_eq!(
            with_word(factors, 1.01f32.to_le_bytes()),
            Err(ModelError::Factors)
        );
    }

    /// HOSTILE 35.
    #[test]
    fn a_block_that_is_not_ascending_is_refused() {
        let model = model();
        let block = HEADER_LEN + 4 * model.counts().len();
        let last = block + 4 * (model.block().len() - 1);
        assert_eq!(
            with_word(block, model.block()[1].to_le_bytes()),
            Err(ModelError::Block)
        );
        assert_eq!(
            with_word(block, model.block()[2].to_le_bytes()),
            Err(ModelError::Block)
        );
        assert_eq!(with_word(last, 30u32.to_le_bytes()), Err(ModelError::Block));
    }

    proptest! {
        #[test]
        fn what_is_accepted_writes_back_to_the_same_bytes(
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
        ) {
            let mut bytes = model().to_bytes();
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Ok(model) = SpectralModel::from_bytes(&bytes) {
                prop_assert_eq!(model.to_bytes(), bytes);
                let used = crate::synthetic::history(&[0, 3, 29]);
                let scored = scores(&used, &model, Some(10.0));
                prop_assert!(scored.iter().all(|score| score.is_finite()));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = SpectralModel::from_bytes(&tail);
            let _ = SpectralModel::from_bytes(&[&MAGIC[..], &tail].concat());
        }
    }
}
