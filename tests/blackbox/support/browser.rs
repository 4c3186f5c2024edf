//! A real browser: headless Chromium, driven over WebDriver.

use super::wait_until;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tokio::runtime::Runtime;

pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    driver: Child,
    _profile: tempfile::TempDir,
}

/// A command of the driver that WebDriver itself does not have.
#[derive(Debug)]
struct Extra(&'static str, Value);

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.1.to_string()))
    }
}

/// Starts chromedriver on a port that it finds by itself; answers that port. It looks for one
/// that is free for IPv4 and then takes it for IPv6 too, so it may lose it to somebody else in
/// between and end: then it is started again.
fn start_driver() -> (Child, String) {
    loop {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed: tests/run does that");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        match port {
            Some(port) => return (driver, port),
            None => driver.wait().expect("chromedriver was ours"),
        };
    }
}

impl Browser {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (driver, port) = start_driver();
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                "--hide-scrollbars", "--window-size=1280,900",
                format!("--user-data-dir={}", profile.path().display()),
            ] },
            "goog:loggingPrefs": { "browser": "ALL" },
            // axe may take its time with a long page on a busy machine.
            "timeouts": { "script": 180_000 },
        });
        let mut builder =
            ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        let client =
            runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}"))).unwrap();
        Self { runtime, client: Some(client), driver, _profile: profile }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    fn extra(&self, path: &'static str, body: Value) -> Value {
        self.runtime.block_on(self.client().issue_cmd(Extra(path, body))).unwrap()
    }

    fn cdp(&self, cmd: &str, params: Value) -> Value {
        self.extra("goog/cdp/execute", json!({ "cmd": cmd, "params": params }))
    }

    pub fn go(&self, url: &str) {
        self.runtime.block_on(self.client().goto(url)).unwrap();
    }

    /// Goes through the login form.
    pub fn login(&self, url: &str, password: &str) {
        self.go(url);
        self.type_in("#password", password);
        self.click("button[type=submit]");
        self.wait_for("#hosts");
    }

    /// Waits for an element and types.
    #[track_caller]
    pub fn type_in(&self, css: &str, text: &str) {
        self.wait_for(css);
        self.runtime.block_on(async {
            let element = self.client().find(Locator::Css(css)).await.unwrap();
            element.send_keys(text).await.unwrap();
        });
    }

    /// Waits until an element can be clicked, and clicks it.
    #[track_caller]
    pub fn click(&self, css: &str) {
        wait_until(&format!("{css} can be clicked"), || {
            self.runtime.block_on(async {
                let element =
                    self.client().find(Locator::Css(css)).await.map_err(|e| e.to_string())?;
                if !element.is_enabled().await.map_err(|e| e.to_string())? {
                    return Err("it is disabled".to_owned());
                }
                element.click().await.map_err(|e| e.to_string())
            })
        });
    }

    /// Moves the pointer onto an element.
    #[track_caller]
    pub fn hover(&self, css: &str) {
        self.wait_for(css);
        let at = self.run(&format!(
            "const box = document.querySelector({css:?}).getBoundingClientRect();
             return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)]"
        ));
        self.pointer(&at[0], &at[1], &[]);
    }

    /// Clicks twice, at once, on whatever is at a place of the window.
    pub fn double_click_at(&self, x: i64, y: i64) {
        let press = [
            json!({ "type": "pointerDown", "button": 0 }),
            json!({ "type": "pointerUp", "button": 0 }),
        ];
        self.pointer(&json!(x), &json!(y), &[press.clone(), press].concat());
    }

    /// Presses at one place of the window, moves to another, and lets go.
    pub fn drag(&self, from: (i64, i64), to: (i64, i64)) {
        let then = [
            json!({ "type": "pointerDown", "button": 0 }),
            json!({ "type": "pointerMove", "duration": 50, "x": to.0, "y": to.1 }),
            json!({ "type": "pointerUp", "button": 0 }),
        ];
        self.pointer(&json!(from.0), &json!(from.1), &then);
    }

    fn pointer(&self, x: &Value, y: &Value, then: &[Value]) {
        let to = json!({ "type": "pointerMove", "duration": 0, "x": x, "y": y });
        let steps = [&[to], then].concat();
        let action = json!({ "type": "pointer", "id": "mouse", "actions": steps,
            "parameters": { "pointerType": "mouse" } });
        self.extra("actions", json!({ "actions": [action] }));
    }

    /// Chooses an option of a list by what it says.
    #[track_caller]
    pub fn choose(&self, css: &str, label: &str) {
        self.wait_for(css);
        self.runtime.block_on(async {
            let list = self.client().find(Locator::Css(css)).await.unwrap();
            list.select_by_label(label).await.unwrap();
        });
    }

    /// Waits until what answers keys is loaded: the first sign of a hand loads it.
    fn has_hands(&self) {
        wait_until("hands are there", || {
            let asks = "if (typeof handy === 'undefined' || handy) return true; need('hands'); return false";
            if self.run(asks) == true { Ok(()) } else { Err("not yet") }
        });
    }

    /// Presses a key, as WebDriver names it, wherever the focus is.
    pub fn press(&self, key: &str) {
        self.has_hands();
        let chord = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [
            { "type": "keyDown", "value": key }, { "type": "keyUp", "value": key },
        ] }] });
        self.extra("actions", chord);
    }

    /// Presses a key while Control is held.
    pub fn chord(&self, key: &str) {
        self.hold("\u{e009}", key);
    }

    /// Presses a key while Shift is held.
    pub fn shift(&self, key: &str) {
        self.hold("\u{e008}", key);
    }

    /// Goes back to the focus before.
    pub fn shift_tab(&self) {
        self.shift("\u{e004}");
    }

    fn hold(&self, held: &str, key: &str) {
        self.has_hands();
        let chord = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [
            { "type": "keyDown", "value": held }, { "type": "keyDown", "value": key },
            { "type": "keyUp", "value": key }, { "type": "keyUp", "value": held },
        ] }] });
        self.extra("actions", chord);
    }

    /// Asserts that the page shows what it would show if it were loaded now: every element
    /// with an id, but for what the page itself adds.
    #[track_caller]
    pub fn assert_true(&self) {
        wait_until("the page is what a fresh one would be", || {
            let different = self.run_async(
                "const done = arguments[0]; const path = location.href;
                const text = await (await fetch(path)).text();
                const fresh = new DOMParser().parseFromString(text, 'text/html');
                const clean = (node) => {
                    const copy = node.cloneNode(true);
                    for (const one of [copy, ...copy.querySelectorAll('*')]) {
                        if (one.localName === 'time') { one.removeAttribute('title'); one.textContent = ''; }
                        for (const name of ['aria-busy', 'aria-current', 'aria-expanded', 'aria-disabled', 'open', 'hidden'])
                            one.removeAttribute(name);
                        for (const { name, value } of [...one.attributes].sort((a, b) => a.name < b.name ? -1 : 1)) {
                            one.removeAttribute(name);
                            one.setAttribute(name, value);
                        }
                        if (one.id.startsWith('pulse-')) one.replaceChildren();
                        if (one.dataset.online === 'stale') one.dataset.online = 'true';
                        // Order waits for the pointer to leave.
                        if (one.id === 'hosts')
                            one.replaceChildren(...[...one.children].sort((a, b) => a.id < b.id ? -1 : 1));
                    }
                    copy.removeAttribute('data-version');
                    return copy.outerHTML;
                };
                for (const id of ['fleet-summary', 'fleet-target', 'rollouts', 'hosts', 'log-tabs', 'host-page', 'rollouts-page']) {
                    const [now, then] = [document.getElementById(id), fresh.getElementById(id)];
                    if (!now && !then) continue;
                    if (!now || !then || clean(now) !== clean(then))
                        return done([id, now && clean(now), then && clean(then)].join(' | '));
                }
                // What stands in the head.
                const [count, counted] = [document, fresh].map((page) => page.getElementById('going')?.textContent);
                if (count !== counted) return done('going | ' + count + ' | ' + counted);
                // The same log has the same lines, as far as both show them, and the same outcome.
                const [log, logged] = [document, fresh].map((page) => page.getElementById('log-lines'));
                if (log && logged && log.dataset.command === logged.dataset.command && !('search' in log.dataset)) {
                    const told = (page) => page.getElementById('log-outcome').textContent.split(' · ')[0];
                    if (told(document) !== told(fresh)) return done('outcome | ' + told(document) + ' | ' + told(fresh));
                    const lines = (box) => new Map([...box.querySelectorAll('.line')].map((line) => [line.dataset.seq, line.textContent]));
                    const [now, then] = [lines(log), lines(logged)], first = +([...now.keys()][0] ?? 0);
                    for (const [seq, text] of then)
                        if (+seq >= first && now.get(seq) !== text) return done(['log', seq, now.get(seq), text].join(' | '));
                }
                // One note at most, and none of what is not so.
                const notes = [...document.querySelectorAll('#toasts > *')];
                if (notes.length > 1) return done('notes | ' + notes.length);
                if (notes[0]?.dataset.key === 'tests' && !fresh.querySelector('[data-compartment=tests][data-status=error]'))
                    return done('note | ' + notes[0].textContent);
                done('');",
            );
            if different == "" { Ok(()) } else { Err(different) }
        });
    }

    /// Runs a script that calls `arguments[0]` with its answer.
    pub fn run_async(&self, script: &str) -> Value {
        let script = format!("(async function () {{ {script} }}).apply(null, arguments)");
        self.runtime.block_on(self.client().execute_async(&script, Vec::new())).unwrap()
    }

    /// What axe-core finds that is serious or worse on the page as it is.
    pub fn axe(&self) -> Vec<String> {
        self.axe_of("impact === 'serious' || impact === 'critical'")
    }

    /// Everything that axe-core finds on the page as it is.
    pub fn axe_whole(&self) -> Vec<String> {
        self.axe_of("true")
    }

    fn axe_of(&self, wanted: &str) -> Vec<String> {
        const AXE: &str = include_str!("../../vendor/axe-core-4.14.1.min.js");
        self.run(AXE);
        let found = self.run_async(&format!(
            "const done = arguments[0];
            const {{ violations }} = await axe.run(document, {{ resultTypes: ['violations'] }});
            done(violations.filter(({{ impact }}) => {wanted})
                .map(({{ id, nodes }}) => id + ': ' + nodes.slice(0, 5).map((n) => n.html.slice(0, 200)
                    + ' ' + n.any.map((a) => a.message).join(' ')).join(' | ')));",
        ));
        let found = found.as_array().cloned().unwrap_or_default();
        found.iter().map(|one| one.as_str().unwrap_or("?").to_owned()).collect()
    }

    #[track_caller]
    pub fn wait_for(&self, css: &str) {
        wait_until(&format!("{css} is there"), || {
            let found = self.run(&format!("return document.querySelector({css:?}) !== null"));
            if found == true { Ok(()) } else { Err(self.text("body")) }
        });
    }

    /// Waits until an element's text contains something.
    #[track_caller]
    pub fn wait_for_text(&self, css: &str, text: &str) {
        wait_until(&format!("{css} says {text:?}"), || {
            let now = self.text(css);
            if now.contains(text) { Ok(()) } else { Err(now) }
        });
    }

    /// Waits until the strip counts so many hosts in a group.
    #[track_caller]
    pub fn wait_for_count(&self, group: &str, n: usize) {
        self.wait_for_text(&format!("#fleet-summary [data-show={group:?}] b"), &n.to_string());
    }

    /// Asks a host for something: by its row's next step, or by its menu.
    #[track_caller]
    pub fn ask(&self, host: &str, op: &str) {
        // Its row, or its page.
        let at = format!(":is(#host-{host}, #host-page[data-host={host}])");
        let next = format!("{at} :is(.do, .actions) [data-op={op}]");
        self.wait_for(&at);
        // A button that has just changed its meaning does nothing for half a second.
        wait_until(&format!("the row of {host} is no trap"), || {
            let settled = format!(
                "return [...document.querySelectorAll('{at} .do')].every((one) => !(one.changed > performance.now() - 500))"
            );
            if self.run(&settled) == true { Ok(()) } else { Err("it has just changed") }
        });
        if self.run(&format!("return document.querySelector({next:?}) !== null")) == true {
            return self.click(&next);
        }
        self.click(&format!("{at} [data-op=menu]"));
        self.click(&format!("#dialogs [data-op={op}]"));
    }

    pub fn text(&self, css: &str) -> String {
        let script = format!("return document.querySelector({css:?})?.innerText ?? ''");
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    pub fn run(&self, script: &str) -> Value {
        self.runtime.block_on(self.client().execute(script, Vec::new())).unwrap()
    }

    /// The five statuses of a row as the page shows them.
    pub fn row(&self, host: &str) -> String {
        let script = format!(
            "return [...document.querySelectorAll(':is(#host-{host}, #host-page[data-host={host}]) [data-compartment]')]\
             .map(cell => cell.dataset.status).join(' ')"
        );
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn wait_for_row(&self, host: &str, row: &str) {
        wait_until(&format!("the page shows {host} as {row}"), || {
            let now = self.row(host);
            if now == row { Ok(()) } else { Err(now) }
        });
    }

    /// What the browser complained about since the last time: scripts, policy, network.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.extra("se/log", json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["message"].as_str().unwrap_or("?").to_owned()).collect()
    }

    /// Pretends to be a screen.
    pub fn screen(&self, width: u32, height: u32, dark: bool) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
        // Colours that are on their way to others are none of either look.
        self.run("for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish()");
    }

    /// Pretends that answers take so long, or do not come at all.
    pub fn network(&self, latency_ms: u32, offline: bool) {
        self.cdp("Network.enable", json!({}));
        let conditions = json!({ "offline": offline, "latency": latency_ms,
            "downloadThroughput": -1, "uploadThroughput": -1 });
        self.cdp("Network.emulateNetworkConditions", conditions);
    }

    /// Pretends that the user asked for something of the system: `forced-colors`, `active`.
    pub fn prefers(&self, feature: &str, value: &str) {
        let feature = json!({ "name": feature, "value": value });
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// Milliseconds that the page's main thread has worked, since this was asked for the first
    /// time. It is time of the processor: a machine with other work makes it no longer.
    pub fn worked(&self) -> f64 {
        self.cdp("Performance.enable", json!({ "timeDomain": "threadTicks" }));
        let told = self.cdp("Performance.getMetrics", json!({}));
        let metrics = told["metrics"].as_array().unwrap();
        let tasks = metrics.iter().find(|metric| metric["name"] == "TaskDuration").unwrap();
        tasks["value"].as_f64().unwrap() * 1000.0
    }

    /// Pretends to be in another time zone.
    pub fn zone(&self, name: &str) {
        self.cdp("Emulation.setTimezoneOverride", json!({ "timezoneId": name }));
    }

    /// Shows what would be printed.
    pub fn print_view(&self, on: bool) {
        let media = if on { "print" } else { "" };
        self.cdp("Emulation.setEmulatedMedia", json!({ "media": media }));
    }

    /// Writes a picture into `NIXFLEET_TEST_PICTURES`, where that is set.
    pub fn picture(&self, name: &str) {
        let Some(dir) = std::env::var_os("NIXFLEET_TEST_PICTURES").map(PathBuf::from) else {
            return;
        };
        fs::create_dir_all(&dir).unwrap();
        let png = self.runtime.block_on(self.client().screenshot()).unwrap();
        fs::write(dir.join(format!("{name}.png")), png).unwrap();
    }

    /// The same page light and dark, wide and narrow.
    pub fn pictures(&self, name: &str) {
        for (size, width, height) in [("wide", 1280, 900), ("narrow", 390, 844)] {
            for dark in [false, true] {
                self.screen(width, height, dark);
                let look = if dark { "dark" } else { "light" };
                self.picture(&format!("{name}-{size}-{look}"));
            }
        }
        self.screen(1280, 900, false);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(client.close());
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
