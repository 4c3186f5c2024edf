//! Random commands, cuts, pushes and reloads for minutes. At the end nothing has piled up, and
//! everything that was started has ended.

use super::load::not_as_said;
use crate::agent::{Fleet, Loop};
use crate::browser;
use crate::options::Options;
use crate::report::{Figure, at_most, figure, lost};
use crate::server::{COMMITS, Prepared, Running, host_name};
use crate::stats::median;
use anyhow::ensure;
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// From then on memory must not grow: until then caches fill.
const SETTLED: Duration = Duration::from_secs(180);
/// How long the last commands may take. What cannot be verified is given up after 90 s.
const LAST_COMMANDS: Duration = Duration::from_secs(180);
/// Memory at the end, as a multiple of what it was when everything had settled.
const GROWTH: f64 = 1.05;
/// The same where it is over before everything can have settled.
const GROWTH_OF_A_SHORT_ONE: f64 = 1.10;
/// Files and threads that may be there at the end and were not when all had joined: readers of
/// SQLite, and threads for what blocks.
const SPARE: f64 = 40.0;
const OPERATIONS: [&str; 4] = ["pull", "test", "switch", "pull-switch"];

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count.max(1) as u64) as usize
    }
}

/// What was done.
#[derive(Default)]
struct Done {
    commands: u64,
    refused: u64,
    cuts: u64,
    pushes: usize,
    reloads: u64,
}

pub(crate) async fn run(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    let fleet = Fleet::new(prepared, &running, Loop::Open(options.interval()), 2);
    fleet.join().await?;
    fleet.comes_back.set(true);
    fleet.lines.set(20);
    let browsers = options.browsers_or(5);
    let seen = browser::open(browsers, &fleet, &running).await?;
    let (files, threads) = running.files_and_threads()?;
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    let mut dice = Dice(88_172_645_463_325_252);
    let mut done = Done::default();
    let mut memory = Memory::new(length);
    let began = Instant::now();
    while began.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(100)).await;
        trouble(&fleet, prepared, &running, &mut dice, &mut done, began).await?;
        memory.add(began.elapsed(), running.resident_bytes()?);
    }
    let ended = end_of_commands(&running).await?;
    fleet.comes_back.set(false);
    // Whoever was cut last is back by then, and has said everything once more.
    tokio::time::sleep(options.interval() * 2).await;
    let (files_then, threads_then) = running.files_and_threads()?;
    fleet.fence().await?;
    let wrong = not_as_said(&fleet, prepared, &running).await?;
    let mut figures = vec![
        figure("commands", "", done.commands as f64),
        figure("commands refused", "", done.refused as f64),
        figure("links cut", "", done.cuts as f64),
        figure("links opened", "", fleet.links.get() as f64),
        figure("pushes", "", done.pushes as f64),
        figure("pages loaded", "", done.reloads as f64),
        figure("browsers that had missed something", "", seen.gaps.get() as f64),
        at_most("more files than at the start", "", files_then as f64 - files as f64, SPARE),
        at_most("more threads than at the start", "", threads_then as f64 - threads as f64, SPARE),
        figure("database", "MiB", prepared.database_bytes() as f64 / 1_048_576.0),
        at_most("hosts that are still busy", "", ended as f64, 0.0),
        lost("hosts and browsers", wrong + seen.failures.borrow().len()),
    ];
    figures.extend(memory.figures(true));
    Ok(figures)
}

/// The memory of a dashboard over some time.
pub(super) struct Memory {
    length: Duration,
    seen: Vec<(Duration, f64)>,
}

impl Memory {
    /// So long it takes to tell what warms up from what grows.
    pub(super) const LONG: Duration = Duration::from_secs(600);

    pub(super) fn new(length: Duration) -> Self {
        Self { length, seen: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Duration, bytes: u64) {
        self.seen.push((at, bytes as f64));
    }

    pub(super) fn highest(&self) -> f64 {
        self.seen.iter().map(|(_, bytes)| *bytes).fold(0.0, f64::max)
    }

    /// What it was when everything had settled and at the end, and whether it grew; perhaps as a
    /// bound.
    pub(super) fn figures(&self, is_bound: bool) -> [Figure; 3] {
        let settled = SETTLED.min(self.length.mul_f64(0.3));
        let within = |from: Duration, to: Duration| {
            let times = self.seen.iter().filter(|(at, _)| (from..to).contains(at));
            median(&times.map(|(_, bytes)| *bytes).collect::<Vec<_>>())
        };
        let then = within(settled, settled + self.length.mul_f64(0.15));
        let at_end = within(self.length.mul_f64(0.85), self.length);
        let growth = if settled < SETTLED { GROWTH_OF_A_SHORT_ONE } else { GROWTH };
        let name = "memory at the end to when settled";
        [
            figure("memory when settled", "MiB", then / 1_048_576.0),
            figure("memory at the end", "MiB", at_end / 1_048_576.0),
            match is_bound {
                true => at_most(name, "times", at_end / then, growth),
                false => figure(name, "times", at_end / then),
            },
        ]
    }
}

/// A tenth of a second of what happens to a fleet.
async fn trouble(
    fleet: &Rc<Fleet>,
    prepared: &Prepared,
    running: &Running,
    dice: &mut Dice,
    done: &mut Done,
    began: Instant,
) -> anyhow::Result<()> {
    let hosts = fleet.hosts.len();
    let host = dice.below(hosts);
    fleet.hosts[host].cut.notify_one();
    done.cuts += 1;
    let (name, op) = (host_name(dice.below(hosts)), OPERATIONS[dice.below(OPERATIONS.len())]);
    let api = running.api();
    let asked = spawn_blocking(move || {
        api.post(&format!("/api/hosts/{name}/commands"), &json!({ "op": op }))
    });
    // Hosts that are busy or away refuse.
    match asked.await? {
        Ok(_) => done.commands += 1,
        Err(_) => done.refused += 1,
    }
    if dice.below(10) == 0 {
        let api = running.api();
        let page = spawn_blocking(move || api.get("/", true)).await??;
        ensure!(page.status == 200, "the page answered {}", page.status);
        // A browser comes, and goes again.
        let mut visitor = browser::live(running).await?;
        visitor.next_text().await?;
        done.reloads += 1;
    }
    if began.elapsed().as_secs() / 10 > done.pushes as u64 {
        let commit = prepared.push(COMMITS + done.pushes)?;
        fleet.commits.borrow_mut().push(commit);
        done.pushes += 1;
    }
    Ok(())
}

/// Waits until no host runs anything; answers how many still do.
async fn end_of_commands(running: &Running) -> anyhow::Result<usize> {
    let until = Instant::now() + LAST_COMMANDS;
    loop {
        let api = running.api();
        let told: Value = spawn_blocking(move || api.get_json("/api/hosts")).await??;
        let hosts = told.as_array().into_iter().flatten();
        let busy = |host: &&Value| {
            let waits = host["waiting_commands"].as_array().is_some_and(|list| !list.is_empty());
            !host["pending_command"].is_null() || waits
        };
        let busy = hosts.filter(busy).count();
        if busy == 0 || Instant::now() > until {
            return Ok(busy);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
