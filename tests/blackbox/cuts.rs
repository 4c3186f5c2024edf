//! A whole run with one fault in it, at every point: it ends as the run without a fault.

use crate::support::agent::kill_9_of;
use crate::support::cutter::{Cutter, Way};
use crate::support::{Agent, Client, ConfigRepo, Dashboard, wait_until};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

/// What a run left behind, without what differs from host to host.
#[derive(Debug, PartialEq)]
struct Trace {
    row: String,
    /// Operation, state, exit code, and every line of the log, stdout first.
    commands: Vec<(String, Value, Value, Vec<String>)>,
}

/// A user who waits while the dashboard is away.
struct Patient<'a>(&'a Client);

impl Patient<'_> {
    #[track_caller]
    fn text(&self, path: &str) -> String {
        wait_until(&format!("{path} is answered"), || match self.0.try_get(path) {
            Some(answer) if answer.status == 200 => Ok(answer.text),
            other => Err(other),
        })
    }

    fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap()
    }

    /// Asks for an operation until there is a command of it. What was accepted is there.
    fn begins(&self, host: &str, op: &str) -> String {
        let mut accepted = None;
        wait_until(&format!("{op} of {host} is accepted"), || {
            let commands = self.get(&format!("/api/hosts/{host}/commands"));
            let known = commands.as_array().unwrap().iter().find(|c| c["op"] == op);
            if let Some(command) = known {
                return Ok(command["command_id"].as_str().unwrap().to_owned());
            }
            assert_eq!(accepted, None, "{op} was accepted and is not there");
            let path = format!("/api/hosts/{host}/commands");
            let answer = self.0.try_post(&path, &json!({ "op": op }));
            if let Some(answer) = answer.as_ref().filter(|answer| answer.status == 202) {
                accepted = Some(answer.json()["command_id"].to_string());
            }
            Err(answer)
        })
    }

    fn runs(&self, host: &str, op: &str) -> (String, Value, Value, Vec<String>) {
        let id = self.begins(host, op);
        let command = wait_until(&format!("{op} of {host} is over"), || {
            let command = self.get(&format!("/api/commands/{id}"));
            // Lost means that nobody knows yet.
            let over = !command["finished_at"].is_null() && command["state"] != "lost";
            if over { Ok(command) } else { Err(command) }
        });
        let log = self.text(&format!("/api/commands/{id}/output?format=jsonl"));
        let log: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let numbers: Vec<u64> = log.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{op} of {host}: {numbers:?}");
        // Two pipes have no order between them, each has its own.
        let of = |stream: &'static str| {
            log.iter().filter(move |line| line["stream"] == stream).map(move |line| {
                format!("{stream}: {}", line["text"].as_str().unwrap()).replace(host, "HOST")
            })
        };
        let lines = of("stdout").chain(of("stderr")).collect();
        (op.to_owned(), command["state"].clone(), command["exit_code"].clone(), lines)
    }
}

/// Registers, pulls, switches with a restart of the agent, and tests.
fn whole_run(user: &Client, agent: &mut Agent, host: &str, repo: &ConfigRepo) -> Trace {
    let user = Patient(user);
    agent.manage();
    let pid_file = agent.pid_file();
    // It may have been killed already, by the fault that is being tried.
    agent.on_switch(&format!(
        "#!/bin/sh\nkill -9 $(cat {}) 2>/dev/null || true\n",
        pid_file.display()
    ));
    wait_until(&format!("{host} has reported its checkout"), || {
        let hosts = user.get("/api/hosts");
        let known = hosts.as_array().unwrap().iter().find(|h| h["host_id"] == host).cloned();
        match known {
            Some(host) if !host["generation"].is_null() => Ok(()),
            other => Err(other),
        }
    });
    let mut commands: Vec<_> = ["pull", "switch", "test"].map(|op| user.runs(host, op)).into();
    // What differs from host to host and from repository to repository.
    let dir = agent.dir.path().display().to_string();
    let (head, remote) = (repo.head(), repo.remote().display().to_string());
    for line in commands.iter_mut().flat_map(|(.., lines)| lines) {
        let plain = line.replace(&dir, "DIR").replace(&remote, "REMOTE").replace(&head, "HEAD");
        *line = plain.replace(&head[..7], "HEAD");
    }
    let green = "ok ok ok ok ok";
    wait_until(&format!("the row of {host} is green"), || match user.0.try_row(host) {
        Some(row) if row == green => Ok(()),
        other => Err(other),
    });
    Trace { row: green.to_owned(), commands }
}

/// Frames come slowly enough that their number says where in a run they are.
const SLOW: [(&str, &str); 1] = [("NIXFLEET_INTERVAL", "1")];

/// A repository with tests for each host.
fn repo_for(hosts: &[String]) -> Arc<ConfigRepo> {
    let repo = ConfigRepo::new();
    for host in hosts {
        repo.test(host, "T01-first.sh", "#!/bin/sh\n# Name: First\necho fine\n");
        repo.test(host, "T02-second.sh", "#!/bin/sh\necho one; echo two >&2\n");
    }
    repo.push("tests");
    Arc::new(repo)
}

