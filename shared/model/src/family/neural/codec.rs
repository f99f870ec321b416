//! The bytes of a [`NeuralModel`]: one fixed little-endian layout, as in
//! [`crate::family::spectral::codec`].
//!
//! ```text
//! magic "TCTNEUR1" | M u32 | F u32 | r u32 | seed u64
//! | M times: n u32, n columns u32, n values f32 | mixing H r f32
//! | a spectral model of M items
//! ```

use ndarray::Array2;

use super::model::NeuralModel;
use super::network::{HIDDEN, Network, Sparse};
use super::preset::DIRECTIONS;
use crate::family::error::ModelError;
use crate::family::features::FEATURES_MAX;
use crate::family::limits::CATALOGUE_MAX;
use crate::family::spectral::SpectralModel;
use crate::family::words::{Words, put_f32s, put_size};

pub(crate) const MAGIC: &[u8; 8] = b"TCTNEUR1";
/// Largest weight from a hidden unit to the basis. A basis is orthonormal, so what a server writes
/// is far below.
const WEIGHT_MAX: f32 = 1e9;

impl NeuralModel {
    /// Writes the model; equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Network {
            features,
            seed,
            mixing,
            ..
        } = &self.network;
        let mut bytes = MAGIC.to_vec();
        put_size(&mut bytes, features.rows.len());
        put_size(&mut bytes, features.columns);
        put_size(&mut bytes, mixing.ncols());
        bytes.extend(seed.to_le_bytes());
        for row in &features.rows {
            put_size(&mut bytes, row.len());
            row.iter()
                .for_each(|(column, _)| put_size(&mut bytes, *column));
            row.iter()
                .for_each(|(_, value)| bytes.extend(value.to_le_bytes()));
        }
        put_f32s(&mut bytes, mixing.as_slice().expect("stored row-major"));
        bytes.extend(self.spectral.to_bytes());
        bytes
    }

    /// Reads a model from bytes anybody may have written.
    ///
    /// # Errors
    /// [`ModelError`] for anything but bytes [`Self::to_bytes`] could have written; never panics,
    /// and never allocates more than a small multiple of `bytes.len()` and the 2 MiB of the widest
    /// hidden layer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut words = Words::after(MAGIC, bytes)?;
        let (items, columns) = (
            words.size(1, CATALOGUE_MAX as usize)?,
            words.size(0, FEATURES_MAX)?,
        );
        let directions = words.size(1, DIRECTIONS as usize)?;
        let seed = words.u64()?;
        let mut features = Sparse {
            columns,
            rows: Vec::new(),
        };
        for _ in 0..items {
            features.rows.push(row(&mut words, columns)?);
        }
        let mixing = words.f32s(HIDDEN * directions)?;
        let spectral = SpectralModel::from_bytes(words.rest())?;
        if spectral.counts().len() != items || spectral.block().len() != items {
            return Err(ModelError::Sizes);
        }
        if !mixing.iter().all(|weight| weight.abs() <= WEIGHT_MAX) {
            return Err(ModelError::Factors);
        }
        let mixing = Array2::from_shape_vec((HIDDEN, directions), mixing)
            .expect("as many numbers were read as the shape has");
        let network = Network::from_parts(&spectral, features, seed, mixing);
        Ok(Self { spectral, network })
    }
}

/// Features of one item: columns ascending, values from -1 to 1 and not 0.
fn row(words: &mut Words<'_>, columns: usize) -> Result<Vec<(usize, f32)>, ModelError> {
    let known = words.size(0, columns)?;
    let mut places = Vec::new();
    for _ in 0..known {
        places.push(words.size(0, columns - 1)?);
    }
    let values = words.f32s(known)?;
    let ascending = places.windows(2).all(|pair| pair[0] < pair[1]);
    if !(ascending
        && values
            .iter()
            .all(|value| value.abs() <= 1.0 && *value != 0.0))
    {
        return Err(ModelError::Factors);
    }
    Ok(places.into_iter().zip(values).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::family::neural::device::sparse_gradient;
    use crate::family::neural::tests::started;
    use crate::maths::linalg::norm_squared;
    use crate::synthetic::history;

    /// Where the spectral model begins: header, 9 items of one or two features, mixing.
    fn spectral_at(bytes: &[u8]) -> usize {
        bytes
            .windows(4)
            .rposition(|word| word == b"TCTS")
            .unwrap()
    }

    #[test]
    fn bytes_read_back_as_the_same_model_and_no_other_length_does() {
        let model = started(9, 2);
        let bytes = model.to_bytes();
        assert!(NeuralModel::from_bytes(&bytes) == Ok(model));
        for len in (0..200).chain(bytes.len() - 100..bytes.len()) {
            assert!(NeuralModel::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
        assert!(NeuralModel::from_bytes(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn what_no_server_writes_is_refused() {
        let good = started(9, 2).to_bytes();
        let with = |at: usize, word: &[u8]| {
            let mut bytes = good.clone();
            bytes[at..at + word.len()].copy_from_slice(word);
            NeuralModel::from_bytes(&bytes).unwrap_err()
        };
        assert_eq!(with(8, &0u32.to_le_bytes()), ModelError::Sizes);
        assert_eq!(with(12, &1025u32.to_le_bytes()), ModelError::Sizes);
        assert_eq!(with(16, &0u32.to_le_bytes()), ModelError::Sizes);
        assert_eq!(with(16, &129u32.to_le_bytes()), ModelError::Sizes);
        // Features of the first item: how many, which, how much.
        assert_eq!(with(28, &8u32.to_le_bytes()), ModelError::Sizes);
        assert_eq!(with(32, &7u32.to_le_bytes()), ModelError::Sizes);
        for bad in [0.0f32, 1.5, f32::NAN] {
            assert_eq!(with(36, &bad.to_le_bytes()), ModelError::Factors, "{bad}");
        }
        let spectral = spectral_at(&good);
        for bad in [f32::INFINITY, f32::NAN, -2e9] {
            assert_eq!(
                with(spectral - 4, &bad.to_le_bytes()),
                ModelError::Factors,
                "{bad}"
            );
        }
        assert_eq!(with(spectral, b"TCTRATE1"), ModelError::UnknownFormat);
    }

    proptest! {
        #[test]
        fn what_is_accepted_writes_back_and_gives_vectors_of_norm_one_at_most(
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
            tail in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = started(9, 2).to_bytes();
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Ok(model) = NeuralModel::from_bytes(&bytes) {
                prop_assert_eq!(model.to_bytes(), bytes);
                let length = model.directions() * model.spectral().factor_count();
                let used = history(&[0, 3, 8]);
                let gradient = sparse_gradient(&used, &model).dense(length).into_coordinates();
                prop_assert!(norm_squared(&gradient).sqrt() <= 1.0 + 1e-5);
            }
            let _ = NeuralModel::from_bytes(&[&MAGIC[..], &tail].concat());
        }
    }
}
