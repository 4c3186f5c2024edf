//! Links and browsers that mean harm, beside hosts that do not.

use crate::agent::{Fleet, Loop};
use crate::browser;
use crate::frames;
use crate::options::Options;
use crate::report::{Figure, figure, lost};
use crate::server::{Prepared, Running};
use crate::wire::{self, Kind, Link};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Connections that never say a word.
const HALF_OPEN: usize = 500;
/// Past this the flood ends: the machine is needed.
const TOO_MUCH: u64 = 4 << 30;

/// Each kind of harm after the other: how much memory the server takes, and how long the pings
/// of good hosts take meanwhile. One host of the fleet is the one that means harm.
pub(crate) async fn run(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut fallen = 0;
    for harm in [Harm::Flood, Harm::HugeFrames, Harm::Garbage, Harm::HalfOpen, Harm::DeafBrowser] {
        let running = prepared.start()?;
        let turn = Loop::Open(options.interval());
        let fleet = Fleet::new(prepared, &running, turn, options.protocol_4_every);
        fleet.join().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        fleet.latencies.borrow_mut().clear();
        let before = running.resident_bytes()?;
        let sent = Rc::new(Cell::new(0));
        let doing = tokio::task::spawn_local({
            let task = harm.prepare(prepared, &running, &sent).await?;
            async move { task.run().await }
        });
        let most = highest(&running, options.measured()).await?;
        doing.abort();
        let [_, wait, _] = fleet.latencies.borrow_mut().summary();
        let [memory, pings, bytes] = harm.names();
        figures.push(figure(memory, "MiB", most.saturating_sub(before) as f64 / 1_048_576.0));
        figures.push(figure(pings, "ms", wait));
        figures.push(figure(bytes, "MB", sent.get() as f64 / 1e6));
        let failed = fleet.failures.borrow().len();
        // The host whose name the hostile link used was replaced: that one may fall.
        fallen += failed.saturating_sub(usize::from(harm.uses_a_host()));
    }
    figures.push(lost("good hosts", fallen));
    Ok(figures)
}

/// The most memory that the server has within some time.
async fn highest(running: &Running, length: Duration) -> anyhow::Result<u64> {
    let began = Instant::now();
    let mut most = 0;
    while began.elapsed() < length && most < TOO_MUCH {
        tokio::time::sleep(Duration::from_millis(50)).await;
        most = most.max(running.resident_bytes()?);
    }
    Ok(most)
}

#[derive(Clone, Copy)]
enum Harm {
    /// Heartbeats as fast as the socket takes them.
    Flood,
    /// Frames of almost 1 MiB, as fast as the socket takes them.
    HugeFrames,
    /// Bytes that are no frames, again and again.
    Garbage,
    /// Connections that never finish their request.
    HalfOpen,
    /// A browser that asks for everything and reads nothing.
    DeafBrowser,
}

impl Harm {
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::Flood => ["flood: memory", "flood: pings, p99", "flood: sent"],
            Self::HugeFrames => {
                ["huge frames: memory", "huge frames: pings, p99", "huge frames: sent"]
            }
            Self::Garbage => ["garbage: memory", "garbage: pings, p99", "garbage: sent"],
            Self::HalfOpen => ["half-open: memory", "half-open: pings, p99", "half-open: sent"],
            Self::DeafBrowser => {
                ["deaf browser: memory", "deaf browser: pings, p99", "deaf browser: sent"]
            }
        }
    }

    fn uses_a_host(self) -> bool {
        match self {
            Self::Flood | Self::HugeFrames => true,
            Self::Garbage | Self::HalfOpen | Self::DeafBrowser => false,
        }
    }

    async fn prepare(
        self,
        prepared: &Prepared,
        running: &Running,
        sent: &Rc<Cell<u64>>,
    ) -> anyhow::Result<Task> {
        let token = prepared.tokens.first().cloned().unwrap_or_default();
        let header = format!("Authorization: Bearer {token}\r\n");
        let link = match self {
            Self::Flood | Self::HugeFrames => {
                let from = wire::source_address(0);
                let mut link = Link::open(from, running.address, "/ws", &header).await?;
                let commit = prepared.commits.first().map_or("", String::as_str);
                let register = frames::register("host-00000", commit, 3, None);
                link.send(Kind::Text, register.as_bytes()).await?;
                Some(link)
            }
            Self::DeafBrowser => Some(browser::live(running).await?),
            Self::Garbage | Self::HalfOpen => None,
        };
        Ok(Task { harm: self, link, address: running.address, header, sent: Rc::clone(sent) })
    }
}

struct Task {
    harm: Harm,
    link: Option<Link>,
    address: std::net::SocketAddr,
    header: String,
    sent: Rc<Cell<u64>>,
}

impl Task {
    async fn run(mut self) {
        let done = match self.harm {
            Harm::Flood => {
                let frame = frames::heartbeat(&"0".repeat(40), 1, 3);
                self.repeat(frame.as_bytes(), 64).await
            }
            Harm::HugeFrames => {
                let filler = "x".repeat(1_000_000);
                let frame =
                    format!("{{\"type\":\"heartbeat\",\"payload\":{{\"filler\":\"{filler}\"}}}}");
                self.repeat(frame.as_bytes(), 1).await
            }
            Harm::DeafBrowser => self.repeat(br#"{"type":"full_state"}"#, 1).await,
            Harm::Garbage => self.garbage().await,
            Harm::HalfOpen => self.half_open().await,
        };
        if let Err(error) = done {
            eprintln!("    the hostile link ended: {error:#}");
        }
    }

    /// Sends the same frame for ever and reads nothing.
    async fn repeat(&mut self, payload: &[u8], at_once: usize) -> anyhow::Result<()> {
        let Some(link) = self.link.as_mut() else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        for _ in 0..at_once {
            wire::encode(Kind::Text, payload, &mut bytes);
        }
        loop {
            link.send_raw(&bytes).await?;
            self.sent.set(self.sent.get() + bytes.len() as u64);
            tokio::task::yield_now().await;
        }
    }

    async fn garbage(&mut self) -> anyhow::Result<()> {
        loop {
            let from = wire::source_address(0);
            let mut link = Link::open(from, self.address, "/ws", &self.header).await?;
            link.send_raw(&[0xff; 4096]).await?;
            self.sent.set(self.sent.get() + 4096);
            while link.next().await.is_ok() {}
        }
    }

    async fn half_open(&mut self) -> anyhow::Result<()> {
        let mut streams = Vec::new();
        for _ in 0..HALF_OPEN {
            let mut stream = TcpStream::connect(self.address).await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /ws HTTP/1.1\r\nHo").await?;
            self.sent.set(self.sent.get() + 20);
            streams.push(stream);
        }
        std::future::pending().await
    }
}
