//! Keys, certificates, policies and tokens of a deployment.

use std::fs;
use std::path::{Path, PathBuf};

use rand::TryRng;
use tacit_privacy::canonical::digest;
use tacit_round::keys::{PublicKey, SigningKey};
use tacit_round::member::Member;
use tacit_round::policy::Policy;
use tacit_round::signed_policy::SignedPolicy;
use tacit_types::{Delta, Epsilon};
use tacit_wire::pki::Authority;
use tacit_wire::{Peer, clock, files};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::say;

/// Subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a deployment's root, issuing authority, server certificates and signing keys in a new
    /// folder.
    #[command(
        after_help = "Example: tacit pki init pki --coordinator rec.example.org --helper \
                      helper.example.net"
    )]
    Init {
        /// Folder to make; it must not exist or be empty.
        dir: PathBuf,
        /// DNS name or address of the coordinator.
        #[arg(long, default_value = "localhost")]
        coordinator: String,
        /// DNS name or address of the helper.
        #[arg(long, default_value = "localhost")]
        helper: String,
    },
    /// Sign the device policy of an app with the publisher's key.
    #[command(after_help = "Example: tacit pki policy pki --epsilon 8 --delta 1e-5 --cohort 1500")]
    Policy {
        /// Folder made by `tacit pki init`.
        dir: PathBuf,
        /// Lifetime epsilon of one installation.
        #[arg(long)]
        epsilon: f64,
        /// Delta it is stated at.
        #[arg(long, default_value_t = 1e-5)]
        delta: f64,
        /// Devices a round takes.
        #[arg(long)]
        cohort: u32,
        /// Refuse rounds to which the helper does not add its own noise.
        #[arg(long)]
        helper_noise: bool,
        /// Refuse rounds that count devices the helper's organisation has not enrolled.
        #[arg(long)]
        membership: bool,
    },
    /// Issue memberships: `members.txt`, one a line for each device. Run by the helper's
    /// organisation.
    #[command(after_help = "Example: tacit pki members pki --count 1000")]
    Members {
        /// Folder with the issuer's `members.sign`, made by `tacit pki init`.
        dir: PathBuf,
        /// How many.
        #[arg(long)]
        count: u32,
    },
    /// Make single-use enrolment tokens: `tokens.txt` for devices, `tokens.sha256` for the
    /// coordinator.
    #[command(after_help = "Example: tacit pki tokens pki --count 1000")]
    Tokens {
        /// Folder made by `tacit pki init`.
        dir: PathBuf,
        /// How many.
        #[arg(long)]
        count: u32,
    },
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Init {
            dir,
            coordinator,
            helper,
        } => {
            init(dir, coordinator, helper)?;
            say::result(format_args!(
                "made {}; move root.key offline, publisher.sign to whoever signs your app, \
                 members.sign to the helper's organisation\n",
                dir.display()
            ))?;
        }
        Command::Policy {
            dir,
            epsilon,
            delta,
            cohort,
            helper_noise,
            membership,
        } => {
            let epsilon = Epsilon::new(*epsilon)
                .map_err(|error| Failure::input(format!("--epsilon: {error}")))?;
            let delta =
                Delta::new(*delta).map_err(|error| Failure::input(format!("--delta: {error}")))?;
            policy(dir, epsilon, delta, *cohort, *helper_noise, *membership)?;
            say::result(format_args!(
                "signed {}\n",
                dir.join("policy.json").display()
            ))?;
        }
        Command::Members { dir, count } => {
            members(dir, *count)?;
            say::result(format_args!(
                "issued {count} memberships in {}\n",
                dir.join("members.txt").display()
            ))?;
        }
        Command::Tokens { dir, count } => {
            tokens(dir, *count)?;
            say::result(format_args!(
                "made {count} tokens in {}\n",
                dir.join("tokens.txt").display()
            ))?;
        }
    }
    Ok(())
}

