//! Headless Chromium, driven over a pair of pipes by the DevTools protocol: JSON, a zero byte after
//! each message. Clicks and keys are those of a person, not of a script in the page.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Debian's name, and those of others.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Whatever happens, it is gone after this time.
const SECONDS_MAX: &str = "120";
/// Opens the two pipes as Chromium expects them, 3 to read from and 4 to write to. What it is told
/// not to do would ask other hosts.
const START: &str = r#"exec 3<"$1/to" 4>"$1/from"
exec timeout --signal=KILL "$3" "$2" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
    --no-first-run --disable-background-networking --disable-component-update --disable-sync \
    --hide-scrollbars --user-data-dir="$1/profile" --remote-debugging-pipe about:blank"#;

/// One browser with one page.
pub(crate) struct Browser {
    child: Child,
    _folder: TempDir,
    to: File,
    from: BufReader<File>,
    session: String,
    messages: u64,
    /// What the page or the browser complained about.
    pub(crate) complaints: Vec<String>,
}

impl Browser {
    /// Starts it; `None` where there is none.
    pub(crate) fn start() -> Option<Self> {
        let is_there = |name: &&&str| {
            let found = Command::new("which").arg(name).output();
            found.is_ok_and(|found| found.status.success())
        };
        let name = NAMES.iter().find(is_there)?;
        let folder = TempDir::new().unwrap();
        let (to, from) = (folder.path().join("to"), folder.path().join("from"));
        let made = Command::new("mkfifo").args([&to, &from]).status();
        assert!(made.unwrap().success());
        let child = Command::new("bash")
            .args(["-c", START, "browser"])
            .arg(folder.path())
            .args([name, SECONDS_MAX])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();

        // Each waits until the other end is open, in the order of `START`.
        let to = File::options().write(true).open(to).unwrap();
        let from = BufReader::new(File::open(from).unwrap());
        let mut browser = Self {
            child,
            _folder: folder,
            to,
            from,
            session: String::new(),
            messages: 0,
            complaints: Vec::new(),
        };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let page = self.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", &attach);
        self.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), &json!({}));
        }
    }

    /// Calls a method and gives its result.
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.messages += 1;
        let id = self.messages;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut heard = Vec::new();
            self.from.read_until(0, &mut heard).unwrap();
            assert_eq!(heard.pop(), Some(0), "the browser has gone");
            let heard: Value = serde_json::from_slice(&heard).unwrap();
            if heard["id"] == id {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].clone();
            }
            self.listen(&heard);
        }
    }

    fn listen(&mut self, event: &Value) {
        let is_complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        if is_complaint {
            self.complaints.push(event["params"].to_string());
        }
    }

    /// How the window is, and what the person prefers.
    pub(crate) fn show_as(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
    }

    /// Opens a page and waits until it says that it is ready.
    pub(crate) fn open(&mut self, address: &str) {
        self.call("Page.navigate", &json!({ "url": address }));
        self.wait("document.documentElement?.dataset.ready === 'yes'");
    }

    /// Waits until an expression holds.
    pub(crate) fn wait(&mut self, expression: &str) {
        let promise = format!(
            "new Promise((done, fail) => {{ let turns = 0; const look = () => \
             ({expression}) ? done(true) : ++turns > 400 ? fail(new Error('never')) : \
             setTimeout(look, 25); look(); }})"
        );
        let held = self.evaluate(&promise);
        assert_eq!(held, json!(true), "never: {expression}");
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// Texts of all elements that a selector finds.
    pub(crate) fn texts(&mut self, selector: &str) -> Vec<String> {
        let all = format!(
            "[...document.querySelectorAll({})].map((one) => one.textContent)",
            json!(selector)
        );
        serde_json::from_value(self.evaluate(&all)).unwrap()
    }

    /// Clicks where an element is.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = format!(
            "(() => {{ const one = document.querySelector({}); \
             one.scrollIntoView({{ block: 'center' }}); const at = one.getBoundingClientRect(); \
             return [at.x + at.width / 2, at.y + at.height / 2]; }})()",
            json!(selector)
        );
        let place = self.evaluate(&place);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Types a text into what has the focus.
    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Presses Enter.
    pub(crate) fn press_enter(&mut self) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": "Enter", "code": "Enter", "text": "\r",
                "windowsVirtualKeyCode": 13,
            });
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Roles of what a person can use, with the names that a screen reader says.
    pub(crate) fn controls(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().unwrap();
        let used = ["button", "radio", "searchbox", "textbox", "meter", "link"];
        let of_use = nodes
            .iter()
            .filter(|node| used.contains(&node["role"]["value"].as_str().unwrap_or_default()));
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        of_use
            .map(|node| (text(&node["role"]), text(&node["name"])))
            .collect()
    }

    /// Writes a picture of the whole page.
    pub(crate) fn picture(&mut self, path: &Path) {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", &asked);
        let text = picture["data"].as_str().unwrap();
        let mut decoder = Command::new("base64")
            .arg("--decode")
            .stdin(Stdio::piped())
            .stdout(File::create(path).unwrap())
            .spawn()
            .unwrap();
        let mut input = decoder.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        assert!(decoder.wait().unwrap().success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session.clear();
        // It ends itself when nobody holds the other end; after a failure it may have gone already.
        let _ = self
            .to
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.child.wait();
    }
}
