//! Keys, certificates, policies and tokens of a deployment.

mod keys;
mod policy;
mod renew;
mod revoke;
mod rotate;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use tacit_round::member::Member;
use tacit_types::{Delta, DeviceId, Epsilon};
use tacit_wire::pki::Authority;
use tacit_wire::revoked::Revoked;
use tacit_wire::{Peer, clock, files};
use zeroize::Zeroizing;

pub(crate) use self::keys::{public_key, random_hex};
use self::keys::{random, read_public, read_signing_key, signing_key};
pub(crate) use self::policy::{Agreed, policy};
pub(crate) use self::tokens::make as tokens;

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
    #[command(
        after_help = "Example: tacit pki policy pki --epsilon 16 --delta 1e-6 --cohort 1500\n\
                      With --window-epsilon 8 --window-hours 720 a task may cost 8, and any 720 \
                      hours touch two windows at most."
    )]
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
        /// Most that the releases of one window may cost, as an epsilon at delta; the lifetime's
        /// without it.
        #[arg(long, requires = "window_hours")]
        window_epsilon: Option<f64>,
        /// Length of a window in hours, counted from 1970.
        #[arg(long, requires = "window_epsilon")]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        window_hours: Option<u32>,
        /// Most releases of one task that an installation takes part in.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        releases: u32,
        /// Refuse rounds to which the helper does not add its own noise.
        #[arg(long)]
        helper_noise: bool,
        /// Refuse rounds that count devices the helper's organisation has not enrolled.
        #[arg(long)]
        membership: bool,
        /// Take the place of the policy that is there, with the next serial: installations take it
        /// over from a coordinator that has it.
        #[arg(long)]
        replace: bool,
        /// Public key that may sign the policy after this one; give its secret half as
        /// `publisher.sign` then.
        #[arg(long)]
        next_publisher: Option<PathBuf>,
    },
    /// Renew the certificates of servers before they end, keeping names and keys, and the issuing
    /// authority's when its last third has begun and `root.key` is there.
    #[command(
        after_help = "Example: tacit pki renew pki\nThen copy the .crt files to their machines; \
                      the daemons take them over within seconds."
    )]
    Renew {
        /// Folder made by `tacit pki init`.
        dir: PathBuf,
        /// Give the servers new keys too: somebody else may have the old ones. Revoke those with
        /// `tacit pki revoke --certificate` first, while the old .crt files are here.
        #[arg(long)]
        new_keys: bool,
    },
    /// Put a new root in the place of the old one. For a while both are trusted: servers show
    /// chains that lead to either, and devices learn of the new one, signed by the old.
    #[command(after_help = "Example: tacit pki rotate pki\nAnd 90 days later: --finish")]
    Rotate {
        /// Folder made by `tacit pki init`, with `root.key`.
        dir: PathBuf,
        /// Trust the old root no more.
        #[arg(long)]
        finish: bool,
    },
    /// Let devices and servers' certificates in no more: adds to `revoked.txt`, which daemons read
    /// when it changes.
    #[command(
        after_help = "Example: tacit pki revoke pki 000102030405060708090a0b0c0d0e0f\n\
                      Then copy revoked.txt to the machines; it holds within a second there."
    )]
    Revoke {
        /// Folder made by `tacit pki init`.
        dir: PathBuf,
        /// Ids of devices, 32 hexadecimal digits each.
        devices: Vec<DeviceId>,
        /// Certificate of a server whose key is lost to somebody, PEM; every certificate of that
        /// key is revoked.
        #[arg(long)]
        certificate: Vec<PathBuf>,
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
    #[command(
        after_help = "Example: tacit pki tokens pki --count 1000 --expires 30\n\
                      Later: --append --count 500 for more, --list, --revoke TOKEN; then copy \
                      tokens.sha256 to the coordinator, which reads it when it changes."
    )]
    Tokens(Box<tokens::Options>),
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
                 tokens.sign to the app's backend, members.sign to the helper's organisation\n",
                dir.display()
            ))?;
        }
        Command::Policy {
            dir,
            epsilon,
            delta,
            cohort,
            window_epsilon,
            window_hours,
            releases,
            helper_noise,
            membership,
            replace,
            next_publisher,
        } => {
            let read = |option: &str, epsilon: f64| {
                Epsilon::new(epsilon).map_err(|error| Failure::input(format!("{option}: {error}")))
            };
            let delta =
                Delta::new(*delta).map_err(|error| Failure::input(format!("--delta: {error}")))?;
            let window = window_epsilon.zip(*window_hours);
            let window = window.map(|(epsilon, hours)| {
                Ok::<_, Failure>((read("--window-epsilon", epsilon)?, hours))
            });
            let agreed = Agreed {
                window: window.transpose()?,
                releases: *releases,
                helper_noise: *helper_noise,
                membership: *membership,
                replace: *replace,
                next_publisher: next_publisher
                    .as_deref()
                    .map(read_public)
                    .transpose()?,
                ..Agreed::new(read("--epsilon", *epsilon)?, delta, *cohort)
            };
            policy(dir, &agreed)?;
            say::result(format_args!(
                "signed {}\n",
                dir.join("policy.json").display()
            ))?;
        }
        Command::Renew { dir, new_keys } => renew::renew(dir, *new_keys)?,
        Command::Rotate { dir, finish: false } => rotate::rotate(dir)?,
        Command::Rotate { dir, finish: true } => rotate::finish(dir)?,
        Command::Revoke {
            dir,
            devices,
            certificate,
        } => revoke::revoke(dir, devices, certificate)?,
        Command::Members { dir, count } => {
            members(dir, *count)?;
            say::result(format_args!(
                "issued {count} memberships in {}\n",
                dir.join("members.txt").display()
            ))?;
        }
        Command::Tokens(options) => tokens::run(options)?,
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

    for name in ["coordinator", "helper", "publisher", "members", "tokens"] {
        signing_key(dir, name)?;
    }
    files::write_new_public(&dir.join(revoke::FILE), &Revoked::default().to_text())?;
    files::write_new_public(&dir.join(rotate::FILE), "")?;

    Ok(())
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
