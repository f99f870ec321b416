//! How good a model is: [`evaluation`] privately on the devices, [`metric`] and [`baseline`] for
//! measuring only.

pub mod baseline;
pub mod evaluation;
pub mod metric;
