//! What must not grow unnoticed, in units that do not depend on the machine or how busy it is:
//! writes, allocations, bytes and fragments. The bounds are what was measured when they were
//! set, and some room. Whoever makes something cheaper should lower them.

use super::siege::{Asked, one_pull_each};
use crate::agent::{Fleet, Loop, Phase};
use crate::browser;
use crate::options::Options;
use crate::report::{Figure, at_most, figure};
use crate::server::{Prepared, Running};
use crate::{counted::Counts, wire};
use anyhow::Context as _;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Heartbeats that are counted.
const HEARTBEATS: u64 = 3000;
/// Commands that each host had, and is given, when what they leave is counted.
const COMMANDS_BEFORE: usize = 8;
const COMMANDS_MORE: usize = 4;
/// Bytes of heartbeats that one link floods the dashboard with.
const FLOOD: usize = 32 << 20;

/// Bounds of one heartbeat. Debug builds and release builds allocate alike.
mod most {
    /// Transactions and reads. Some are the background's own: the longer the count takes, the more.
    /// A store after every heartbeat is 0.05, because they are grouped.
    pub(super) const STATEMENTS: f64 = 0.03;
    pub(super) const ALLOCATIONS: f64 = 60.0;
    pub(super) const ALLOCATED: f64 = 4000.0;
    /// With a browser that watches.
    pub(super) const FRAGMENTS: f64 = 1.0;
    pub(super) const PULSE_BYTES: f64 = 310.0;
    /// Of the page and of the list, for each host. What is not known yet is said in words.
    pub(super) const ROW_BYTES: f64 = 2600.0;
    pub(super) const OBJECT_BYTES: f64 = 3800.0;
    /// Of a host that is connected and idle: what was allocated, not what the system keeps.
    pub(super) const HOST_BYTES: f64 = 26.0 * 1024.0;
    /// What one command more leaves in memory, once a host had a few: less than the command with
    /// its lines. What all share grows by steps now and then.
    pub(super) const COMMAND_BYTES: f64 = 3072.0;
}

/// Measures all of it.
pub(crate) async fn run(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let mut figures = unwatched(prepared).await?;
    figures.extend(shown(options, prepared).await?);
    figures.push(history(prepared).await?);
    figures.push(flood(prepared).await?);
    Ok(figures)
}

/// What hosts cost while nobody looks, and what a page of them has.
async fn unwatched(prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    // One half has filled what all share: caches, pools and tables. The other half counts.
    let (hosts, half) = (prepared.tokens.len(), prepared.tokens.len() / 2);
    let part = |which| Fleet::some(prepared, &running, Loop::Closed, 0, which);
    part(0..half).join().await?;
    let half_joined = quiet(&running).await?;
    let fleet = part(half..hosts);
    fleet.join().await?;
    let all_joined = quiet(&running).await?;
    let mut figures = Vec::new();
    let of_half = all_joined.live.saturating_sub(half_joined.live) as f64;
    let per_host = of_half / (hosts - half) as f64;
    figures.push(at_most("memory per connected host", "bytes", per_host, most::HOST_BYTES));
    figures.extend(heartbeats(&fleet, &running).await?);
    figures.extend(pages(&running, hosts as f64).await?);
    Ok(figures)
}

