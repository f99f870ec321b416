//! What an owner did, cleaned and put together: the only place that sees raw behaviour.
//!
//! Reading order: [`interaction`] (one thing that happened), [`preference`] (an owner's cleaned
//! history), [`sessions`] and [`fusion`] (what several interactions with one item come to),
//! [`scene`] (time of day, surface), [`fusion_choice`] (which rules suit the people).

pub mod fusion;
pub mod fusion_choice;
pub mod interaction;
pub mod preference;
pub mod scene;
pub mod sessions;
