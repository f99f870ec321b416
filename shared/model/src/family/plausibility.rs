//! Figures by which a device judges a published model before it takes part: public numbers, no data
//! involved.

/// What a model's factors look like; all zero for a model without factors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Plausibility {
    /// Largest L2 norm of one factor, a column over all items; 1 for orthonormal factors.
    pub norm: f64,
    /// Largest share of one factor's squared norm that lies on a single item; 1 for a one-hot
    /// factor.
    pub concentration: f64,
}