/// Waits until nothing is allocated any more, and answers the counts then.
async fn quiet(running: &Running) -> anyhow::Result<Counts> {
    let mut last = running.counts()?;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = running.counts()?;
        // The counting itself allocates a little.
        if now.allocations < last.allocations + 50 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// Turns the closed loop for so many heartbeats, each of which was read when this is over.
async fn turn(fleet: &Rc<Fleet>, count: u64) -> anyhow::Result<u64> {
    let before = fleet.heartbeats.get();
    fleet.enter(Phase::Load);
    while fleet.heartbeats.get() < before + count {
        let failed = fleet.failures.borrow().first().cloned();
        anyhow::ensure!(failed.is_none(), "{failed:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fleet.fence().await?;
    Ok(fleet.heartbeats.get() - before)
}

/// What heartbeats of hosts whose facts do not change cost, while nobody looks.
async fn heartbeats(fleet: &Rc<Fleet>, running: &Running) -> anyhow::Result<Vec<Figure>> {
    let (writes, reads) = statements(running).await?;
    let before = quiet(running).await?;
    let count = turn(fleet, HEARTBEATS).await? as f64;
    let after = running.counts()?;
    let (more_writes, more_reads) = statements(running).await?;
    let each = |from: u64, to: u64| to.saturating_sub(from) as f64 / count;
    Ok(vec![
        at_most("transactions per heartbeat", "", (more_writes - writes) / count, most::STATEMENTS),
        at_most("reads per heartbeat", "", (more_reads - reads) / count, most::STATEMENTS),
        at_most(
            "allocations per heartbeat",
            "",
            each(before.allocations, after.allocations),
            most::ALLOCATIONS,
        ),
        at_most(
            "allocated per heartbeat",
            "bytes",
            each(before.allocated, after.allocated),
            most::ALLOCATED,
        ),
    ])
}

/// How many transactions and reads there were.
async fn statements(running: &Running) -> anyhow::Result<(f64, f64)> {
    let api = running.api();
    let answer = spawn_blocking(move || api.get("/metrics", false)).await??;
    let text = String::from_utf8(answer.body)?;
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.with_context(|| format!("/metrics has no {name}"))?;
        Ok::<f64, anyhow::Error>(number.trim().parse()?)
    };
    Ok((
        count("nixfleet_sqlite_transaction_seconds_count")?,
        count("nixfleet_sqlite_read_seconds_count")?,
    ))
}

/// Bytes of the page and of the list, for each host.
async fn pages(running: &Running, hosts: f64) -> anyhow::Result<[Figure; 2]> {
    let api = running.api();
    let loaded = spawn_blocking(move || {
        Ok::<_, anyhow::Error>([api.get("/", false)?, api.get("/api/hosts", false)?])
    });
    let [page, list] = loaded.await??;
    let text = String::from_utf8_lossy(&page.body);
    let (_, rows) = text.split_once("id=\"hosts\"").context("the page has no rows")?;
    let rows = rows.rfind("</article>").context("the page has no row")? as f64;
    Ok([
        at_most("page: bytes per host", "bytes", rows / hosts, most::ROW_BYTES),
        at_most(
            "list: bytes per host",
            "bytes",
            list.body.len() as f64 / hosts,
            most::OBJECT_BYTES,
        ),
    ])
}

/// What a browser gets for heartbeats.
async fn shown(options: &Options, prepared: &Prepared) -> anyhow::Result<[Figure; 2]> {
    let running = prepared.start()?;
    let fleet = Fleet::new(prepared, &running, Loop::Closed, options.protocol_4_every);
    fleet.join().await?;
    let seen = browser::open(1, &fleet, &running).await?;
    quiet(&running).await?;
    let (bytes, pulses) = (seen.pulse_bytes.get(), seen.pulses.get());
    let count = turn(&fleet, HEARTBEATS).await? as f64;
    // What is still to be shown is shown within a second.
    let mut last = u64::MAX;
    while last != seen.pulses.get() {
        last = seen.pulses.get();
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let pulses = (seen.pulses.get() - pulses) as f64;
    let bytes = (seen.pulse_bytes.get() - bytes) as f64;
    Ok([
        at_most("fragments per heartbeat", "", pulses / count, most::FRAGMENTS),
        at_most("bytes to a browser per fragment", "bytes", bytes / pulses, most::PULSE_BYTES),
    ])
}

/// What a command leaves in memory: its history is in SQLite.
async fn history(prepared: &Prepared) -> anyhow::Result<Figure> {
    let running = prepared.start()?;
    let fleet = Fleet::new(prepared, &running, Loop::Open(Duration::from_secs(2)), 2);
    fleet.join().await?;
    fleet.lines.set(20);
    let mut asked = Asked::default();
    for _ in 0..COMMANDS_BEFORE {
        one_pull_each(&fleet, &running, &mut asked).await?;
    }
    let before = quiet(&running).await?.live;
    for _ in 0..COMMANDS_MORE {
        one_pull_each(&fleet, &running, &mut asked).await?;
    }
    let more = quiet(&running).await?.live.saturating_sub(before) as f64;
    let each = more / (fleet.hosts.len() * COMMANDS_MORE) as f64;
    Ok(at_most("memory per further command", "bytes", each, most::COMMAND_BYTES))
}

/// How much memory one link takes that sends heartbeats as fast as it can and reads nothing.
async fn flood(prepared: &Prepared) -> anyhow::Result<Figure> {
    let running = prepared.start()?;
    let token = prepared.tokens.first().context("no host")?;
    let header = format!("Authorization: Bearer {token}\r\n");
    let from = wire::source_address(0);
    let mut link = wire::Link::open(from, running.address, "/ws", &header).await?;
    let commit = prepared.commits.first().context("no commit")?;
    let register = crate::frames::register("host-00000", commit, 3, None);
    link.send(wire::Kind::Text, register.as_bytes()).await?;
    link.next_text().await?;
    let before = running.counts()?;
    let heartbeat = crate::frames::heartbeat(commit, 1, 3);
    let mut bytes = Vec::new();
    while bytes.len() < 256 * 1024 {
        wire::encode(wire::Kind::Text, heartbeat.as_bytes(), &mut bytes);
    }
    for _ in 0..FLOOD / bytes.len() {
        link.send_raw(&bytes).await?;
    }
    let after = running.counts()?;
    let most = after.highest.saturating_sub(before.live) as f64 / 1_048_576.0;
    // The bound comes with the brake on links; until then it is told, not guarded.
    Ok(figure("memory that one link's flood takes", "MiB", most))
}
