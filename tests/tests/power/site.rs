//! Keys and certificates of a deployment, and a helper that runs in this process.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use tacit_helper::HelperError;
use tacit_privacy::record::{Event, Line, Release};
use tacit_round::keys::SigningKey;
use tacit_wire::clock::now;
use tacit_wire::pki::{Authority, create_authorities};
use tacit_wire::reload::Source;
use tacit_wire::{Peer, Shutdown, files};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::devices::DEVICES;

const ITEMS: usize = 16;

/// What every run of the task shares.
pub(crate) struct Site(TempDir);

/// One run: a helper of its own, and what a coordinator beside it is told.
pub(crate) struct Running {
    pub(crate) config: tacit_server::Config,
    folder: TempDir,
    shutdown: Shutdown,
    helper: JoinHandle<Result<(), HelperError>>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        let made = create_authorities(now()).unwrap();
        let authority = Authority::from_pem(&made.issuing.chain, &made.issuing.key).unwrap();
        let server = |peer| authority.issue_server(peer, &["localhost".into()], now());
        let coordinator = server(Peer::Coordinator).unwrap();
        let helper = server(Peer::Helper).unwrap();
        for (name, text) in [
            ("root.crt", &made.root.chain),
            ("issuing.crt", &made.issuing.chain),
            ("issuing.key", &made.issuing.key),
            ("coordinator.crt", &coordinator.chain),
            ("coordinator.key", &coordinator.key),
            ("helper.crt", &helper.chain),
            ("helper.key", &helper.key),
            ("coordinator.sign", &"01".repeat(32)),
            ("helper.sign", &"02".repeat(32)),
        ] {
            files::write_new_secret(&site.path(name), text).unwrap();
        }
        std::fs::write(site.path("tokens"), "").unwrap();
        std::fs::write(site.path("catalogue"), "an item\n".repeat(ITEMS)).unwrap();
        site
    }

    /// Starts a helper on nothing.
    pub(crate) async fn start(&self) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::from_value(json!({
            "listen": "127.0.0.1:0",
            "state": folder.path().join("helper"),
            "tls": self.tls("helper"),
            "signing": { "key": self.path("helper.sign") },
            "coordinator_key": public(1),
        }));
        let shutdown = Shutdown::default();
        let (bound, listening) = oneshot::channel();
        let on_bound = |address: SocketAddr| bound.send(address).unwrap();
        let serving = tacit_helper::serve(
            config.unwrap(),
            Source::fixed(),
            now,
            shutdown.clone(),
            on_bound,
        );
        let helper = tokio::spawn(serving);
        let address = listening.await.unwrap();
        Running {
            config: self.coordinator(folder.path().join("coordinator"), address),
            folder,
            shutdown,
            helper,
        }
    }

    fn coordinator(&self, state: PathBuf, helper: SocketAddr) -> tacit_server::Config {
        let config = json!({
            "listen": "127.0.0.1:0",
            "state": state,
            "tls": self.tls("coordinator"),
            "helper": {
                "address": format!("https://{helper}"),
                "server_name": "localhost",
                "identity_key": public(2),
            },
            "signing": { "key": self.path("coordinator.sign") },
            "enrolment": {
                "certificate": self.path("issuing.crt"),
                "key": self.path("issuing.key"),
                "tokens": self.path("tokens"),
            },
            "task": {
                "name": "power",
                "catalogue": self.path("catalogue"),
                "epsilon": 1.0,
                "delta": 1e-5,
                "cohort": DEVICES,
                "evaluation": 0.0,
            },
        });
        serde_json::from_value(config).unwrap()
    }

    fn tls(&self, peer: &str) -> serde_json::Value {
        json!({
            "certificate": self.path(&format!("{peer}.crt")),
            "key": self.path(&format!("{peer}.key")),
            "root": self.path("root.crt"),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Running {
    /// The export verifies, and one line of it costs something: the release.
    pub(crate) fn only_release(&self) -> Release {
        let ledger = self.config.state.join("ledger");
        let verified = tacit_audit::verify(&ledger).unwrap();
        assert_eq!(
            (verified.entries.len(), verified.abandoned().count()),
            (1, 0)
        );
        let lines = std::fs::read_to_string(ledger.join("ledger.jsonl")).unwrap();
        let lines = lines
            .lines()
            .map(|line| Line::from_bytes(line.as_bytes()));
        let mut releases = lines.filter_map(|line| match line.unwrap().event {
            Event::Release(release) => Some(*release),
            _ => None,
        });
        releases.next().unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.drain.cancel();
        self.helper.await.unwrap().unwrap();
        self.folder.close().unwrap();
    }
}

fn public(seed: u8) -> String {
    let key = SigningKey::from_seed(&Zeroizing::new([seed; 32])).public();
    hex::encode(key.0)
}
