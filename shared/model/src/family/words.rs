//! Little-endian words off the front of bytes anybody may have written: never beyond their end, and
//! no allocation before the length was checked.

use crate::family::error::ModelError;

/// Bytes still to read.
pub(crate) struct Words<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Words<'a> {
    /// Begins after the eight bytes that name the format.
    pub(crate) fn after(magic: &[u8; 8], bytes: &'a [u8]) -> Result<Self, ModelError> {
        let rest = bytes
            .strip_prefix(magic)
            .ok_or(ModelError::UnknownFormat)?;
        Ok(Self {
            rest,
            len: bytes.len(),
        })
    }

    /// A size from `min` to `max`.
    pub(crate) fn size(&mut self, min: usize, max: usize) -> Result<usize, ModelError> {
        let value = u32::from_le_bytes(self.word()?) as usize;
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(ModelError::Sizes)
        }
    }

    /// One number.
    pub(crate) fn f64(&mut self) -> Result<f64, ModelError> {
        self.word().map(f64::from_le_bytes)
    }

    /// A seed.
    pub(crate) fn u64(&mut self) -> Result<u64, ModelError> {
        self.word().map(u64::from_le_bytes)
    }

    /// `count` numbers.
    pub(crate) fn f32s(&mut self, count: usize) -> Result<Vec<f32>, ModelError> {
        let bytes = self.take(count.checked_mul(4).ok_or(ModelError::Sizes)?)?;
        Ok(bytes
            .chunks_exact(4)
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect())
    }

    /// Everything that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Refuses bytes that are left.
    pub(crate) fn end(self) -> Result<(), ModelError> {
        let (left, actual) = (self.rest.len(), self.len);
        if left == 0 {
            Ok(())
        } else {
            Err(ModelError::Length {
                expected: actual - left,
                actual,
            })
        }
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let mut word = [0; N];
        word.copy_from_slice(self.take(N)?);
        Ok(word)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ModelError> {
        let actual = self.len;
        let short = ModelError::Length {
            expected: (actual - self.rest.len()).saturating_add(count),
            actual,
        };
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(short)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Writes a size every reader bounds.
pub(crate) fn put_size(bytes: &mut Vec<u8>, size: usize) {
    bytes.extend(
        u32::try_from(size)
            .expect("sizes are bounded far below u32::MAX")
            .to_le_bytes(),
    );
}

/// Writes numbers one after the other.
pub(crate) fn put_f32s(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}
