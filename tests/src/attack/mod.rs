//! A campaign of attacks on running daemons, while devices that do nothing wrong go on with their
//! work: what they feel of it, what it costs the daemon, and whether anything is lost.
//!
//! [`Size`] says how long and how hard; [`campaign::run`] plays every [`Attack`]; [`healthy`] is
//! the work of honest devices; [`daemon`] what the system says of the attacked process; [`table`]
//! what is written down.
//!
//! The attackers are 140 enrolled identities and strangers at eight addresses of 127.0.0.0/8. They
//! run on threads of low priority, because a real attacker has a machine of its own; what their
//! packets cost the kernel is still paid by the same cores. What this cannot find: anything below
//! TLS, and attacks that need more addresses or identities than that.

pub mod campaign;
pub mod daemon;
mod floods;
pub mod healthy;
mod silent;
mod stage;
pub mod table;

use std::time::Duration;

pub use self::stage::Stage;

/// Enrolled identities that attack.
pub const ATTACKERS: u16 = 140;

/// How long and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Connections of a flood of them.
    pub connections: usize,
    /// How long honest devices work before each attack.
    pub before: Duration,
    /// How long each attack lasts.
    pub during: Duration,
    /// How often an honest device begins anew.
    pub pace: Duration,
    /// Contributions of the round; more than are sent while it is attacked.
    pub cohort: u16,
}

impl Size {
    /// For every change: about a minute.
    pub fn short() -> Self {
        Self {
            connections: 300,
            before: Duration::from_millis(500),
            during: Duration::from_secs(2),
            pace: Duration::from_millis(150),
            cohort: 1200,
        }
    }

    /// For a table: less than eight minutes.
    pub fn long() -> Self {
        Self {
            connections: 2000,
            before: Duration::from_secs(6),
            during: Duration::from_secs(14),
            pace: Duration::from_millis(200),
            cohort: 5000,
        }
    }
}

/// One way to attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Strangers that say their preface and nothing more.
    Idle,
    /// Strangers that do not even say that, half of them without a handshake.
    Prefaceless,
    /// Every attacker keeps as many connections as it gets, each with an open call.
    OpenCalls,
    /// Fetches of which nothing is read.
    SlowReads,
    /// Uploads that stop at some point, or go on as slowly as they may.
    SlowUploads,
    /// Fetches that are reset as soon as they are sent.
    FetchAndReset,
    /// Calls that are reset in the same packet.
    RapidReset,
    /// Header blocks without an end.
    Continuation,
    /// PING frames.
    Ping,
    /// SETTINGS frames.
    Settings,
    /// PRIORITY frames.
    Priority,
    /// WINDOW_UPDATE frames.
    WindowUpdate,
    /// A proxy that goes silent in the middle of uploads and fetches.
    SilentProxy,
    /// The helper is stopped.
    HelperAway,
    /// Several of these at once.
    Together,
}

impl Attack {
    /// Whether it sends frames as fast as it can, which costs a peer its connection.
    pub fn is_flood(self) -> bool {
        matches!(
            self,
            Self::RapidReset
                | Self::Continuation
                | Self::Ping
                | Self::Settings
                | Self::Priority
                | Self::WindowUpdate
        )
    }

    /// All of them, in the order they are tried.
    pub const ALL: [Self; 15] = [
        Self::Idle,
        Self::Prefaceless,
        Self::OpenCalls,
        Self::SlowReads,
        Self::SlowUploads,
        Self::FetchAndReset,
        Self::RapidReset,
        Self::Continuation,
        Self::Ping,
        Self::Settings,
        Self::Priority,
        Self::WindowUpdate,
        Self::SilentProxy,
        Self::HelperAway,
        Self::Together,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle connections",
            Self::Prefaceless => "no preface, or no handshake",
            Self::OpenCalls => "connections with open calls",
            Self::SlowReads => "slow reads",
            Self::SlowUploads => "slow uploads",
            Self::FetchAndReset => "fetch and reset",
            Self::RapidReset => "rapid reset",
            Self::Continuation => "CONTINUATION flood",
            Self::Ping => "PING flood",
            Self::Settings => "SETTINGS flood",
            Self::Priority => "PRIORITY flood",
            Self::WindowUpdate => "WINDOW_UPDATE flood",
            Self::SilentProxy => "silent proxy",
            Self::HelperAway => "helper away",
            Self::Together => "several at once",
        }
    }

    /// Plays it until it is dropped.
    pub(crate) async fn play(self, stage: Stage) {
        match self {
            Self::Idle => silent::strangers(stage, true).await,
            Self::Prefaceless => silent::strangers(stage, false).await,
            Self::OpenCalls => silent::open_calls(stage).await,
            Self::SlowReads => silent::reads(stage).await,
            Self::SlowUploads => silent::uploads(stage).await,
            Self::SilentProxy => silent::proxy(stage).await,
            Self::HelperAway => std::future::pending().await,
            Self::Together => {
                tokio::join!(
                    silent::strangers(stage.clone(), true),
                    silent::reads(stage.clone()),
                    silent::uploads(stage.clone()),
                    floods::flood(stage, Self::Ping),
                );
            }
            flood => floods::flood(stage, flood).await,
        }
    }
}
