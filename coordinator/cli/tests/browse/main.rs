//! `tacit demo --browse` as a person meets it: the real demo, its page in a real browser, and what
//! a click did to the device's own store. Also as somebody meets it who was not told the address.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "says what it skips")]

mod browser;
mod http;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tacit_model::InteractionKind;
use tacit_sdk::{Consent, Recommender};
use tempfile::TempDir;

use browser::Browser;
use http::{ask, exchange, get, post};

/// A demo that has trained and shows one of its devices.
struct Demo {
    child: Child,
    /// `127.0.0.1:port`.
    host: String,
    /// `/secret/`.
    path: String,
    /// Where it makes its folder.
    home: TempDir,
}

impl Demo {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let options = "--users 40 --epsilon 60 --rounds 2 --factors 8 --evaluation 0 --browse";
        let mut child = Command::new(env!("CARGO_BIN_EXE_tacit"))
            .arg("demo")
            .args(options.split(' '))
            .env("TMPDIR", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = said.find_map(|line| {
            let line = line.unwrap();
            Some(line.split_once("http://")?.1.to_owned())
        });
        let address = told.expect("an address is told");
        let (host, path) = address.split_once('/').unwrap();
        Self {
            child,
            host: host.to_owned(),
            path: format!("/{path}"),
            home,
        }
    }

    fn address(&self) -> String {
        format!("http://{}{}", self.host, self.path)
    }

