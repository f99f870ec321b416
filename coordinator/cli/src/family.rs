//! `--model`: what is trained, in the words of the command line.

use tacit_model::family::Family;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ModelOption {
    /// Unit-vector subspace gradients.
    Spectral,
    /// Weighted squares, the loss of implicit ALS, started from a spectral model.
    Weighted,
    /// Explicit ratings: biases, and the subspace of what was rated.
    Rating,
    /// A network over the catalogue's categories: after the counts a device sends at most 16 KiB a
    /// round, with 32 factors.
    Neural,
}

impl From<ModelOption> for Family {
    fn from(option: ModelOption) -> Self {
        match option {
            ModelOption::Spectral => Self::Spectral,
            ModelOption::Weighted => Self::Weighted,
            ModelOption::Rating => Self::Rating,
            ModelOption::Neural => Self::Neural,
        }
    }
}
