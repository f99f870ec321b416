//! `--browse`: a local page that is one device of the demo. What it shows is the device's own store
//! and model, through the SDK that an app embeds; nothing of it is made up for the page.

mod action;
mod device;
mod guard;
mod query;
mod server;

use std::fmt::Display;

use tokio::net::TcpListener;

use self::device::Device;
use self::guard::Guard;
use super::world::World;
use crate::failure::Failure;
use crate::pki;
use crate::say;
use crate::signals::Signals;

/// Serves the page until a signal ends it, which is how it is meant to end.
pub(super) async fn run(world: &World, device: u32, signals: &mut Signals) -> Result<(), Failure> {
    let device = Device::open(world, device)?;
    // Nobody but this machine reaches it, and on it nobody who was not told the address.
    let any_port = ("127.0.0.1", 0);
    let listener = TcpListener::bind(any_port).await?;
    let port = listener.local_addr()?.port();
    let secret = pki::random_hex()?;
    let guard = Guard::new(port, secret);
    announce(guard.address());

    let serving = server::serve(listener, guard, device);
    let ended = signals.or_stop(serving).await;
    match ended {
        Err(Failure::Stopped(_)) => Ok(()),
        other => other,
    }
}

fn announce(address: impl Display) {
    say::note(format_args!(
        "\none device, to look at: {address}\n(Ctrl-C ends it)"
    ));
}
