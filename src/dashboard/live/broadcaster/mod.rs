//! The fleet as everybody reads it, and the browsers that watch it.
//!
//! Hosts send what they look like now; this actor keeps it, counts the version up, renders
//! what changed once, and sends the same bytes to every browser. It decides nothing about
//! hosts, and renders nothing while nobody looks.

mod handlers;

use super::Attention;
use super::frame::{Fragment, Frame};
use super::missed::Missed;
use crate::dashboard::live::model::{FleetView, HostEntry, Remotes};
use crate::dashboard::live::news::CommandComplete;
use crate::dashboard::views::list::Look;
use crate::dashboard::{metrics, views};
use crate::domain::command::Command;
use crate::domain::compartment::{Compartment, Status};
use crate::domain::ids::HostId;
use crate::domain::maintenance::Maintenance;
use crate::domain::rollout::Rollout;
use crate::domain::timestamp::Timestamp;
use actix::prelude::*;
use bytestring::ByteString;
use maud::Markup;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Heartbeats are shown at most so often.
const PULSE_EVERY: Duration = Duration::from_secs(1);
/// So many news may wait here.
const MAILBOX: usize = 65_536;
/// Frames that may wait for one browser; more, and it is dropped down to a full state.
pub(crate) const QUEUE: usize = 256;

/// A browser's queue, as the broadcaster sees it.
#[derive(Clone)]
pub(crate) struct Browser {
    /// Takes frames.
    pub to: Recipient<ToBrowser>,
    /// How many frames wait for it.
    pub waiting: Arc<AtomicUsize>,
}

/// A frame for one browser.
#[derive(Message, Clone)]
#[rtype(result = "()")]
pub(crate) struct ToBrowser(pub ByteString);

/// A browser opened its live connection.
#[derive(Message)]
#[rtype(result = "usize")]
pub(crate) struct Join(pub Browser);

/// A browser is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Leave(pub usize);

/// A browser saw a gap: it gets the whole fleet.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct WantFullState(pub usize);

struct Watcher {
    browser: Browser,
    /// It was too slow: it gets nothing until there is room for a full state.
    behind: bool,
}

/// The actor.
pub(crate) struct Broadcaster {
    version: u64,
    hosts: BTreeMap<HostId, HostEntry>,
    remotes: Remotes,
    rollouts: Arc<Vec<Rollout>>,
    maintenance: Arc<Maintenance>,
    subscribers: Vec<Recipient<CommandComplete>>,
    /// What browsers were last shown of what stands around the rows.
    shown: BTreeMap<&'static str, String>,
    /// When each remote was last read.
    read_at: BTreeMap<Arc<str>, Timestamp>,
    attention: Attention,
    /// Whether news did not fit into the mailbox.
    missed: Missed,
    view: Option<Arc<FleetView>>,
    watchers: BTreeMap<usize, Watcher>,
    next_watcher: usize,
    /// How many hosts run a command.
    busy: usize,
    pulsed: BTreeSet<HostId>,
    sync_every: Duration,
}

impl Broadcaster {
    /// An empty fleet, at `now`. Browsers are told the version every `sync_every`.
    /// It says to `attention` who looks and what runs.
    pub(crate) fn new(sync_every: Duration, attention: Attention, now: Timestamp) -> Self {
        Self {
            version: first_version(now),
            hosts: BTreeMap::new(),
            remotes: Remotes::default(),
            rollouts: Arc::default(),
            maintenance: Arc::default(),
            subscribers: Vec::new(),
            shown: BTreeMap::new(),
            read_at: BTreeMap::new(),
            attention,
            missed: Missed::default(),
            view: None,
            watchers: BTreeMap::new(),
            next_watcher: 1,
            busy: 0,
            pulsed: BTreeSet::new(),
            sync_every,
        }
    }

    /// Where senders note what found no room.
    pub(super) fn missed(&self) -> Missed {
        self.missed.clone()
    }

