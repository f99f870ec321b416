//! From a model and a history to a list: scoring, filtering, spreading, explaining.
//!
//! Reading order: [`score`] (ranking, as measured), [`ranker`] (the same ranking prepared for
//! serving), [`profile`] (kept up to date with every interaction), `fit` (an owner's own factors),
//! [`filter`] and [`rerank`] (the list), [`explain`] and [`similar`]; [`cold_start`] for owners and
//! items nothing is known of.

pub mod cold_start;
pub mod explain;
pub mod filter;
pub(crate) mod fit;
pub mod profile;
pub mod ranker;
pub mod rerank;
pub mod score;
pub mod similar;
