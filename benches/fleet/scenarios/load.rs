//! Heartbeats: in an open loop, in a closed loop, and with browsers that watch.

use crate::agent::{Fleet, Loop, Phase};
use crate::browser::{self, Seen};
use crate::frames;
use crate::options::Options;
use crate::report::{CPU_PER_HEARTBEAT, Figure, figure, lost};
use crate::server::{Prepared, Running};
use serde_json::Value;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long the closed loop turns before it is measured.
const WARM: Duration = Duration::from_secs(2);
/// How long the last words of hosts may take to be shown.
const SETTLE: Duration = Duration::from_secs(10);

/// What was used between two looks at the server.
struct Used {
    cpu: Duration,
    wall: Duration,
    heartbeats: u64,
}

/// Heartbeats every few seconds, whatever the server does.
pub(crate) async fn open(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    let turn = Loop::Open(options.interval());
    let fleet = Fleet::new(prepared, &running, turn, options.protocol_4_every);
    let idle = running.resident_bytes()?;
    fleet.join().await?;
    tokio::time::sleep(options.interval()).await;
    let used = measure(&fleet, &running, options.measured(), 0.0).await?;
    let resident = running.resident_bytes()?;
    let mut figures = costs(&used);
    figures.extend(memory(&fleet, prepared, idle, resident));
    figures.extend(waits(&fleet, "ping"));
    let [_, late, latest] = fleet.lateness.borrow_mut().summary();
    figures.push(figure("sent late by us, p99", "ms", late));
    figures.push(figure("sent late by us, max", "ms", latest));
    fleet.fence().await?;
    figures.push(lost("hosts", not_as_said(&fleet, prepared, &running).await?));
    Ok(figures)
}

/// Heartbeat, ping, wait for the answer, and again.
pub(crate) async fn closed(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    let fleet = Fleet::new(prepared, &running, Loop::Closed, options.protocol_4_every);
    fleet.join().await?;
    fleet.enter(Phase::Load);
    tokio::time::sleep(WARM).await;
    let used = measure(&fleet, &running, options.measured(), 0.0).await?;
    let mut figures = costs(&used);
    figures.extend(waits(&fleet, "heartbeat and ping"));
    fleet.fence().await?;
    figures.push(lost("hosts", not_as_said(&fleet, prepared, &running).await?));
    Ok(figures)
}

/// The open loop, with browsers that watch and rows that change.
pub(crate) async fn browsers(
    options: &Options,
    prepared: &Prepared,
) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    let turn = Loop::Open(options.interval());
    let fleet = Fleet::new(prepared, &running, turn, options.protocol_4_every);
    fleet.join().await?;
    tokio::time::sleep(options.interval()).await;
    let count = options.browsers_or(50);
    let seen = browser::open(count, &fleet, &running).await?;
    tokio::time::sleep(WARM).await;
    let before = Totals::of(&seen);
    seen.latencies.borrow_mut().clear();
    let used = measure(&fleet, &running, options.measured(), options.changes).await?;
    let after = Totals::of(&seen);
    fleet.fence().await?;
    let unseen = unseen_changes(&fleet).await;
    let per_browser = |more: u64| more as f64 / count.max(1) as f64;
    let seconds = used.wall.as_secs_f64();
    let mut figures = costs(&used);
    let frames = per_browser(after.frames - before.frames) / seconds;
    figures.push(figure("messages to a browser", "per s", frames));
    let bytes = per_browser(after.bytes - before.bytes);
    figures.push(figure("bytes to a browser", "KiB per s", bytes / seconds / 1024.0));
    let pulses = per_browser(after.pulses - before.pulses);
    figures.push(figure("heartbeats shown", "share", pulses / used.heartbeats as f64));
    let [middle, most, longest] = seen.latencies.borrow_mut().summary();
    figures.push(figure("change to browser, p50", "ms", middle));
    figures.push(figure("change to browser, p99", "ms", most));
    figures.push(figure("change to browser, max", "ms", longest));
    let changes = seen.latencies.borrow().count() as f64 / count.max(1) as f64;
    figures.push(figure("changes", "rows", changes));
    figures.push(figure("full states asked for", "frames", seen.gaps.get() as f64));
    let failed = seen.failures.borrow().len();
    let wrong = not_as_said(&fleet, prepared, &running).await?;
    figures.push(lost("hosts and changes", unseen + failed + wrong));
    Ok(figures)
}

/// Counters at a time.
struct Totals {
    frames: u64,
    bytes: u64,
    pulses: u64,
}

impl Totals {
    fn of(seen: &Seen) -> Self {
        Self { frames: seen.frames.get(), bytes: seen.bytes.get(), pulses: seen.pulses.get() }
    }
}

