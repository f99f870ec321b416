//! A library of three sizes by its features: ranking alone, with the store, with training. It is
//! built to be measured, and is no interface: what is told and answered goes over a [`desk`] byte
//! by byte, so that functions of C need no unsafe code.
//!
//! Every function keeps alive what an app's library would have to hold.

#![allow(
    unsafe_code,
    reason = "a name of C is exported as it stands; nothing else here is unsafe"
)]

mod desk;
#[cfg(not(feature = "store"))]
mod rank;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "train")]
mod train;
