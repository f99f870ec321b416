//! A deployment in a temporary folder whose coordinator and helper run: the `tacit` that was built
//! beside this app, as an operator starts it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const CONFIG: &str = r#"
state = "coordinator"

[tls]
certificate = "pki/coordinator.crt"
key = "pki/coordinator.key"
root = "pki/root.crt"

[helper]
address = "https://127.0.0.1:{helper}"
server_name = "localhost"

[signing]
key = "pki/coordinator.sign"

[enrolment]
certificate = "pki/issuing.crt"
key = "pki/issuing.key"
tokens = "pki/tokens.sha256"
state = "enrolled"

[task]
name = "films"
catalogue = "catalogue.txt"
epsilon = 8.0
delta = 1e-5
cohort = 4
"#;

const HELPER: &str = r#"
state = "helper"

[tls]
certificate = "pki/helper.crt"
key = "pki/helper.key"
root = "pki/root.crt"

[signing]
key = "pki/helper.sign"
"#;

/// The deployment. Its processes end, and its folder is gone, when this is dropped.
pub struct Coordinator {
    folder: PathBuf,
    port: u16,
    processes: [Child; 2],
}

impl Coordinator {
    /// Makes keys, policy and tokens for four, and starts coordinator and helper.
    pub fn start(name: &str) -> Self {
        let own = format!("tacit-embed-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(own);
        fs::create_dir_all(&folder).expect("a temporary folder");
        for command in [
            "pki init pki",
            "pki policy pki --epsilon 8 --cohort 4",
            "pki tokens pki --count 4",
        ] {
            let made = tacit(&folder, command).status().expect("tacit starts");
            assert!(made.success(), "tacit {command}");
        }

        let port = free_port();
        write(&folder, port);
        let processes = ["helper", "coordinator"].map(|role| {
            tacit(&folder, &format!("{role} --config {role}.toml"))
                .spawn()
                .expect("tacit starts")
        });
        Self {
            folder,
            port,
            processes,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A path in the deployment's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A text that `tacit pki` made.
    pub fn pki(&self, name: &str) -> String {
        let path = self.path("pki").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            eprintln!("{log}");
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn write(folder: &Path, port: u16) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("tacit pki made it");
    let (helper, own) = (read("pki/helper.pub"), read("pki/coordinator.pub"));
    let named = format!(
        "server_name = \"localhost\"\nidentity_key = \"{}\"",
        helper.trim()
    );
    let asked = free_port();
    let config = CONFIG
        .replace("server_name = \"localhost\"", &named)
        .replace("{helper}", &asked.to_string());
    let config = format!("listen = \"127.0.0.1:{port}\"\n{config}");
    let helper = format!(
        "listen = \"127.0.0.1:{asked}\"\ncoordinator_key = \"{}\"\n{HELPER}",
        own.trim()
    );
    let catalogue: String = (0..50).map(|item| format!("film {item}\n")).collect();
    for (name, text) in [
        ("coordinator.toml", config),
        ("helper.toml", helper),
        ("catalogue.txt", catalogue),
    ] {
        fs::write(folder.join(name), text).expect("a temporary folder");
    }
}

fn tacit(folder: &Path, arguments: &str) -> Command {
    let own = std::env::current_exe().expect("a running program has a path");
    let profile = own
        .ancestors()
        .nth(2)
        .expect("tests lie in target/<profile>/deps");
    let binary = profile.join("tacit");
    assert!(
        binary.is_file(),
        "{} is missing: cargo xtask embed builds it",
        binary.display()
    );

    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("a temporary folder");
    let mut command = Command::new(binary);
    command.args(arguments.split(' ')).current_dir(folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