/// Waits for so long while the load goes on; so many rows change in a second.
async fn measure(
    fleet: &Rc<Fleet>,
    running: &Running,
    length: Duration,
    changes_per_second: f64,
) -> anyhow::Result<Used> {
    fleet.latencies.borrow_mut().clear();
    fleet.lateness.borrow_mut().clear();
    let (cpu, began, heartbeats) = (running.cpu()?, Instant::now(), fleet.heartbeats.get());
    let mut asked = 0;
    while began.elapsed() < length {
        let left = length.saturating_sub(began.elapsed());
        tokio::time::sleep(left.min(Duration::from_millis(50))).await;
        // The last second is left to them to arrive.
        let until = began.elapsed().min(length.saturating_sub(Duration::from_secs(1)));
        let wanted = (until.as_secs_f64() * changes_per_second) as u64;
        fleet.changes_due.set(fleet.changes_due.get() + wanted.saturating_sub(asked));
        asked = asked.max(wanted);
    }
    Ok(Used {
        cpu: running.cpu()?.saturating_sub(cpu),
        wall: began.elapsed(),
        heartbeats: fleet.heartbeats.get() - heartbeats,
    })
}

fn costs(used: &Used) -> Vec<Figure> {
    let micros = used.cpu.as_secs_f64() * 1e6 / used.heartbeats.max(1) as f64;
    let rate = used.heartbeats as f64 / used.wall.as_secs_f64();
    let share = used.cpu.as_secs_f64() / used.wall.as_secs_f64() * 100.0;
    vec![
        figure(CPU_PER_HEARTBEAT, "us", micros),
        figure("heartbeats", "per s", rate),
        figure("CPU", "% of a core", share),
    ]
}

/// Memory per host: of everything about it, and of its link alone.
fn memory(fleet: &Fleet, prepared: &Prepared, idle: u64, resident: u64) -> [Figure; 3] {
    let per_host = |from: u64| {
        let bytes = resident.saturating_sub(from) as f64;
        bytes / 1024.0 / fleet.hosts.len().max(1) as f64
    };
    [
        figure("memory per connected host", "KiB", per_host(prepared.empty_bytes)),
        figure("  without what an offline host has", "KiB", per_host(idle)),
        figure("memory of the empty process", "MiB", prepared.empty_bytes as f64 / 1_048_576.0),
    ]
}

fn waits(fleet: &Fleet, what: &'static str) -> [Figure; 3] {
    let names = match what {
        "ping" => ["ping, p50", "ping, p99", "ping, max"],
        _ => ["heartbeat and ping, p50", "heartbeat and ping, p99", "heartbeat and ping, max"],
    };
    let [middle, most, longest] = fleet.latencies.borrow_mut().summary();
    [figure(names[0], "ms", middle), figure(names[1], "ms", most), figure(names[2], "ms", longest)]
}

/// How many hosts are not shown as their last heartbeat said, though it was read.
pub(super) async fn not_as_said(
    fleet: &Fleet,
    prepared: &Prepared,
    running: &Running,
) -> anyhow::Result<usize> {
    let broken = fleet.failures.borrow().clone();
    for failure in broken.iter().take(5) {
        eprintln!("    {failure}");
    }
    if prepared.is_floor() {
        return Ok(broken.len());
    }
    let until = Instant::now() + SETTLE;
    loop {
        let api = running.api();
        let told = tokio::task::spawn_blocking(move || api.get_json("/api/hosts")).await??;
        let wrong = wrong_hosts(fleet, &told);
        if wrong == 0 || Instant::now() > until {
            return Ok(wrong + broken.len());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn wrong_hosts(fleet: &Fleet, told: &Value) -> usize {
    let mut by_name = HashMap::new();
    for host in told.as_array().into_iter().flatten() {
        by_name.insert(host["hostname"].as_str().unwrap_or_default(), host);
    }
    let mut wrong = 0;
    for host in &fleet.hosts {
        let (cpu, load) = frames::metrics(host.beats.get());
        let right = by_name.get(host.name()).is_some_and(|told| {
            let metrics = &told["metrics"];
            told["online"] == true && metrics["cpu"] == cpu && metrics["load"] == load
        });
        wrong += usize::from(!right && host.beats.get() > 0);
    }
    wrong
}

/// Changes that some browser has not shown.
async fn unseen_changes(fleet: &Fleet) -> usize {
    let until = Instant::now() + SETTLE;
    while !fleet.changes.borrow().is_empty() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut unseen = 0;
    for change in fleet.changes.borrow().values() {
        unseen += change.seen.iter().filter(|seen| !**seen).count();
    }
    unseen
}
