//! Why bytes are not a model of any family.

/// Why bytes are not a model. `Display` says which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes do not start like a model this version reads.
    #[error("these bytes are not a model of a known version")]
    UnknownFormat,
    /// The header names sizes no model has.
    #[error("the model's header names impossible sizes")]
    Sizes,
    /// There are fewer or more bytes than the header calls for.
    #[error("the model has {actual} bytes where its header calls for {expected}")]
    Length {
        /// Bytes the header calls for.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// A count or exponent is not finite or outside its range.
    #[error("the model's counts or exponents are outside their range")]
    Counts,
    /// The block is not an ascending list of catalogue items.
    #[error("the model's block is not an ascending list of catalogue items")]
    Block,
    /// A factor is not finite, or a row is longer than its family allows.
    #[error("the model's factors are not finite or not bounded")]
    Factors,
    /// A public constant of the loss or of the rating scale is outside its range.
    #[error("the model's constants are outside their range")]
    Terms,
    /// An item bias or a public feature is not finite or not bounded.
    #[error("the model's item biases or features are not finite or not bounded")]
    Biases,
}
