//! The cryptography of every connection, named here and never taken from the process or a feature
//! of a dependency: one provider, one key exchange, X25519MLKEM768, and one kind of signature,
//! Ed25519.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(feature = "train")]
mod hybrid;
#[cfg(feature = "train")]
pub mod ring;

#[cfg(feature = "aws-lc")]
pub use self::aws_lc::provider;
#[cfg(not(feature = "aws-lc"))]
pub use self::ring::provider;
