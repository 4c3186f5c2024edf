//! Simulated agents.

use crate::frames;
use crate::server::{COMMITS, Prepared, Running, host_name};
use crate::stats::Latencies;
use crate::wire::{self, Frame, Kind, Link};
use anyhow::{Context as _, bail};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, watch};

/// As 3.x agents do.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How many connect at once.
const CONNECTING: usize = 64;
/// Agents of protocol 4 leave no more than this unacknowledged.
const UNACKED_LINES: u64 = 8000;
/// Lines of one `output_batch`; with [`LINE`] some 50 KiB.
const BATCH_LINES: u64 = 500;
/// A line of output of usual length.
const LINE: &str =
    "copying path '/nix/store/00000000000000000000000000000000-some-package-1.2.3' ...";

/// What all agents shall do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connect; in the open loop send heartbeats too.
    Join,
    /// The closed loop turns.
    Load,
    /// Send nothing more but a last ping: its answer says that all before it was read.
    Fence,
}

/// How agents send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loop {
    /// A heartbeat every so often.
    Open(Duration),
    /// Heartbeat, ping, wait for the answer, and again.
    Closed,
}

/// One simulated host, as everybody here sees it.
pub(crate) struct Host {
    name: String,
    token: String,
    protocol: u32,
    /// Heartbeats so far. The last one's number is in its metrics.
    pub(crate) beats: Cell<u64>,
    /// Which commit it is at.
    commit: Cell<usize>,
    /// Its link breaks now.
    pub(crate) cut: Notify,
    /// The job whose outcome the dashboard has not acknowledged.
    job: RefCell<Option<Job>>,
}

/// A command that an agent of protocol 4 has carried out.
#[derive(Clone)]
struct Job {
    id: String,
    op: String,
    lines: u64,
}

impl Host {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// A row that was made to change.
pub(crate) struct Change {
    /// How the commit begins that its row must show.
    pub(crate) short: String,
    pub(crate) sent: Instant,
    /// Which browsers have shown it.
    pub(crate) seen: Vec<bool>,
}

/// The simulated hosts and what they count.
pub(crate) struct Fleet {
    address: SocketAddr,
    turn: Loop,
    /// Of the repository that everybody follows, oldest first.
    pub(crate) commits: RefCell<Vec<String>>,
    pub(crate) hosts: Vec<Host>,
    phase: watch::Sender<Phase>,
    connecting: Semaphore,
    epoch: Instant,
    pub(crate) joined: Cell<usize>,
    pub(crate) fenced: Cell<usize>,
    pub(crate) heartbeats: Cell<u64>,
    pub(crate) failures: RefCell<Vec<String>>,
    /// Links that break are opened again instead of being a failure.
    pub(crate) comes_back: Cell<bool>,
    pub(crate) links: Cell<u64>,
    /// Of pings; in the closed loop of heartbeats with their ping.
    pub(crate) latencies: RefCell<Latencies>,
    /// How much later than planned heartbeats were sent: this program's own slowness.
    pub(crate) lateness: RefCell<Latencies>,
    /// Rows that shall change with the next heartbeats.
    pub(crate) changes_due: Cell<u64>,
    /// The changes that browsers must show, by the host's number.
    pub(crate) changes: RefCell<HashMap<usize, Change>>,
    pub(crate) browsers: Cell<usize>,
    /// When a command came, by its id.
    pub(crate) commands: RefCell<HashMap<String, Instant>>,
    /// How many lines of output a command has.
    pub(crate) lines: Cell<u64>,
}

impl Fleet {
    /// All hosts, with what they need to join.
    pub(crate) fn new(
        prepared: &Prepared,
        running: &Running,
        turn: Loop,
        protocol_4_every: usize,
    ) -> Rc<Self> {
        Self::some(prepared, running, turn, protocol_4_every, 0..prepared.tokens.len())
    }

    /// Those hosts only.
    pub(crate) fn some(
        prepared: &Prepared,
        running: &Running,
        turn: Loop,
        protocol_4_every: usize,
        which: Range<usize>,
    ) -> Rc<Self> {
        let mut hosts = Vec::with_capacity(which.len());
        for (n, token) in prepared.tokens.iter().enumerate() {
            if !which.contains(&n) {
                continue;
            }
            let newer = protocol_4_every > 0 && n % protocol_4_every == 0;
            hosts.push(Host {
                name: host_name(n),
                token: token.clone(),
                protocol: if newer { 4 } else { 3 },
                beats: Cell::new(0),
                commit: Cell::new(n % COMMITS),
                cut: Notify::new(),
                job: RefCell::default(),
            });
        }
        Rc::new(Self {
            address: running.address,
            turn,
            commits: RefCell::new(prepared.commits.clone()),
            hosts,
            phase: watch::channel(Phase::Join).0,
            connecting: Semaphore::new(CONNECTING),
            epoch: Instant::now(),
            joined: Cell::new(0),
            fenced: Cell::new(0),
            heartbeats: Cell::new(0),
            failures: RefCell::default(),
            comes_back: Cell::new(false),
            links: Cell::new(0),
            latencies: RefCell::default(),
            lateness: RefCell::default(),
            changes_due: Cell::new(0),
            changes: RefCell::default(),
            browsers: Cell::new(0),
            commands: RefCell::default(),
            lines: Cell::new(0),
        })
    }