    fn state(&self) -> Value {
        let (status, body) = get(&self.host, &format!("{}state", self.path));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The device's store, opened as another process of its app would.
    fn store(&self) -> Recommender {
        let device = self.state()["device"].as_u64().unwrap();
        let devices = self.folder().join("devices");
        Recommender::open(&devices.join(format!("{device:06}"))).unwrap()
    }

    fn folder(&self) -> PathBuf {
        let mut made = fs::read_dir(self.home.path()).unwrap();
        made.next().unwrap().unwrap().path()
    }

    /// Ends it as a person does. What it has told of is left, and no key and no store.
    fn end(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let left = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<_> = left.map(|one| one.unwrap().file_name()).collect();
        names.sort_unstable();
        assert_eq!(names, ["coordinator", "report"]);
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn list_of(state: &Value) -> Vec<String> {
    let list = state["list"].as_array().unwrap();
    let title = |one: &Value| one["title"].as_str().unwrap().to_owned();
    list.iter().map(title).collect()
}

#[test]
fn a_page_is_one_device_of_the_demo() {
    let demo = Demo::start();
    strangers(&demo);
    let Some(mut browser) = Browser::start() else {
        println!("SKIPPED: no Chromium here; Debian's package is chromium");
        demo.end();
        return;
    };
    browser.show_as(1280, 1500, "light");
    browser.open(&demo.address());
    first_look(&demo, &mut browser);
    clicks(&demo, &mut browser);
    decisions(&demo, &mut browser);
    pictures(&mut browser);
    forgets_all(&demo, &mut browser);
    assert_eq!(browser.complaints, [""; 0]);
    drop(browser);
    demo.end();
}

/// HOSTILE 169, 170: whoever was not told the address learns and changes nothing, and no request
/// ends the server.
fn strangers(demo: &Demo) {
    let before = demo.state();
    let (host, path) = (&*demo.host, &*demo.path);
    let act = format!("{path}do");
    let forget = json!({ "what": "forget-all" }).to_string();
    let head = |lines: &str| {
        format!(
            "{lines}\r\ncontent-length: {}\r\n\r\n{forget}",
            forget.len()
        )
    };
    let typed = "content-type: application/json";
    let own = format!("POST {act} HTTP/1.1\r\nhost: {host}");
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"), 404),
        (
            format!("GET {path}state HTTP/1.1\r\nhost: evil.example\r\n\r\n"),
            421,
        ),
        (format!("GET {path}state HTTP/1.0\r\n\r\n"), 421),
        (
            format!("GET {path}../../etc/passwd HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            404,
        ),
        (head(&own), 415),
        (
            head(&format!("{own}\r\n{typed}\r\norigin: http://evil.example")),
            403,
        ),
        (
            head(&format!(
                "POST {act} HTTP/1.1\r\nhost: evil.example\r\n{typed}"
            )),
            421,
        ),
        (
            head(&format!("DELETE {act} HTTP/1.1\r\nhost: {host}\r\n{typed}")),
            405,
        ),
        (
            format!("{own}\r\n{typed}\r\ncontent-length: 999999999999\r\n\r\n"),
            413,
        ),
        (
            format!("GET {path}find?from=x HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            400,
        ),
        (
            format!("GET {path}find?from=0&words=%FF HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            400,
        ),
        (
            format!(
                "GET /{} HTTP/1.1\r\nhost: {host}\r\n\r\n",
                "x".repeat(70_000)
            ),
            431,
        ),
        ("\u{1}\u{2}\u{3}\r\n\r\n".into(), 400),
    ] {
        let (status, _) = exchange(host, &request);
        assert_eq!(status, expected, "{:.120}", request.replace("\r\n", " | "));
    }
    for body in [
        "",
        "{",
        "[]",
        "{\"what\":\"fly\"}",
        "{\"what\":\"did\",\"item\":-1,\"kind\":\"like\"}",
    ] {
        assert_eq!(post(host, &act, body).0, 400, "{body}");
    }
    let unknown = json!({ "what": "did", "item": 4_000_000_000_u32, "kind": "like" });
    let (status, said) = post(host, &act, &unknown.to_string());
    assert_eq!(status, 422);
    assert!(said.contains("not in the catalogue"), "{said}");
    assert_eq!(demo.state(), before);

    let page = ask(host, path);
    for expected in ["default-src 'none'", "no-referrer", "nosniff", "no-store"] {
        assert!(page.contains(expected), "no {expected} in:\n{page}");
    }
}

/// What the page shows is what the device has.
fn first_look(demo: &Demo, browser: &mut Browser) {
    let state = demo.state();
    assert_eq!(browser.texts("#list .title"), list_of(&state));
    assert_eq!(list_of(&state).len(), 10);
    let sent = browser.texts("#sent tr");
    assert_eq!(
        sent.len(),
        state["privacy"]["sent"].as_array().unwrap().len()
    );
    assert_eq!(
        demo.store().recent().len(),
        state["mine"].as_array().unwrap().len()
    );
    let counted = |line: &String| line.contains("counted");
    assert!(sent.iter().all(counted), "{sent:?}");
    for (role, name) in browser.controls() {
        assert!(!name.is_empty(), "a {role} without a name");
    }
}

/// A click is durable in the device's store, moves the list and says why; forgetting moves it back.
fn clicks(demo: &Demo, browser: &mut Browser) {
    let before = browser.texts("#list .title");
    let liked = before[2].clone();
    browser.click("#list li:nth-child(3) .actions button:nth-child(2)");
    browser.wait("document.querySelector('#said').textContent.includes('places changed')");
    let after = browser.texts("#list .title");
    assert!(after != before && !after.contains(&liked), "{after:?}");
    assert!(browser.texts("#mine .title").first() == Some(&liked));
    let reasons = browser.texts("#list .why").concat();
    assert!(
        reasons.contains(&format!("because you liked {liked}")),
        "{reasons}"
    );
    assert!(!browser.texts("#list .moved").concat().is_empty());
    let store = demo.store();
    let newest = store.recent().last().unwrap();
    assert_eq!(newest.kind, InteractionKind::Like);
    assert_eq!(store.title(newest.item), Some(&*liked));

    // With the keyboard: the focus is where it was, so that Enter does the same to what moved up.
    browser.press_enter();
    let next = after[2].clone();
    let wanted = json!(format!("You liked {next}."));
    browser.wait(&format!(
        "document.querySelector('#said').textContent.startsWith({wanted})"
    ));

    for title in [next, liked] {
        browser.click("#mine li:first-child button");
        let wanted = json!(format!("{title} is forgotten."));
        browser.wait(&format!(
            "document.querySelector('#said').textContent.startsWith({wanted})"
        ));
    }
    assert_eq!(browser.texts("#list .title"), before);
}

/// Search, topics and consent.
fn decisions(demo: &Demo, browser: &mut Browser) {
    browser.click("#words");
    browser.write("the midnight");
    browser.wait("document.querySelectorAll('#found li').length < 8");
    for title in browser.texts("#found .title") {
        assert!(title.to_lowercase().contains("midnight"), "{title}");
    }
    browser.write("\u{2603} <b>&%");
    browser.wait("document.querySelector('#place').textContent === 'no such title'");

    browser.click("#topics button");
    browser.wait("document.querySelector('#topics button').ariaPressed === 'true'");
    assert_eq!(demo.store().chosen_categories().len(), 1);
    browser.click("#consent [value=off]");
    browser.wait("document.querySelector('#said').textContent.startsWith('The network: off')");
    assert_eq!(demo.store().consent().unwrap(), Consent::Off);
}

/// What it looks like, for a person to look at; nothing is wider than the window.
fn pictures(browser: &mut Browser) {
    browser.evaluate("words.value = ''; words.dispatchEvent(new Event('input'))");
    browser.wait("document.querySelectorAll('#found li').length === 8");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browse");
    fs::create_dir_all(&folder).unwrap();
    for (name, width, scheme) in [
        ("light", 1280, "light"),
        ("dark", 1280, "dark"),
        ("narrow", 375, "light"),
        ("narrow-dark", 320, "dark"),
    ] {
        browser.show_as(width, 900, scheme);
        browser.picture(&folder.join(format!("{name}.png")));
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.evaluate(fits), json!(true), "{name}");
    }
    browser.show_as(1280, 1500, "light");
}

fn forgets_all(demo: &Demo, browser: &mut Browser) {
    let spent = demo.state()["privacy"].clone();
    browser.click("#forget-all");
    browser.wait("document.querySelector('#forget-all').textContent.startsWith('Really')");
    assert!(!demo.store().recent().is_empty(), "asked first");
    browser.click("#forget-all");
    browser.wait("document.querySelectorAll('#mine li').length === 0");
    assert_eq!(demo.store().recent().len(), 0);
    assert_eq!(browser.texts("#list .title").len(), 10);
    assert_eq!(demo.state()["privacy"], spent, "what was spent stays spent");
}
