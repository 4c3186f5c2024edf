//! Ten hosts that mean harm among many that do not: the good ones' rows stay true, their commands
//! are carried out, users get answers, and memory does not grow.

use super::load::not_as_said;
use super::soak::Memory;
use crate::agent::{Fleet, Loop};
use crate::harm::{Harm, Hostile};
use crate::options::Options;
use crate::report::{Figure, at_most, figure, lost};
use crate::server::{COMMITS, Prepared, Running, host_name};
use crate::stats::Latencies;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// Between two commands.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Between two pages of the whole fleet.
const PAGE_EVERY: Duration = Duration::from_secs(5);
/// Between two pushes.
const PUSH_EVERY: Duration = Duration::from_secs(20);
/// How long the last commands may take.
const LAST_COMMANDS: Duration = Duration::from_secs(180);
/// The most memory that each hostile host may take at any moment.
const MIB_EACH: f64 = 4.0;
/// How long 99 of 100 answers about one host may take, in a release build on a machine that does
/// nothing else. A short siege is for any build and any machine: there it is told.
const ANSWER_WITHIN_MS: f64 = 1000.0;

/// A pull, and which of the pushed commits was the last when it was asked for.
pub(super) struct Pull {
    id: String,
    head: usize,
}

/// What was asked for, and how long answers took.
#[derive(Default)]
pub(super) struct Asked {
    commands: Vec<Pull>,
    refused: u64,
    pushes: usize,
    pages: u64,
    answers: Latencies,
    page_answers: Latencies,
}