/// Makes every key and certificate of a deployment.
pub(crate) fn init(dir: &Path, coordinator: &str, helper: &str) -> Result<(), Failure> {
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::input(format!(
            "{}: the folder exists and is not empty; name a new one",
            dir.display()
        )));
    }
    let now = clock::now();
    let authorities = tacit_wire::pki::create_authorities(now)?;
    let issuing = Authority::from_pem(&authorities.issuing.chain, &authorities.issuing.key)?;
    let server = |peer, name: &str, option: &str| {
        issuing
            .issue_server(peer, &[name.to_owned()], now)
            .map_err(|error| Failure::input(format!("{option} '{name}': {error}")))
    };
    let servers = [
        (
            "coordinator",
            server(Peer::Coordinator, coordinator, "--coordinator")?,
        ),
        ("helper", server(Peer::Helper, helper, "--helper")?),
    ];
    files::private_folder(dir)
        .map_err(|error| Failure::input(format!("{}: {error}", dir.display())))?;
    let own = [("root", authorities.root), ("issuing", authorities.issuing)];
    for (name, credentials) in own.into_iter().chain(servers) {
        files::write_new_public(&dir.join(format!("{name}.crt")), &credentials.chain)?;
        files::write_new_secret(&dir.join(format!("{name}.key")), &credentials.key)?;
    }
    for name in ["coordinator", "helper", "publisher", "members"] {
        signing_key(dir, name)?;
    }
    Ok(())
}

fn signing_key(dir: &Path, name: &str) -> Result<(), Failure> {
    let seed = random_hex()?;
    files::write_new_secret(&dir.join(format!("{name}.sign")), &seed)?;
    let public = read_signing_key(dir, name)?.public();
    Ok(files::write_new_public(
        &dir.join(format!("{name}.pub")),
        &public.to_string(),
    )?)
}

fn read_signing_key(dir: &Path, name: &str) -> Result<SigningKey, Failure> {
    let seed = files::read_seed(&dir.join(format!("{name}.sign"))).map_err(Failure::input)?;
    Ok(SigningKey::from_seed(&seed))
}

/// The public half of a deployment's signing key.
pub(crate) fn public_key(dir: &Path, name: &str) -> Result<PublicKey, Failure> {
    let path = dir.join(format!("{name}.pub"));
    let text = files::read_text(&path).map_err(Failure::input)?;
    PublicKey::try_from(text.trim().to_owned())
        .map_err(|error| Failure::input(format!("{}: {error}", path.display())))
}

/// Signs a policy that allows exactly one task of this budget.
pub(crate) fn policy(
    dir: &Path,
    epsilon: Epsilon,
    delta: Delta,
    cohort: u32,
    helper_noise: bool,
    membership: bool,
) -> Result<(), Failure> {
    let rho = tacit_plan::budget(epsilon, delta)
        .map_err(|error| Failure::input(format!("--{}: {error}", error.field())))?;
    let (coordinator, helper) = (public_key(dir, "coordinator")?, public_key(dir, "helper")?);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "delta is at most 0.1"
    )]
    let delta_pico_max = (delta.get() * 1e12).round() as u64;
    let own = Policy::new(coordinator, helper, rho, cohort);
    let policy = Policy {
        delta_pico_max,
        helper_noise,
        membership,
        ..own
    };
    let signed = SignedPolicy::new(&policy, &read_signing_key(dir, "publisher")?)?;
    Ok(files::write_new_public(
        &dir.join("policy.json"),
        &serde_json::to_string_pretty(&signed)?,
    )?)
}

/// Makes tokens and the digests the coordinator knows them by.
pub(crate) fn tokens(dir: &Path, count: u32) -> Result<(), Failure> {
    let (mut secret, mut known) = (String::new(), String::new());
    for _ in 0..count {
        let token = random_hex()?;
        known += &format!("{}\n", digest(&hex::decode(&token)?));
        secret += &format!("{token}\n");
    }
    files::write_new_secret(&dir.join("tokens.txt"), &secret)?;
    Ok(files::write_new_public(&dir.join("tokens.sha256"), &known)?)
}

/// Issues memberships with the helper's organisation's key.
fn members(dir: &Path, count: u32) -> Result<(), Failure> {
    let issuer = read_signing_key(dir, "members")?;
    let mut text = Zeroizing::new(String::new());
    for _ in 0..count {
        *text += &Member::issue(&issuer, Zeroizing::new(random()?)).to_hex();
        *text += "\n";
    }
    Ok(files::write_new_secret(&dir.join("members.txt"), &text)?)
}

fn random_hex() -> Result<String, Failure> {
    Ok(hex::encode(random()?))
}

fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0u8; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}
