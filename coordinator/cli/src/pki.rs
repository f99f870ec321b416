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
use tacit_wire::pki::{Authority, PkiError};
use tacit_wire::{Peer, clock, files, renewal};
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
    },
    /// Renew the certificates of servers before they end, keeping names and keys, and the issuing
    /// authority's when its last third has begun and `root.key` is there.
    #[command(
        after_help = "Example: tacit pki renew pki\nThen copy the .crt files to their machines and \
                      start the daemons again."
    )]
    Renew {
        /// Folder made by `tacit pki init`.
        dir: PathBuf,
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
            window_epsilon,
            window_hours,
            releases,
            helper_noise,
            membership,
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
                ..Agreed::new(read("--epsilon", *epsilon)?, delta, *cohort)
            };
            policy(dir, &agreed)?;
            say::result(format_args!(
                "signed {}\n",
                dir.join("policy.json").display()
            ))?;
        }
        Command::Renew { dir } => renew(dir)?,
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

/// What an owner agrees to, as the publisher of their app says it.
pub(crate) struct Agreed {
    epsilon: Epsilon,
    delta: Delta,
    cohort: u32,
    /// Most that one window may cost, and its hours; the lifetime's without it.
    window: Option<(Epsilon, u32)>,
    releases: u32,
    helper_noise: bool,
    membership: bool,
}

impl Agreed {
    /// One window without end, which one task may use up.
    pub(crate) fn new(epsilon: Epsilon, delta: Delta, cohort: u32) -> Self {
        Self {
            epsilon,
            delta,
            cohort,
            window: None,
            releases: 1000,
            helper_noise: false,
            membership: false,
        }
    }
}

/// Signs a policy.
pub(crate) fn policy(dir: &Path, agreed: &Agreed) -> Result<(), Failure> {
    let delta = agreed.delta;
    let budget = |option: &str, epsilon: Epsilon| {
        tacit_plan::budget(epsilon, delta)
            .map_err(|error| Failure::input(format!("--{option}{}: {error}", error.field())))
    };

    let rho = budget("", agreed.epsilon)?;
    let window = agreed
        .window
        .map(|(epsilon, hours)| Ok::<_, Failure>((budget("window-", epsilon)?, hours)));
    let (rho_window, window_hours) = window.transpose()?.unwrap_or((rho, u32::MAX));
    if rho_window > rho {
        let problem = "--window-epsilon: a window may not cost more than the lifetime (--epsilon)";
        return Err(Failure::input(problem));
    }

    let (coordinator, helper) = (public_key(dir, "coordinator")?, public_key(dir, "helper")?);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "delta is at most 0.1"
    )]
    let delta_pico_max = (delta.get() * 1e12).round() as u64;
    let own = Policy::new(coordinator, helper, rho, agreed.cohort);
    let policy = Policy {
        rho_window,
        window_hours,
        releases_max: agreed.releases,
        delta_pico_max,
        helper_noise: agreed.helper_noise,
        membership: agreed.membership,
        ..own
    };

    let signed = SignedPolicy::new(&policy, &read_signing_key(dir, "publisher")?)?;
    Ok(files::write_new_public(
        &dir.join("policy.json"),
        &serde_json::to_string_pretty(&signed)?,
    )?)
}

/// Renews what servers show, and the issuing authority's certificate when it is time.
fn renew(dir: &Path) -> Result<(), Failure> {
    let now = clock::now();
    let path = |name: &str| dir.join(name);
    let public = |name: &str| files::read_text(&path(name)).map_err(Failure::input);
    let secret = |name: &str| files::read_secret(&path(name)).map_err(Failure::input);
    let named =
        |name: &str, error: PkiError| Failure::input(format!("{}: {error}", path(name).display()));
    let replace = |name: &str, text: &str| {
        files::replace_public(&path(name), text)
            .map_err(|error| Failure::input(format!("{}: {error}", path(name).display())))
    };

    let (mut issuing, issuing_key) = (public("issuing.crt")?, secret("issuing.key")?);
    if renewal::is_due(&issuing, now) && path("root.key").exists() {
        let (root, root_key) = (public("root.crt")?, secret("root.key")?);
        issuing = renewal::renew_issuing(&issuing_key, &root, &root_key, now)
            .map_err(|error| named("issuing.crt", error))?;
        replace("issuing.crt", &issuing)?;
        say::result("renewed issuing.crt\n")?;
    }

    let authority =
        Authority::from_pem(&issuing, &issuing_key).map_err(|error| named("issuing.crt", error))?;
    for server in ["coordinator", "helper"] {
        let (certificate, key) = (format!("{server}.crt"), format!("{server}.key"));
        if !path(&certificate).exists() || !path(&key).exists() {
            say::note(format_args!(
                "{certificate} and its key are not here: left out"
            ));
            continue;
        }
        let chain = authority
            .renew_server(&public(&certificate)?, &secret(&key)?, now)
            .map_err(|error| named(&certificate, error))?;
        replace(&certificate, &chain)?;
        say::result(format_args!("renewed {certificate}\n"))?;
    }

    Ok(())
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