    /// Starts all agents and waits until they are registered.
    pub(crate) async fn join(self: &Rc<Self>) -> anyhow::Result<()> {
        for n in 0..self.hosts.len() {
            let fleet = Rc::clone(self);
            tokio::task::spawn_local(async move {
                while let Err(error) = Agent::live(&fleet, n).await {
                    if !fleet.comes_back.get() {
                        let name = &fleet.hosts[n].name;
                        fleet.failures.borrow_mut().push(format!("{name}: {error:#}"));
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100 + n as u64 % 400)).await;
                }
            });
        }
        self.wait_for("all agents are registered", |fleet| fleet.joined.get()).await
    }

    /// Lets everybody say a last word, and waits until the server has read it.
    pub(crate) async fn fence(&self) -> anyhow::Result<()> {
        self.phase.send_replace(Phase::Fence);
        self.wait_for("the last pings are answered", |fleet| fleet.fenced.get()).await
    }

    pub(crate) fn commit_of(&self, host: &Host) -> String {
        self.commits.borrow()[host.commit.get()].clone()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    async fn wait_for(&self, what: &str, count: impl Fn(&Self) -> usize) -> anyhow::Result<()> {
        let mut last = (0, Instant::now());
        while count(self) < self.hosts.len() {
            let failed = self.failures.borrow().first().cloned();
            if let Some(failed) = failed {
                bail!("until {what}: {failed}");
            }
            if count(self) > last.0 {
                last = (count(self), Instant::now());
            }
            if last.1.elapsed() > Duration::from_secs(60) {
                bail!("waited in vain until {what}: {} of {}", last.0, self.hosts.len());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

struct Agent<'a> {
    fleet: &'a Fleet,
    n: usize,
    host: &'a Host,
    link: Link,
    pinged: Option<Instant>,
}

impl<'a> Agent<'a> {
    async fn live(fleet: &'a Fleet, n: usize) -> anyhow::Result<()> {
        let host = &fleet.hosts[n];
        let place = fleet.connecting.acquire().await?;
        let header = format!("Authorization: Bearer {}\r\n", host.token);
        let from = wire::source_address(n);
        let mut link = Link::open(from, fleet.address, "/ws", &header).await?;
        let job = host.job.borrow().clone();
        let told = job.as_ref().map(|job| (job.id.as_str(), job.op.as_str(), job.lines));
        let register = frames::register(&host.name, &fleet.commit_of(host), host.protocol, told);
        link.send(Kind::Text, register.as_bytes()).await?;
        let answer = link.next_text().await.context("waiting for `registered`")?;
        let registered = frames::kind_of(&answer).is_some_and(|kind| kind == "registered");
        anyhow::ensure!(registered, "answered {}", String::from_utf8_lossy(&answer));
        drop(place);
        if fleet.joined.get() < fleet.hosts.len() {
            fleet.joined.set(fleet.joined.get() + 1);
        }
        fleet.links.set(fleet.links.get() + 1);
        let mut agent = Self { fleet, n, host, link, pinged: None };
        if let Some(job) = job {
            let stored = frames::resume(&answer, &job.id);
            agent.report(&job, stored).await?;
        }
        match fleet.turn {
            Loop::Open(interval) => agent.open_loop(interval).await?,
            Loop::Closed => agent.closed_loop().await?,
        }
        agent.last_ping().await
    }

    async fn open_loop(&mut self, interval: Duration) -> anyhow::Result<()> {
        // Hosts are spread over the interval, each at a place of its own.
        let share = self.n as f64 / self.fleet.hosts.len() as f64;
        let mut beat_at = self.fleet.epoch + interval.mul_f64(share);
        while beat_at < Instant::now() {
            beat_at += interval;
        }
        let mut ping_at = beat_at + interval / 2;
        let mut phase = self.fleet.phase.subscribe();
        while *phase.borrow_and_update() != Phase::Fence {
            tokio::select! {
                frame = self.link.next() => self.hear(frame?).await?,
                () = tokio::time::sleep_until(beat_at.into()) => {
                    self.fleet.lateness.borrow_mut().add(beat_at.elapsed());
                    self.beat(false).await?;
                    beat_at += interval;
                }
                () = tokio::time::sleep_until(ping_at.into()) => {
                    self.pinged = Some(Instant::now());
                    self.link.send(Kind::Ping, b"").await?;
                    ping_at += PING_EVERY;
                }
                () = self.host.cut.notified() => bail!("the link was cut"),
                changed = phase.changed() => changed?,
            }
        }
        Ok(())
    }

    async fn closed_loop(&mut self) -> anyhow::Result<()> {
        let mut phase = self.fleet.phase.subscribe();
        phase.wait_for(|phase| *phase != Phase::Join).await?;
        while *phase.borrow() != Phase::Fence {
            let began = Instant::now();
            self.beat(true).await?;
            self.pinged = Some(began);
            while self.pinged.is_some() {
                let frame = self.link.next().await?;
                self.hear(frame).await?;
            }
        }
        Ok(())
    }

    async fn last_ping(&mut self) -> anyhow::Result<()> {
        while self.pinged.is_some() {
            let frame = self.link.next().await?;
            self.hear(frame).await?;
        }
        self.link.send(Kind::Ping, b"last").await?;
        loop {
            let frame = self.link.next().await?;
            if frame.kind == Kind::Pong {
                break;
            }
            self.hear(frame).await?;
        }
        self.fleet.fenced.set(self.fleet.fenced.get() + 1);
        // The link stays open until everything was looked at.
        loop {
            let frame = self.link.next().await?;
            self.hear(frame).await?;
        }
    }

    /// One heartbeat, perhaps with a ping in the same packet.
    async fn beat(&mut self, and_ping: bool) -> anyhow::Result<()> {
        let number = self.host.beats.get() + 1;
        self.host.beats.set(number);
        self.change();
        let commit = self.fleet.commit_of(self.host);
        let heartbeat = frames::heartbeat(&commit, number, self.host.protocol);
        let mut bytes = Vec::with_capacity(heartbeat.len() + 32);
        wire::encode(Kind::Text, heartbeat.as_bytes(), &mut bytes);
        if and_ping {
            wire::encode(Kind::Ping, b"", &mut bytes);
        }
        self.link.send_raw(&bytes).await?;
        self.fleet.heartbeats.set(self.fleet.heartbeats.get() + 1);
        Ok(())
    }

    /// Moves to another commit, if some row shall change.
    fn change(&self) {
        let mut changes = self.fleet.changes.borrow_mut();
        let due = self.fleet.changes_due.get();
        if due == 0 || changes.contains_key(&self.n) {
            return;
        }
        self.fleet.changes_due.set(due - 1);
        let next = (self.host.commit.get() + 1) % COMMITS;
        self.host.commit.set(next);
        let short = self.fleet.commits.borrow()[next][..7].to_owned();
        let seen = vec![false; self.fleet.browsers.get()];
        changes.insert(self.n, Change { short, sent: Instant::now(), seen });
    }

    async fn hear(&mut self, frame: Frame) -> anyhow::Result<()> {
        match frame.kind {
            Kind::Ping => self.link.send(Kind::Pong, &frame.payload).await?,
            Kind::Pong => {
                if let Some(pinged) = self.pinged.take() {
                    self.fleet.latencies.borrow_mut().add(pinged.elapsed());
                }
            }
            Kind::Close => bail!("closed: {}", wire::close_reason(&frame.payload)),
            Kind::Text => self.obey(&frame.payload).await?,
        }
        Ok(())
    }

    /// A command is accepted, prints what it shall print, and succeeds.
    async fn obey(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let came = Instant::now();
        if let Some(seq) = frames::ack(frame) {
            let mut job = self.host.job.borrow_mut();
            if job.as_ref().is_some_and(|job| seq > job.lines) {
                *job = None;
            }
            return Ok(());
        }
        let Some((op, id)) = frames::command(frame) else {
            return Ok(());
        };
        if op == "pull" {
            self.host.commit.set(self.fleet.commits.borrow().len() - 1);
        }
        let Some(id) = id else {
            let status = frames::old_status(&op);
            return Ok(self.link.send(Kind::Text, status.as_bytes()).await?);
        };
        self.fleet.commands.borrow_mut().insert(id.clone(), came);
        let accepted = frames::accepted(&id);
        self.link.send(Kind::Text, accepted.as_bytes()).await?;
        let job = Job { id, op, lines: self.fleet.lines.get() };
        *self.host.job.borrow_mut() = Some(job.clone());
        self.report(&job, 0).await
    }

    /// Sends what the dashboard has not stored of a job.
    async fn report(&mut self, job: &Job, stored: u64) -> anyhow::Result<()> {
        if stored > job.lines {
            *self.host.job.borrow_mut() = None;
            return Ok(());
        }
        let (mut acked, mut sent) = (stored, stored);
        while sent < job.lines {
            let count = BATCH_LINES.min(job.lines - sent);
            let batch = frames::batch(&job.id, sent + 1, count, LINE);
            self.link.send(Kind::Text, batch.as_bytes()).await?;
            sent += count;
            while sent - acked > UNACKED_LINES {
                let text = self.link.next_text().await?;
                acked = frames::ack(&text).unwrap_or(acked);
            }
        }
        let status = frames::status(&job.id, &job.op, job.lines + 1);
        self.link.send(Kind::Text, status.as_bytes()).await?;
        Ok(())
    }
}
