//! A network in training, with the factors it gives.

use std::fmt;

use super::network::Network;
use crate::family::spectral::SpectralModel;

/// A model in training: the spectral model devices rank with meanwhile, and the network its factors
/// come from.
#[derive(Clone, PartialEq)]
pub struct NeuralModel {
    /// Counts and the factors `Q = U B`, every item in its block.
    pub(super) spectral: SpectralModel,
    pub(super) network: Network,
}

impl NeuralModel {
    /// Counts and item factors, every item in its block.
    pub fn spectral(&self) -> &SpectralModel {
        &self.spectral
    }

    /// r, rows of a device's vector; at least 1.
    pub fn directions(&self) -> usize {
        self.network.directions()
    }
}

impl fmt::Debug for NeuralModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (items, d) = (self.spectral.counts().len(), self.spectral.factor_count());
        write!(f, "NeuralModel(M={items}, r={}, d={d})", self.directions())
    }
}