pub(crate) async fn run(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    let hosts = prepared.tokens.len();
    let good = hosts.checked_sub(Harm::ALL.len()).filter(|good| *good > 1);
    let good = good.context("--hosts: expected at least 12, ten of which mean harm")?;
    let fleet = Fleet::some(prepared, &running, Loop::Open(options.interval()), 2, 0..good);
    fleet.join().await?;
    fleet.lines.set(20);
    let empty = running.resident_bytes()? as f64;
    let mut asked = Asked::default();
    one_pull_each(&fleet, &running, &mut asked).await?;
    let before = running.resident_bytes()? as f64;
    let named = |(n, harm)| (host_name(n), prepared.tokens[n].clone(), harm);
    let harm = (good..hosts).zip(options.harm());
    let hostile = Hostile::begin(running.address, harm.map(named).collect())?;
    let known = Arc::clone(&hostile.known);
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    let mut memory = Memory::new(length);
    fleet.latencies.borrow_mut().clear();
    asked.answers = Latencies::default();
    let began = Instant::now();
    let mut page_at = began;
    while began.elapsed() < length {
        memory.add(began.elapsed(), running.resident_bytes()?);
        ask(&fleet, prepared, &running, &mut asked, began).await?;
        if let Some(pull) = asked.commands.last() {
            known.command(&pull.id);
        }
        if page_at < Instant::now() {
            page_at += PAGE_EVERY;
            let api = running.api();
            timed(&mut asked.page_answers, move || api.get("/", true).map(|_| ())).await?;
            asked.pages += 1;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    let [failed, left_behind] = not_succeeded(&running, &fleet, &asked.commands).await?;
    drop(hostile);
    let [_, ping, _] = fleet.latencies.borrow_mut().summary();
    // Everybody says once more what is true.
    tokio::time::sleep(options.interval() * 2).await;
    fleet.fence().await?;
    let wrong =
        not_as_said(&fleet, prepared, &running).await? + at_another(&fleet, &running).await?;
    let [_, answer, longest] = asked.answers.summary();
    let is_long = length >= Memory::LONG;
    let name = "answer about one host, p99";
    let [_, page, _] = asked.page_answers.summary();
    let peak = (memory.highest() - before) / 1_048_576.0;
    let begun = known.begun.load(Ordering::Relaxed);
    let sent = known.bytes.load(Ordering::Relaxed);
    let first = (before - empty) / 1024.0 / good as f64;
    let mut figures = vec![
        figure("memory for the first pull of a host", "KiB", first),
        figure("what hostile hosts sent", "MB", sent as f64 / 1e6),
        figure("how often they began anew", "", begun as f64),
        figure("commands", "", asked.commands.len() as f64),
        figure("commands refused", "", asked.refused as f64),
        figure("pushes", "", asked.pushes as f64),
        figure("pages of the fleet", "", asked.pages as f64),
        figure("page of the fleet, p99", "ms", page),
        match is_long {
            true => at_most(name, "ms", answer, ANSWER_WITHIN_MS),
            false => figure(name, "ms", answer),
        },
        figure("answer about one host, longest", "ms", longest),
        figure("pings of good hosts, p99", "ms", ping),
        at_most("memory more than before, at most", "MiB", peak, MIB_EACH * Harm::ALL.len() as f64),
    ];
    figures.extend(memory.figures(is_long));
    figures.push(figure("database", "MiB", prepared.database_bytes() as f64 / 1_048_576.0));
    figures.push(figure("pulls of what the remote had left by then", "", left_behind as f64));
    figures.push(at_most("commands that did not succeed", "", failed as f64, 0.0));
    figures.push(lost("good hosts", wrong));
    Ok(figures)
}

async fn timed<T: Send + 'static>(
    latencies: &mut Latencies,
    ask: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let began = Instant::now();
    let answer = spawn_blocking(ask).await?;
    latencies.add(began.elapsed());
    answer
}

/// Every good host has had a command before the others come: what its first one leaves in memory
/// is no leak, and would be told as one.
pub(super) async fn one_pull_each(
    fleet: &Rc<Fleet>,
    running: &Running,
    asked: &mut Asked,
) -> anyhow::Result<()> {
    for n in 0..fleet.hosts.len() {
        pull(running, fleet, asked, &host_name(n)).await?;
        // As many at once as users ask for in a rollout, not all of them.
        if n % 20 == 19 {
            let last = asked.commands.len().saturating_sub(20);
            not_succeeded(running, fleet, &asked.commands[last..]).await?;
        }
    }
    Ok(())
}

async fn pull(
    running: &Running,
    fleet: &Rc<Fleet>,
    asked: &mut Asked,
    name: &str,
) -> anyhow::Result<()> {
    let (api, path) = (running.api(), format!("/api/hosts/{name}/commands"));
    let told =
        timed(&mut asked.answers, move || Ok(api.post(&path, &json!({ "op": "pull" })))).await?;
    match told {
        Ok(told) => {
            let id = told["command_id"].as_str().context("a command without an id")?;
            let head = fleet.commits.borrow().len() - 1;
            asked.commands.push(Pull { id: id.to_owned(), head });
        }
        Err(_) => asked.refused += 1,
    }
    Ok(())
}

/// A pull on one good host, and a look at it.
async fn ask(
    fleet: &Rc<Fleet>,
    prepared: &Prepared,
    running: &Running,
    asked: &mut Asked,
    began: Instant,
) -> anyhow::Result<()> {
    // A number that has no divisor in common with usual fleets: each host has its turn.
    let turn = asked.commands.len() + asked.refused as usize;
    let name = host_name(turn * 7919 % fleet.hosts.len());
    pull(running, fleet, asked, &name).await?;
    let (api, path) = (running.api(), format!("/api/hosts/{name}"));
    let host = timed(&mut asked.answers, move || api.get_json(&path)).await?;
    ensure!(host["online"] == true, "{name} is not online: {host}");
    if began.elapsed() > PUSH_EVERY * asked.pushes as u32 {
        let commit = prepared.push(COMMITS + asked.pushes)?;
        fleet.commits.borrow_mut().push(commit);
        asked.pushes += 1;
    }
    Ok(())
}

/// How many of these commands did not succeed, once they are over, and how many brought a commit
/// that was pushed while they ran and was the head no more when the dashboard looked: that they are
/// not verified is the truth.
async fn not_succeeded(
    running: &Running,
    fleet: &Fleet,
    commands: &[Pull],
) -> anyhow::Result<[usize; 2]> {
    let until = Instant::now() + LAST_COMMANDS;
    let [mut failed, mut left_behind] = [0, 0];
    for Pull { id, head } in commands {
        loop {
            let (api, path) = (running.api(), format!("/api/commands/{id}"));
            let told: Value = spawn_blocking(move || api.get_json(&path)).await??;
            let (state, reason) = (&told["state"], told["reason"].as_str().unwrap_or_default());
            if told["finished_at"].is_null() && Instant::now() <= until {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            let later = fleet.commits.borrow()[head + 1..].to_vec();
            let mut later = later.iter().map(|commit| format!("The checkout is {}", &commit[..7]));
            if state == "unverified" && later.any(|checkout| reason.starts_with(&checkout)) {
                left_behind += 1;
            } else if state != "succeeded" {
                eprintln!("    {id} of {}: {state}, {reason}", told["host_id"]);
                failed += 1;
            }
            break;
        }
    }
    Ok([failed, left_behind])
}

/// How many good hosts are shown at another commit than they are at.
async fn at_another(fleet: &Fleet, running: &Running) -> anyhow::Result<usize> {
    let api = running.api();
    let told: Value = spawn_blocking(move || api.get_json("/api/hosts")).await??;
    let mut wrong = 0;
    for host in &fleet.hosts {
        let mut shown = told.as_array().into_iter().flatten();
        let shown = shown.find(|shown| shown["hostname"] == host.name());
        let is_right = shown.is_some_and(|shown| shown["generation"] == fleet.commit_of(host));
        wrong += usize::from(!is_right);
    }
    Ok(wrong)
}