    /// News were missed: whoever watches gets the whole state as soon as there is room.
    fn start_over(&mut self) {
        self.version += 1;
        self.view = None;
        self.shown.clear();
        for watcher in self.watchers.values_mut() {
            watcher.behind = true;
        }
        log::warn!("more news than can be kept waiting: browsers get the whole state");
    }

    fn view(&mut self) -> Arc<FleetView> {
        let make = || {
            let mut hosts = self.hosts.clone();
            for entry in hosts.values_mut() {
                entry.compared_at = compared_at(&self.read_at, entry);
            }
            let remotes = Arc::clone(&self.remotes);
            Arc::new(FleetView {
                version: self.version,
                hosts,
                remotes,
                rollouts: Arc::clone(&self.rollouts),
                maintenance: Arc::clone(&self.maintenance),
                read_at: self.read_at.clone(),
            })
        };
        Arc::clone(self.view.get_or_insert_with(make))
    }

    /// Something changed: `fill` says what browsers are shown, if there are any.
    fn change(&mut self, kind: &'static str, fill: impl FnOnce(&mut Self, &mut Frame)) {
        self.version += 1;
        self.view = None;
        if self.watchers.is_empty() {
            // Who comes next has a page of the state as it is then.
            self.shown.clear();
            return;
        }
        let mut frame = Frame::new(kind, self.version);
        fill(self, &mut frame);
        let text = frame.text();
        self.send_all(&text);
    }

    fn send_all(&mut self, text: &ByteString) {
        for watcher in self.watchers.values_mut() {
            if watcher.behind {
                continue;
            }
            // Past a gap the next `sync`, or the next frame, makes it ask for everything.
            watcher.behind = !send(&watcher.browser, text.clone());
            if watcher.behind {
                metrics::slow_browser();
            }
        }
    }

    /// What stands around the rows, by id.
    fn surroundings(&self) -> Vec<(&'static str, Markup)> {
        let heads = views::list::Heads::of(self.hosts.values());
        let all = self.hosts.len();
        let mut around = vec![
            (views::fleet::SUMMARY, views::fleet::summary(&heads, all, &Look::default())),
            (views::fleet::TARGET, views::fleet::target(&self.remotes, &self.hosts)),
            (views::rollouts::PANEL, views::rollouts::panel(&self.rollouts, &self.maintenance)),
            (views::layout::GOING, views::layout::going(views::rollouts::going_on(&self.rollouts))),
            (views::log::TABS, views::log::tabs(self.hosts.values())),
        ];
        around.extend(heads.all());
        around
    }

    /// What of that is not as browsers were last shown it.
    fn news_around(&mut self) -> Vec<Fragment> {
        let mut news = Vec::new();
        for (id, markup) in self.surroundings() {
            let html = markup.into_string();
            if self.shown.get(id) != Some(&html) {
                self.shown.insert(id, html.clone());
                news.push(Fragment { id: id.to_owned(), html, after: None });
            }
        }
        news
    }

    fn row_fragment(&self, id: &HostId) -> Option<Fragment> {
        let entry = self.hosts.get(id)?;
        let before = self.hosts.range(..id).next_back().map(|(id, _)| views::host::row_id(id));
        Some(Fragment {
            id: views::host::row_id(id),
            html: views::host::row(entry).into_string(),
            after: Some(before.unwrap_or_default()),
        })
    }

    fn full_state(&self) -> ByteString {
        let mut frame = Frame::new("full_state", self.version);
        let around = self.surroundings().into_iter();
        frame.fragments = around
            .map(|(id, markup)| Fragment {
                id: id.to_owned(),
                html: markup.into_string(),
                after: None,
            })
            .collect();
        // A row that is not among these is gone.
        frame.fragments.extend(self.hosts.keys().filter_map(|id| self.row_fragment(id)));
        frame.text()
    }

