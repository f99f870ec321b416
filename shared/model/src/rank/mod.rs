//! From a model and a history to a list: scoring, filtering, spreading, explaining.
//!
//! May use `maths`, [`crate::history`] and [`crate::family`]. Nothing here leaves the device.
//!
//! Reading order: [`ranker`] (a model prepared for serving), [`profile`] (an owner's taste, kept up
//! to date with every interaction), [`top`] (the best of many), [`filter`] and [`rerank`] (the
//! list), [`explain`] and [`similar`]; [`cold_start`] for owners and items nothing is known of.

pub mod cold_start;
pub mod explain;
pub mod filter;
pub mod profile;
pub mod ranker;
pub mod rerank;
pub mod similar;
pub mod top;
