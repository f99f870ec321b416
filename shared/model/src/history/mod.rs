//! What an owner did, cleaned and put together: the only room that sees raw behaviour.
//!
//! May use `maths` only. What any other room needs of an owner it gets as a
//! [`History`](preference::History) or as weighted items, never by reading interactions anew.
//!
//! Reading order: [`interaction`] (one thing that happened), [`preference`] (an owner's cleaned
//! history), [`sessions`] (what nobody meant), [`recency`] and [`scene`] (what counts less),
//! [`fusion`] (one weight per item), [`trust`] (how far so short a history is believed).

pub mod fusion;
pub mod interaction;
pub mod preference;
pub mod recency;
pub mod scene;
pub mod sessions;
pub mod trust;