/// The run without a fault, and how many frames go each way in it.
fn undisturbed() -> (Trace, usize, usize) {
    let host = "host0".to_owned();
    let repo = repo_for(std::slice::from_ref(&host));
    let dashboard = Dashboard::with_source(&repo.remote());
    let user = dashboard.login();
    let cutter = Cutter::new(&dashboard.url, Way::ToAgent, usize::MAX, || {});
    let mut agent = Agent::start_with(&cutter.url, &host, &repo.remote(), &SLOW);
    let trace = whole_run(&user, &mut agent, &host, &repo);
    for (op, state, code, lines) in &trace.commands {
        assert!(state == "succeeded" && code == 0 && !lines.is_empty(), "{op}: {trace:#?}");
    }
    (trace, cutter.seen(Way::ToDashboard), cutter.seen(Way::ToAgent))
}

/// Does every job, a few at a time, and answers what came out.
fn side_by_side<J: Send + 'static, T: Send + 'static>(
    jobs: Vec<J>,
    work: impl Fn(J) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let jobs = Arc::new(Mutex::new(jobs.into_iter()));
    let work = Arc::new(work);
    let workers = (0..4).map(|_| {
        let (jobs, work) = (Arc::clone(&jobs), Arc::clone(&work));
        thread::spawn(move || {
            let mut done = Vec::new();
            loop {
                let Some(job) = jobs.lock().unwrap().next() else { return done };
                done.push(work(job));
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
}

#[test]
fn a_link_cut_after_any_frame_in_either_direction_changes_nothing_in_the_end() {
    let (expected, to_dashboard, to_agent) = undisturbed();
    let mut cuts: Vec<(String, Way, usize)> = Vec::new();
    for (way, frames) in [(Way::ToDashboard, to_dashboard), (Way::ToAgent, to_agent)] {
        cuts.extend((1..=frames).map(|at| (format!("{way:?}-{at}").to_lowercase(), way, at)));
    }
    let hosts: Vec<String> = cuts.iter().map(|(host, ..)| host.clone()).collect();
    let repo = repo_for(&hosts);
    let dashboard = Dashboard::with_source(&repo.remote());
    let (url, user) = (dashboard.url.clone(), dashboard.login());
    let traces = side_by_side(cuts, move |(host, way, at)| {
        let cutter = Cutter::new(&url, way, at, || {});
        let mut agent = Agent::start_with(&cutter.url, &host, &repo.remote(), &SLOW);
        let trace = whole_run(&user, &mut agent, &host, &repo);
        (host, trace)
    });
    println!("{to_dashboard} cuts on the way to the dashboard, {to_agent} on the way back");
    for (cut, trace) in traces {
        assert_eq!(trace, expected, "cut at {cut}");
    }
}

/// Ten frames of a run, by a seed.
fn points(seed: u64, frames: usize) -> Vec<usize> {
    let mut state = seed;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..10).map(|_| 1 + usize::try_from(next() % frames as u64).unwrap()).collect()
}

#[test]
fn an_agent_killed_at_any_point_changes_nothing_in_the_end() {
    let (expected, frames, _) = undisturbed();
    let points = points(0x5eed, frames);
    let jobs: Vec<_> = (0..).zip(&points).map(|(n, at)| (format!("host{n}"), *at)).collect();
    let hosts: Vec<String> = jobs.iter().map(|(host, _)| host.clone()).collect();
    let repo = repo_for(&hosts);
    let dashboard = Dashboard::with_source(&repo.remote());
    let (url, user) = (dashboard.url.clone(), dashboard.login());
    let traces = side_by_side(jobs, move |(host, at)| {
        let (tell, pid_file) = channel::<PathBuf>();
        let cutter = Cutter::new(&url, Way::ToDashboard, at, move || {
            kill_9_of(&pid_file.recv().unwrap());
        });
        let mut agent = Agent::start_with(&cutter.url, &host, &repo.remote(), &SLOW);
        let file = agent.pid_file();
        std::fs::write(&file, agent.pid().to_string()).unwrap();
        tell.send(file).unwrap();
        (at, whole_run(&user, &mut agent, &host, &repo))
    });
    for (at, trace) in traces {
        assert_eq!(trace, expected, "killed at frame {at}, of {points:?}");
    }
}

#[test]
fn a_dashboard_killed_at_any_point_changes_nothing_in_the_end() {
    let (expected, frames, _) = undisturbed();
    let points = points(0xda5b, frames);
    let traces = side_by_side(points.clone(), |at| {
        let host = "host0".to_owned();
        let repo = repo_for(std::slice::from_ref(&host));
        let dashboard = Dashboard::with_source(&repo.remote());
        let (url, user) = (dashboard.url.clone(), dashboard.login());
        let dashboard = Arc::new(Mutex::new(dashboard));
        // The proxy's thread outlives the run; it must not keep the dashboard alive.
        let killed = Arc::downgrade(&dashboard);
        let cutter = Cutter::new(&url, Way::ToDashboard, at, move || {
            let Some(dashboard) = killed.upgrade() else { return };
            let mut dashboard = dashboard.lock().unwrap();
            dashboard.kill_9();
            dashboard.start_again();
        });
        let mut agent = Agent::start_with(&cutter.url, &host, &repo.remote(), &SLOW);
        (at, whole_run(&user, &mut agent, &host, &repo))
    });
    for (at, trace) in traces {
        assert_eq!(trace, expected, "killed at frame {at}, of {points:?}");
    }
}
