//! What must not compile: raw or unnoised numbers cannot be copied, printed or serialised, a permit
//! cannot be made or used twice, and nothing but a [`crate::PrivateUpdate`] gives ring elements to
//! mask.
//!
//! Compiled only when documentation tests run. Every example that must fail has a twin that
//! compiles and differs in the one thing under test, so that a moved path or a misspelt bound
//! cannot pass for a refusal.

/// `$type` has none of these traits; its twin shows that the path exists.
macro_rules! raw {
    ($($name:ident: $type:literal;)*) => {$(
        #[doc = concat!("```\nfn needs<T>() {}\nneeds::<", $type, ">();\n```")]
        #[doc = concat!("```compile_fail,E0277\nfn needs<T: serde::Serialize>() \
                         {}\nneeds::<", $type, ">();\n```")]
        #[doc = concat!("```compile_fail,E0277\nfn needs<T: Clone>() \
                         {}\nneeds::<", $type, ">();\n```")]
        #[doc = concat!("```compile_fail,E0277\nfn needs<T: std::fmt::Display>() \
                         {}\nneeds::<", $type, ">();\n```")]
        fn $name() {}
    )*};
}

raw! {
    item_gradient: "tacit_types::ItemGradient";
    clipped_gradient: "tacit_privacy::ClippedGradient";
    quantised_update: "tacit_privacy::QuantisedUpdate";
    private_update: "tacit_privacy::PrivateUpdate";
    noise_seed: "tacit_privacy::NoiseSeed";
    spend_permit: "tacit_privacy::SpendPermit";
}

/// A type that has all three traits compiles with all three bounds: the twin of every bound above.
///
/// ```
/// fn needs<T: serde::Serialize + Clone + std::fmt::Display>() {}
/// needs::<tacit_privacy::Rho>();
/// ```
fn bounds() {}

/// A seed comes from the operating system only.
///
/// ```
/// let _ = tacit_privacy::NoiseSeed::from_os();
/// ```
/// ```compile_fail,E0423
/// let _ = tacit_privacy::NoiseSeed(zeroize::Zeroizing::new([0; 32]));
/// ```
fn seed_of_choice() {}

/// An update is read, not written.
///
/// ```
/// fn read(update: &tacit_privacy::PrivateUpdate) {
///     let _ = (update.task(), update.round(), update.ticket());
/// }
/// ```
/// ```compile_fail,E0451
/// fn forged(task: tacit_types::TaskId, round: tacit_types::RoundId, ticket: tacit_types::Digest) {
///     let _ = tacit_privacy::PrivateUpdate { task, round, ticket, values: vec![0] };
/// }
/// ```
fn forged_update() {}

/// A permit comes from the ledger only, and serves once.
///
/// ```
/// use tacit_privacy::*;
/// fn once(permit: SpendPermit, one: ClippedGradient, table: &noise::NoiseTable, seed: NoiseSeed) {
///     privatise(one, permit, table, seed);
/// }
/// ```
/// ```compile_fail,E0382
/// use tacit_privacy::*;
/// type Two = [(ClippedGradient, NoiseSeed); 2];
/// fn twice(permit: SpendPermit, two: Two, table: &noise::NoiseTable) {
///     for (one, seed) in two {
///         privatise(one, permit, table, seed);
///     }
/// }
/// ```
/// ```
/// fn read(permit: &tacit_privacy::SpendPermit) {
///     let _ = permit.mechanism();
/// }
/// ```
/// ```compile_fail,E0451
/// use tacit_privacy::{Mechanism, SpendPermit};
/// use tacit_types::{Digest, RoundId, TaskId};
/// fn forged(task: TaskId, round: RoundId, ticket: Digest, mechanism: Mechanism) {
///     let _ = SpendPermit { task, round, ticket, mechanism };
/// }
/// ```
fn permits() {}

/// Ring elements, the only thing that is masked or sent, come from a [`crate::PrivateUpdate`]; a
/// rounded vector does not become one.
///
/// ```
/// fn sent(update: tacit_privacy::PrivateUpdate) -> zeroize::Zeroizing<Vec<u32>> {
///     update.into_values()
/// }
/// ```
/// ```compile_fail,E0599
/// fn sent(update: tacit_privacy::QuantisedUpdate) -> zeroize::Zeroizing<Vec<u32>> {
///     update.into_values()
/// }
/// ```
/// ```
/// fn same(update: tacit_privacy::PrivateUpdate) -> tacit_privacy::PrivateUpdate {
///     update.into()
/// }
/// ```
/// ```compile_fail,E0277
/// fn skipped(update: tacit_privacy::QuantisedUpdate) -> tacit_privacy::PrivateUpdate {
///     update.into()
/// }
/// ```
fn masked_without_noise() {}
