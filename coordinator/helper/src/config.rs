//! What an operator sets. The file is TOML; unknown keys are refused.

use std::path::PathBuf;

use serde::Deserialize;
use tacit_round::helper::Terms;
use tacit_round::keys::PublicKey;
use tacit_wire::listener::Front;

/// The helper's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on; port 0 takes any free one.
    pub listen: String,
    /// What is logged, as `RUST_LOG` says it and where that is not set; `info` by default.
    pub log: Option<String>,
    /// Whether the state was put back from an older copy. Not in the file: an operator says so for
    /// one start.
    #[serde(skip)]
    pub restored: bool,
    /// Who stands in front of it.
    #[serde(default)]
    pub listener: Front,
    /// Folder of the helper's state; made on the first start. Its `keys` folder must never reach a
    /// backup.
    pub state: PathBuf,
    /// Certificates of the connection to the coordinator.
    pub tls: Tls,
    /// What the helper signs with.
    pub signing: Signing,
    /// The coordinator's ticket key, 64 hexadecimal digits: tree heads must carry its signature.
    pub coordinator_key: PublicKey,
    /// Fewest honest devices this helper hides one device among: the smallest `n_min` it
    /// countersigns.
    #[serde(default = "honest_min_default")]
    pub honest_min: u32,
    /// Who is a member; without it no ticket may ask for members.
    pub membership: Option<Membership>,
}

/// `[membership]`: the remedy against a coordinator that invents devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Public key that signs memberships, 64 hexadecimal digits; its secret half stays with the
    /// helper's organisation.
    pub issuer_key: PublicKey,
    /// Whether tickets that do not ask for members are refused.
    #[serde(default)]
    pub required: bool,
}

/// Files of the TLS endpoint, PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key, readable by its owner only.
    pub key: PathBuf,
    /// Root certificate that the coordinator's certificate leads to.
    pub root: PathBuf,
    /// Who is revoked, as `tacit pki revoke` writes it; read again when it changes. Here the keys
    /// of coordinators' certificates count.
    pub revoked: Option<PathBuf>,
}

/// The helper's identity key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// File with 64 hexadecimal digits, readable by its owner only.
    pub key: PathBuf,
}

fn honest_min_default() -> u32 {
    2
}

impl Config {
    /// What this helper countersigns.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            honest_min: self.honest_min,
            issuer: self
                .membership
                .as_ref()
                .map(|membership| membership.issuer_key),
            membership_required: self
                .membership
                .as_ref()
                .is_some_and(|membership| membership.required),
        }
    }

    /// Checks what a type cannot.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        let port = self
            .listen
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port);
        if port
            .and_then(|port| port.parse::<u16>().ok())
            .is_none()
        {
            let listen = self.listen.escape_debug();
            return Err(format!(
                "listen: '{listen}' is not an address and a port, as in 127.0.0.1:7501"
            ));
        }
        for (name, path) in [
            ("state", &self.state),
            ("tls.certificate", &self.tls.certificate),
            ("tls.key", &self.tls.key),
            ("tls.root", &self.tls.root),
            ("signing.key", &self.signing.key),
        ] {
            if path.as_os_str().is_empty() {
                return Err(format!("{name}: a path is needed"));
            }
        }
        let issuer = self.membership.as_ref().map(|one| &one.issuer_key);
        for (name, key, file) in [
            (
                "coordinator_key",
                Some(&self.coordinator_key),
                "coordinator.pub",
            ),
            ("membership.issuer_key", issuer, "members.pub"),
        ] {
            if key.is_some_and(|key| !key.is_usable()) {
                return Err(format!(
                    "{name}: is a placeholder; give the key in pki/{file}"
                ));
            }
        }
        if self.honest_min < 2 {
            return Err(format!(
                "honest_min: {} would let a single device be summed; at least 2",
                self.honest_min
            ));
        }
        Ok(())
    }
}
