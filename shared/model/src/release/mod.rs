//! What one release asks of a device, and what the server makes of the opened sum.
//!
//! Where [`tacit_types::Kind`] meets [`Model`](crate::family::Model): protocol, server and SDK call
//! these two halves and know of no family. The room stands above [`crate::family`] and
//! [`crate::measure`], because an evaluation is a kind of release like any other.
//!
//! Reading order: [`Extent`] and the vectors (`vector`), several owners of one device (`joint`),
//! then [`Step`] (`step`).

mod joint;
mod step;
mod vector;

pub use step::{OpenedSum, Step};
pub use vector::Extent;

#[cfg(test)]
mod tests;
