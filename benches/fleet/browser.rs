//! Simulated browsers: they read `/live` as the page's script does, and compare.

use crate::agent::Fleet;
use crate::server::Running;
use crate::stats::Latencies;
use crate::wire::{Kind, Link, source_address};
use anyhow::Context as _;
use serde::Deserialize;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What all browsers saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) joined: Cell<usize>,
    pub(crate) frames: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
    /// Heartbeats that were shown.
    pub(crate) pulses: Cell<u64>,
    /// Bytes of the messages that showed them.
    pub(crate) pulse_bytes: Cell<u64>,
    /// Lines of output that were shown.
    pub(crate) lines: Cell<u64>,
    /// How often one had missed something and asked for everything.
    pub(crate) gaps: Cell<u64>,
    /// From the heartbeat that changed a row to the browser that shows it.
    pub(crate) latencies: RefCell<Latencies>,
    pub(crate) failures: RefCell<Vec<String>>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(default)]
    version: u64,
    #[serde(default, borrow)]
    fragments: Vec<Fragment<'a>>,
    #[serde(default)]
    count: u64,
}

#[derive(Deserialize)]
struct Fragment<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    html: Cow<'a, str>,
}

/// Adds to a counter.
fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

/// Opens so many browsers, and waits until each has its first message.
pub(crate) async fn open(
    count: usize,
    fleet: &Rc<Fleet>,
    running: &Running,
) -> anyhow::Result<Rc<Seen>> {
    let seen = Rc::new(Seen::default());
    fleet.browsers.set(count);
    for n in 0..count {
        let (fleet, seen_here) = (Rc::clone(fleet), Rc::clone(&seen));
        let link = live(running).await?;
        tokio::task::spawn_local(async move {
            let mut browser = Browser { n, fleet, seen: seen_here, link, version: 0 };
            if let Err(error) = browser.watch().await {
                browser.seen.failures.borrow_mut().push(format!("browser {n}: {error:#}"));
            }
        });
    }
    while seen.joined.get() < count {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let failed = seen.failures.borrow().first().cloned();
        anyhow::ensure!(failed.is_none(), "{failed:?}");
    }
    Ok(seen)
}

/// Opens a live connection as a page does.
pub(crate) async fn live(running: &Running) -> anyhow::Result<Link> {
    let session = running.session.as_ref().context("nobody is logged in")?;
    let address = running.address;
    let headers = format!("Origin: http://{address}\r\nCookie: {}\r\n", session.cookie);
    Link::open(source_address(0), address, "/live", &headers).await
}

struct Browser {
    n: usize,
    fleet: Rc<Fleet>,
    seen: Rc<Seen>,
    link: Link,
    version: u64,
}

impl Browser {
    async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            let text = self.link.next_text().await?;
            add(&self.seen.frames, 1);
            add(&self.seen.bytes, text.len() as u64);
            let frame: Frame<'_> = serde_json::from_slice(&text)?;
            if frame.r#type == "host_heartbeat" {
                add(&self.seen.pulse_bytes, text.len() as u64);
            }
            if self.receive(&frame) {
                add(&self.seen.gaps, 1);
                self.link.send(Kind::Text, br#"{"type":"full_state"}"#).await?;
            }
        }
    }

    /// Takes a message in. True if something is missing and everything must be asked for.
    fn receive(&mut self, frame: &Frame<'_>) -> bool {
        match &*frame.r#type {
            "init" => {
                self.seen.joined.set(self.seen.joined.get() + 1);
                self.version = frame.version;
                return false;
            }
            "sync" => return frame.version != self.version,
            "full_state" => {
                self.version = frame.version;
                self.all_is_shown();
                return false;
            }
            "host_heartbeat" => {
                add(&self.seen.pulses, frame.fragments.len() as u64);
                return false;
            }
            "toast" => return false,
            "command_output" => add(&self.seen.lines, frame.count),
            _ => {}
        }
        for fragment in &frame.fragments {
            self.row(fragment);
        }
        let gap = self.version + 1 < frame.version;
        self.version = frame.version.max(self.version);
        gap
    }

    /// A row: perhaps one that was made to change.
    fn row(&self, fragment: &Fragment<'_>) {
        let number = fragment.id.strip_prefix("host-host-").and_then(|n| n.parse::<usize>().ok());
        let Some(number) = number else {
            return;
        };
        let mut changes = self.fleet.changes.borrow_mut();
        let Some(change) = changes.get_mut(&number) else {
            return;
        };
        if !fragment.html.contains(&change.short) {
            return;
        }
        if !std::mem::replace(&mut change.seen[self.n], true) {
            self.seen.latencies.borrow_mut().add(change.sent.elapsed());
        }
        if change.seen.iter().all(|seen| *seen) {
            changes.remove(&number);
        }
    }

    /// The whole fleet was shown, as it is.
    fn all_is_shown(&self) {
        let mut changes = self.fleet.changes.borrow_mut();
        for change in changes.values_mut() {
            change.seen[self.n] = true;
        }
        changes.retain(|_, change| change.seen.iter().any(|seen| !seen));
    }
}
