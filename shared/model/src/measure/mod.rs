//! How good a model is: privately on the devices, and in the open for research.
//!
//! May use every room below: `maths`, [`crate::history`], [`crate::family`] and [`crate::rank`].
//! Nothing is released here; [`crate::release`] makes a release of an evaluation.
//!
//! Reading order: [`metric`] (hit ratio and NDCG), [`evaluation`] (the same through noise),
//! [`fusion_choice`] (which fusion rules suit one owner), [`baseline`] (what central training
//! reaches).

pub mod baseline;
pub mod evaluation;
pub mod fusion_choice;
pub mod metric;
