//! Passes connections on, and keeps what was said in the clear at the beginning of each.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::hello::{offered, taken};

/// Enough of a handshake to hold either hello, whose longest part is a key share of 1,216 bytes.
const KEPT: usize = 4096;

/// What was heard of one connection.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    client: Vec<u8>,
    server: Vec<u8>,
}

impl Heard {
    /// The key exchanges the client offered, by number.
    pub fn offered(&self) -> Option<Vec<u16>> {
        offered(&self.client)
    }

    /// The key exchange the server took, by number.
    pub fn taken(&self) -> Option<u16> {
        taken(&self.server)
    }
}

/// A port that leads to another one.
pub struct Ear {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Arc<Mutex<Heard>>>>>,
}

impl Ear {
    /// Listens on the way to this port.
    pub fn before(port: u16) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = door
            .local_addr()
            .expect("a bound socket has an address");
        let heard: Arc<Mutex<Vec<_>>> = Arc::default();
        let all = heard.clone();
        thread::spawn(move || {
            for client in door.incoming().flatten() {
                // The coordinator may not be there yet: then the client hears an end.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                let heard = Arc::default();
                all.lock()
                    .expect("nobody panics with it")
                    .push(Arc::clone(&heard));
                pass_on(&client, &server, &heard);
            }
        });
        Self { address, heard }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What was heard so far, connection by connection.
    pub fn heard(&self) -> Vec<Heard> {
        let all = self.heard.lock().expect("nobody panics with it");
        let one = |heard: &Arc<Mutex<Heard>>| heard.lock().expect("nobody panics with it").clone();
        all.iter().map(one).collect()
    }
}

fn pass_on(client: &TcpStream, server: &TcpStream, heard: &Arc<Mutex<Heard>>) {
    let ways: [(_, _, fn(&mut Heard) -> &mut Vec<u8>); 2] = [
        (client, server, |heard| &mut heard.client),
        (server, client, |heard| &mut heard.server),
    ];
    for (from, to, part) in ways {
        let from = from.try_clone().expect("a descriptor");
        let to = to.try_clone().expect("a descriptor");
        let heard = heard.clone();
        thread::spawn(move || {
            copy(from, to, |bytes| {
                let mut heard = heard.lock().expect("nobody panics with it");
                let kept = part(&mut heard);
                let room = KEPT.saturating_sub(kept.len());
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            })
        });
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, hear: impl Fn(&[u8])) {
    let mut buffer = [0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        hear(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
