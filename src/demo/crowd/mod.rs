//! `--demo --hosts N`: hosts beyond the three real ones. They are simulated in this process, each
//! with a link of its own, and are in all states that a host can be in. They build nothing.

mod links;
mod machine;
mod script;
mod user;
mod who;

use super::DemoError;
pub(super) use links::CUTS;
use links::World;
use machine::{History, Machine};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use user::User;
pub(super) use who::FIRST;
use who::{Way, Who};

/// How long it may take until all hosts are in their states.
const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

/// The hosts that are simulated. They are gone when this is dropped.
pub(super) struct Crowd {
    over: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that anybody could still use.
            let _ = thread.join();
        }
    }
}

/// Where the hosts belong.
pub(super) struct Place<'a> {
    /// The dashboard's address.
    pub url: &'a str,
    /// Its password.
    pub password: &'a str,
    /// The bare repository that everybody follows.
    pub remote: &'a Path,
}

impl Crowd {
    /// Adds so many hosts, and puts each into its state. `stop`: the user has had enough.
    ///
    /// # Errors
    ///
    /// The dashboard did not do its part, or not in time.
    pub(super) fn start(
        count: usize,
        at: &Place<'_>,
        stop: &AtomicBool,
    ) -> Result<Self, DemoError> {
        let failed = |why: String| DemoError::Program(format!("the simulated hosts: {why}"));
        let who = who::all(count);
        let user = User::log_in(at.url, at.password).map_err(failed)?;
        let mut machines = Vec::new();
        let history = history(at.remote).map_err(failed)?;
        let repo = at.remote.display().to_string();
        for one in &who {
            let body = json!({ "hostname": one.name });
            let added = user.post("/api/hosts", &body).map_err(failed)?;
            let token = added["token"].as_str().unwrap_or_default().to_owned();
            if one.way != Way::New {
                let machine = Machine::new(one.clone(), repo.clone(), &history, links::now());
                machines.push((token, machine));
            }
        }
        let (over, ends) = watch::channel(false);
        let hurries = Arc::new(AtomicBool::new(true));
        let world = World {
            url: format!("{}/ws", at.url.replacen("http", "ws", 1)),
            remote: at.remote.to_owned(),
            hurries: Arc::clone(&hurries),
            over: ends,
        };
        let thread = thread::spawn(move || simulate(&world, machines));
        let crowd = Self { over, thread: Some(thread) };
        arrange(&user, &who, stop).map_err(failed)?;
        hurries.store(false, Ordering::Relaxed);
        Ok(crowd)
    }
}

/// The last three commits.
fn history(remote: &Path) -> Result<History, String> {
    let pin = |revision| links::read_pin(remote, revision).ok_or("git does not tell its commits");
    Ok([pin("main~2")?, pin("main~1")?, pin("main")?])
}

/// Runs all links until the demo ends.
fn simulate(world: &World, machines: Vec<(String, Machine)>) {
    actix_rt::System::new().block_on(async {
        let all = machines
            .into_iter()
            .map(|(token, machine)| actix_rt::spawn(links::live(world.clone(), token, machine)));
        for one in all.collect::<Vec<_>>() {
            let _ = one.await;
        }
    });
}

/// Asks for what brings each host into its state, as a user would.
fn arrange(user: &User, who: &[Who], stop: &AtomicBool) -> Result<(), String> {
    let of = |ways: &[Way]| -> Vec<&str> {
        let some = who.iter().filter(|one| ways.contains(&one.way));
        some.map(|one| one.name.as_str()).collect()
    };
    let host_of = |hosts: &Value, name: &str| -> Value {
        let mut all = hosts.as_array().into_iter().flatten();
        all.find(|host| host["host_id"] == name).cloned().unwrap_or_default()
    };
    let away = of(&[Way::Gone, Way::Awaited]);
    let never = of(&[Way::New]);
    wait("all have connected", user, stop, |hosts| {
        who.iter().all(|one| {
            let (name, host) = (one.name.as_str(), host_of(hosts, &one.name));
            let is_there = host["online"] == true && host["metrics"].is_object();
            let was_there = host["online"] == false && !host["last_seen"].is_null();
            if away.contains(&name) { was_there } else { is_there || never.contains(&name) }
        })
    })?;
    let ask = |op: &str, ways: &[Way], args: Value| -> Result<(), String> {
        let (hosts, queue) = (of(ways), ways == [Way::Awaited]);
        if hosts.is_empty() {
            return Ok(());
        }
        let body = json!({ "op": op, "hosts": hosts, "args": args, "queue": queue });
        user.post("/api/commands", &body).map(|_| ())
    };
    ask("switch", &[Way::Unbuildable, Way::Building], json!({}))?;
    ask("test", &[Way::Tested, Way::FailingTests], json!({}))?;
    let why = "the GPU is not found with the new driver";
    ask("rollback", &[Way::RolledBack], json!({ "reason": why, "hold": false }))?;
    ask("switch", &[Way::Awaited], json!({}))?;
    for name in of(&[Way::Held]) {
        let body = json!({ "reason": "waits for the new disk" });
        user.post(&format!("/api/hosts/{name}/hold"), &body)?;
    }
    let long = of(&[Way::Building]);
    wait("all have done what they were asked for", user, stop, |hosts| {
        who.iter().all(|one| {
            let is_busy = host_of(hosts, &one.name)["pending_command"].is_object();
            !is_busy || long.contains(&one.name.as_str()) || away.contains(&one.name.as_str())
        })
    })
}

/// Waits until the hosts are as they should be, or the user ends the demo.
fn wait(
    what: &str,
    user: &User,
    stop: &AtomicBool,
    is_so: impl Fn(&Value) -> bool,
) -> Result<(), String> {
    let began = Instant::now();
    while !stop.load(Ordering::Relaxed) && !is_so(&user.get("/api/hosts")?) {
        if began.elapsed() > READY_WITHIN {
            return Err(format!("waited in vain until {what}"));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}