    /// Heartbeats since the last time, in one frame.
    fn send_pulses(&mut self) {
        let pulsed = std::mem::take(&mut self.pulsed);
        if self.watchers.is_empty() || pulsed.is_empty() {
            return;
        }
        let mut frame = Frame::new("host_heartbeat", self.version);
        for id in &pulsed {
            if let Some(entry) = self.hosts.get(id) {
                frame.fragments.push(Fragment {
                    id: views::host::pulse_id(id),
                    html: views::host::pulse(entry).into_string(),
                    after: None,
                });
            }
        }
        let text = frame.text();
        self.send_all(&text);
    }

    /// The tests of one host more, or less, have failed. Everybody who looks is told of more, in
    /// one note that counts; it is changed, and taken back, with its reason.
    fn count_failed_tests(&mut self, one_more: bool) {
        if self.watchers.is_empty() {
            return;
        }
        let failed = self.hosts.values().filter(|entry| has_failed_tests(entry));
        let mut names = failed.map(|entry| entry.snapshot.profile.hostname.as_str());
        let (first, others) = (names.next(), names.count());
        let mut frame = Frame::new("toast", self.version);
        frame.html = first.map(|first| views::layout::tests_failed(first, others).into_string());
        frame.key = Some("tests");
        frame.count = one_more.then_some(others + 1);
        let text = frame.text();
        self.send_all(&text);
    }

    /// Those that were too slow and have room again get everything.
    fn catch_up(&mut self) {
        let behind: Vec<usize> =
            self.watchers.iter().filter(|(_, w)| w.behind).map(|(n, _)| *n).collect();
        if behind.is_empty() {
            return;
        }
        let text = self.full_state();
        for number in behind {
            if let Some(watcher) = self.watchers.get_mut(&number)
                && watcher.browser.waiting.load(Ordering::Relaxed) == 0
            {
                watcher.behind = !send(&watcher.browser, text.clone());
            }
        }
    }
}

/// Versions count on from here. A page that was loaded from a dashboard before this one must
/// not take one of ours for its own and believe that nothing has changed: so they begin higher
/// than those of any dashboard that was started earlier and changed less than 256 times a
/// millisecond. They stay below 2^53, which a browser counts exactly.
fn first_version(now: Timestamp) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(1) << 8
}

/// How a command is, for whoever has its log open.
fn outcome_fragment(command: &Command) -> Fragment {
    let html = views::log::outcome(command).into_string();
    Fragment { id: views::log::outcome_id(command), html, after: None }
}

fn is_busy(entry: &HostEntry) -> bool {
    entry.snapshot.command.is_some()
}

fn has_failed_tests(entry: &HostEntry) -> bool {
    entry.snapshot.row[Compartment::Tests].status == Status::Error
}

/// When the remote that a host is compared with was last read.
fn compared_at(read_at: &BTreeMap<Arc<str>, Timestamp>, entry: &HostEntry) -> Option<Timestamp> {
    read_at.get(entry.snapshot.source.as_deref()?).copied()
}

/// Puts a frame into a browser's queue; false if that is full.
fn send(browser: &Browser, text: ByteString) -> bool {
    if browser.waiting.load(Ordering::Relaxed) >= QUEUE {
        return false;
    }
    browser.waiting.fetch_add(1, Ordering::Relaxed);
    // `waiting` is the bound of this queue.
    browser.to.do_send(ToBrowser(text));
    true
}

impl Actor for Broadcaster {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Reports of thousands of hosts may wait here; past that, nobody waits: see `start_over`.
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(PULSE_EVERY, |act, _| {
            if act.missed.take() {
                act.start_over();
            }
            act.watchers.retain(|_, watcher| watcher.browser.to.connected());
            act.send_pulses();
            act.catch_up();
        });
        ctx.run_interval(self.sync_every, |act, _| {
            let text = Frame::new("sync", act.version).text();
            act.send_all(&text);
        });
    }
}

/// Makes the actor panic, as a bug in it would.
#[cfg(test)]
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Panic;

#[cfg(test)]
impl Handler<Panic> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("a bug");
    }
}
