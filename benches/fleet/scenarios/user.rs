//! What a user waits for: pages, lists, clicks, logs, and the start.

use crate::agent::{Fleet, Loop};
use crate::api::Api;
use crate::browser;
use crate::options::Options;
use crate::report::{Figure, figure, lost};
use crate::server::{Prepared, Running, host_name};
use crate::stats::Latencies;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// How long something that must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fleet in the open loop, that has sent for a while.
async fn fleet_at_work(
    options: &Options,
    prepared: &Prepared,
    running: &Running,
    protocol_4_every: usize,
) -> anyhow::Result<Rc<Fleet>> {
    let fleet = Fleet::new(prepared, running, Loop::Open(options.interval()), protocol_4_every);
    fleet.join().await?;
    tokio::time::sleep(options.interval()).await;
    Ok(fleet)
}

/// The page and the list of hosts, while heartbeats come.
pub(crate) async fn pages(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    let _fleet = fleet_at_work(options, prepared, &running, options.protocol_4_every).await?;
    let mut figures = Vec::new();
    let kinds = [
        ("/", false, ["page: CPU", "page: bytes", "page, p50", "page, p99"]),
        ("/", true, ["page, gzip: CPU", "page, gzip: bytes", "page, gzip, p50", "page, gzip, p99"]),
        ("/api/hosts", false, ["list: CPU", "list: bytes", "list, p50", "list, p99"]),
    ];
    for (path, compressed, [cpu_name, bytes_name, middle_name, most_name]) in kinds {
        // What heartbeats cost in the meantime is no part of it.
        let (cpu, began) = (running.cpu()?, Instant::now());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let other =
            running.cpu()?.saturating_sub(cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        let api = running.api();
        let loads = options.loads.max(1);
        let (cpu, began) = (running.cpu()?, Instant::now());
        let loaded = spawn_blocking(move || load(&api, path, compressed, loads)).await?;
        let (mut latencies, bytes) = loaded?;
        let all = running.cpu()?.saturating_sub(cpu).as_secs_f64();
        let own = (all - other * began.elapsed().as_secs_f64()).max(0.0);
        let [middle, most, _] = latencies.summary();
        figures.push(figure(cpu_name, "ms", own * 1000.0 / loads as f64));
        figures.push(figure(bytes_name, "KB", bytes as f64 / 1000.0));
        figures.push(figure(middle_name, "ms", middle));
        figures.push(figure(most_name, "ms", most));
    }
    Ok(figures)
}

fn load(
    api: &Api,
    path: &str,
    compressed: bool,
    times: usize,
) -> anyhow::Result<(Latencies, usize)> {
    let mut latencies = Latencies::default();
    let mut bytes = 0;
    for _ in 0..times {
        let began = Instant::now();
        let answer = api.get(path, compressed)?;
        latencies.add(began.elapsed());
        ensure!(answer.status == 200, "{path} answered {}", answer.status);
        bytes = answer.body.len();
    }
    Ok((latencies, bytes))
}

/// From the click to the agent, one after the other, each on another host.
pub(crate) async fn clicks(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    let fleet = fleet_at_work(options, prepared, &running, 1).await?;
    let (mut answers, mut arrivals) = (Latencies::default(), Latencies::default());
    let mut gone = 0;
    for n in 0..options.loads.min(fleet.hosts.len()) {
        let api = running.api();
        let began = Instant::now();
        let id = spawn_blocking(move || request(&api, &host_name(n))).await??;
        answers.add(began.elapsed());
        let until = Instant::now() + Duration::from_secs(10);
        let arrived = loop {
            let came = fleet.commands.borrow_mut().remove(&id);
            if came.is_some() || Instant::now() > until {
                break came;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        };
        match arrived {
            Some(came) => arrivals.add(came.saturating_duration_since(began)),
            None => gone += 1,
        }
    }
    let [middle, most, longest] = arrivals.summary();
    let [answered, answered_most, _] = answers.summary();
    Ok(vec![
        figure("click to agent, p50", "ms", middle),
        figure("click to agent, p99", "ms", most),
        figure("click to agent, max", "ms", longest),
        figure("click to answer, p50", "ms", answered),
        figure("click to answer, p99", "ms", answered_most),
        lost("commands", gone),
    ])
}

fn request(api: &Api, host: &str) -> anyhow::Result<String> {
    let asked = api.post(&format!("/api/hosts/{host}/commands"), &json!({ "op": "pull" }))?;
    Ok(asked["command_id"].as_str().context("a command without an id")?.to_owned())
}

/// Lines of output from one agent to the disk and to browsers.
pub(crate) async fn logs(options: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let running = prepared.start()?;
    let fleet = fleet_at_work(options, prepared, &running, 1).await?;
    let browsers = options.browsers_or(1);
    let seen = browser::open(browsers, &fleet, &running).await?;
    fleet.lines.set(options.lines);
    let api = running.api();
    let (cpu, began) = (running.cpu()?, Instant::now());
    let id = spawn_blocking(move || request(&api, &host_name(0))).await??;
    let path = format!("/api/commands/{id}");
    let command = loop {
        let (api, path) = (running.api(), path.clone());
        let command: Value = spawn_blocking(move || api.get_json(&path)).await??;
        let failed = fleet.failures.borrow().first().cloned();
        ensure!(failed.is_none(), "{failed:?}");
        // What it said is stored; whether the host is where it says is looked at afterwards.
        if command["state"] == "verifying" || command["state"] == "succeeded" {
            break command;
        }
        ensure!(began.elapsed() < PATIENCE, "the command is still {}", command["state"]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let wall = began.elapsed().as_secs_f64();
    let cpu = running.cpu()?.saturating_sub(cpu).as_secs_f64();
    let wanted = options.lines * browsers as u64;
    let until = Instant::now() + Duration::from_secs(10);
    while seen.lines.get() < wanted && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let shown_wall = began.elapsed().as_secs_f64();
    let stored = command["output_lines"].as_u64().unwrap_or(0);
    let lines = options.lines as f64;
    let unseen = wanted.saturating_sub(seen.lines.get());
    Ok(vec![
        figure("lines to disk", "per s", lines / wall),
        figure("lines to the browser", "per s", lines / shown_wall),
        figure("CPU per line", "us", cpu * 1e6 / lines),
        figure("lines a browser did not get one by one", "lines", unseen as f64),
        figure("full states asked for", "frames", seen.gaps.get() as f64),
        lost("lines", options.lines.saturating_sub(stored) as usize),
    ])
}

/// From the start of the process to the first page.
pub(crate) async fn start(_: &Options, prepared: &Prepared) -> anyhow::Result<Vec<Figure>> {
    let began = Instant::now();
    let running = prepared.start()?;
    let listening = began.elapsed();
    let api = running.api();
    let answer = spawn_blocking(move || api.get("/", false)).await??;
    let shown = began.elapsed();
    ensure!(answer.status == 200, "the page answered {}", answer.status);
    let text = String::from_utf8_lossy(&answer.body);
    let rows = text.matches("data-host=").count();
    let missing = prepared.tokens.len().saturating_sub(rows);
    Ok(vec![
        figure("start to listening", "ms", listening.as_secs_f64() * 1000.0),
        figure("start to first page", "ms", shown.as_secs_f64() * 1000.0),
        lost("hosts", missing),
    ])
}
