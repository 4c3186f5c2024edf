//! A host with an agent of NixFleet 3.x that acts by itself, as the installed ones do.
//!
//! A thread is the agent and its service manager: it answers commands, beats, exits and comes
//! back. A test says beforehand how commands will end, or holds one and ends it later.

use super::dashboard::TOKEN;
use super::old_agent::{Heard, OldAgent};
use super::wait_until;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it beats. The installed ones do so every 5 s.
const BEAT: Duration = Duration::from_millis(150);
/// How long it listens before it looks at its clock again.
const MOMENT: Duration = Duration::from_millis(10);
/// So long after its last heartbeat it exits when a switch succeeded.
const EXIT_AFTER: Duration = Duration::from_millis(500);
/// So long after the word about it a host reboots. The installed ones wait 3 s.
const REBOOT_AFTER: Duration = Duration::from_millis(500);
/// So long a service manager waits before it starts it again: a part of what is simulated. Nothing
/// is waited for by it.
const RESTART_AFTER: Duration = Duration::from_millis(100);

/// The agents that differ in what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub host_type: &'static str,
    pub version: &'static str,
    pub exits_after_switch: bool,
    /// Whether what it runs is in its own process group: then its `stop` ends it too.
    pub dies_of_stop: bool,
}

pub const LINUX: Kind =
    Kind { host_type: "nixos", version: "3.1.5", exits_after_switch: true, dies_of_stop: false };
pub const MACOS: Kind =
    Kind { host_type: "macos", version: "3.1.5", exits_after_switch: true, dies_of_stop: false };
pub const OLD_MACOS: Kind =
    Kind { host_type: "macos", version: "3.1.3", exits_after_switch: false, dies_of_stop: false };

/// How a command will go.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub exit_code: i32,
    /// Stream and text.
    pub lines: Vec<(&'static str, String)>,
    /// It goes on until [`OldHost::release`].
    pub held: bool,
    /// The agent is ended while the command runs, and says nothing about its outcome.
    pub ends_agent: bool,
    /// What the agent is afterwards.
    pub binary: Option<(&'static str, &'static str)>,
    /// The service manager starts nothing afterwards: another agent will.
    pub leaves: bool,
}

impl Plan {
    pub fn fails(exit_code: i32, error: &str) -> Self {
        Self { exit_code, lines: vec![("stderr", error.to_owned())], ..Self::default() }
    }

    pub fn held() -> Self {
        Self { held: true, ..Self::default() }
    }

    pub fn replaces(source: &'static str, binary: &'static str) -> Self {
        Self { binary: Some((source, binary)), ..Self::default() }
    }
}

/// What test and host share.
#[derive(Default)]
struct World {
    /// What a pull brings: commit and hash of flake.lock.
    remote: (String, Option<String>),
    checkout: (String, Option<String>),
    plans: HashMap<String, VecDeque<Plan>>,
    /// What its owner starts by hand on it.
    by_hand: Option<(String, Plan)>,
    released: bool,
    cut: bool,
    over: bool,
    heard: Vec<String>,
    beats: u64,
    links: u64,
}

pub struct OldHost {
    world: Arc<Mutex<World>>,
    thread: Option<JoinHandle<()>>,
}

impl OldHost {
    pub fn start(url: &str, name: &str, kind: Kind, own_clone: bool, remote: Pair) -> Self {
        let world = World { checkout: remote.clone(), remote, ..World::default() };
        let world = Arc::new(Mutex::new(world));
        let mut life = Life {
            world: Arc::clone(&world),
            url: url.to_owned(),
            name: name.to_owned(),
            kind,
            own_clone,
            binary: ("source-1".to_owned(), "binary-1".to_owned()),
        };
        let thread = Some(thread::spawn(move || life.live()));
        Self { world, thread }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The next command of this name goes so.
    pub fn plan(&self, command: &str, plan: Plan) {
        self.world().plans.entry(command.to_owned()).or_default().push_back(plan);
    }

    /// What a pull will bring.
    pub fn remote_is(&self, remote: Pair) {
        self.world().remote = remote;
    }

    /// Lets the command that is held end.
    pub fn release(&self) {
        self.world().released = true;
    }

    /// Starts something on the host, past the dashboard.
    pub fn by_hand(&self, command: &str, plan: Plan) {
        self.world().by_hand = Some((command.to_owned(), plan));
    }

    /// Breaks its link. It opens another.
    pub fn cut(&self) {
        self.world().cut = true;
    }

    /// The commands that reached it.
    pub fn heard(&self, command: &str) -> usize {
        self.world().heard.iter().filter(|heard| *heard == command).count()
    }

    /// Waits until a command reached it so often.
    #[track_caller]
    pub fn wait_for(&self, command: &str, times: usize) {
        wait_until(&format!("the host hears {command} {times} times"), || {
            if self.heard(command) >= times { Ok(()) } else { Err(self.world().heard.clone()) }
        });
    }

    /// Waits until it has beaten so often from now on.
    #[track_caller]
    pub fn wait_for_beats(&self, more: u64) {
        let until = self.world().beats + more;
        wait_until("the host beats on", || {
            let beats = self.world().beats;
            if beats >= until { Ok(()) } else { Err(beats) }
        });
    }

    /// Waits for a link after those it had.
    #[track_caller]
    pub fn wait_for_new_link(&self, since: u64) {
        wait_until("the host opens another link", || {
            let links = self.links();
            if links > since { Ok(()) } else { Err(links) }
        });
    }

    pub fn links(&self) -> u64 {
        self.world().links
    }
}

impl Drop for OldHost {
    fn drop(&mut self) {
        if let Ok(mut world) = self.world.lock() {
            world.over = true;
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A commit and the hash of its flake.lock.
pub type Pair = (String, Option<String>);

/// The agent's process, again and again.
struct Life {
    world: Arc<Mutex<World>>,
    url: String,
    name: String,
    kind: Kind,
    own_clone: bool,
    binary: (String, String),
}

/// Why a process, or its link, is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The process ends; another one follows.
    Exit,
    /// Only the link broke.
    Cut,
    /// For good.
    Over,
}

/// What it works on. A link that breaks ends it not; the end of the process does.
struct Work {
    command: String,
    plan: Plan,
    /// `stop` was answered, and the command will say for itself that it ended.
    stopped: bool,
    /// When the process exits after it.
    exit_at: Option<Instant>,
}

impl Life {
    fn live(&mut self) {
        let mut work = None;
        loop {
            match self.link(&mut work) {
                End::Over => return,
                End::Cut => {}
                // It forgets everything.
                End::Exit => work = None,
            }
            thread::sleep(RESTART_AFTER);
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn link(&mut self, work: &mut Option<Work>) -> End {
        if self.world().over {
            return End::Over;
        }
        let Ok(mut agent) = OldAgent::connect(&self.url, TOKEN, &self.name) else {
            return End::Cut;
        };
        agent.host_type = self.kind.host_type;
        agent.version = self.kind.version;
        agent.own_clone = self.own_clone;
        agent.binary = self.binary.clone();
        // Its first report lacks the hash of flake.lock: `register` has no field for it.
        agent.generation.clone_from(&self.world().checkout.0);
        if let Some(work) = work {
            agent.pending = Some(work.command.clone());
            agent.pid = Some(4711);
        }
        agent.register();
        self.world().links += 1;
        self.beat(&mut agent);
        let end = self.serve(&mut agent, work);
        agent.hang_up_quietly();
        end
    }

    fn beat(&self, agent: &mut OldAgent) {
        let mut world = self.world();
        agent.generation.clone_from(&world.checkout.0);
        agent.lock_hash.clone_from(&world.checkout.1);
        agent.heartbeat();
        world.beats += 1;
    }

    fn serve(&mut self, agent: &mut OldAgent, work: &mut Option<Work>) -> End {
        let mut beaten = Instant::now();
        let mut reboots_at = None;
        loop {
            if reboots_at.is_some_and(|at| Instant::now() >= at) {
                return End::Exit;
            }
            {
                let mut world = self.world();
                if world.over {
                    return End::Over;
                }
                if std::mem::take(&mut world.cut) {
                    return End::Cut;
                }
            }
            match agent.listen(MOMENT) {
                Heard::End => return End::Cut,
                Heard::Nothing => {}
                Heard::Message(message) if message["payload"]["command"] == "reboot" => {
                    reboots_at = self.reboot(agent);
                }
                Heard::Message(message) => {
                    if let Some(end) = self.hear(agent, &message, work) {
                        return end;
                    }
                }
            }
            let by_hand = self.world().by_hand.take();
            if let Some((command, plan)) = by_hand {
                *work = Some(start(agent, &command, plan));
            }
            if beaten.elapsed() >= BEAT {
                beaten = Instant::now();
                self.beat(agent);
            }
            if let Some(end) = self.go_on(agent, work) {
                return end;
            }
        }
    }

    fn hear(
        &mut self,
        agent: &mut OldAgent,
        message: &Value,
        work: &mut Option<Work>,
    ) -> Option<End> {
        let command = message["payload"]["command"].as_str().unwrap_or_default().to_owned();
        self.world().heard.push(command.clone());
        match command.as_str() {
            "stop" => return self.stop(agent, work),
            "restart" => return Some(End::Exit),
            _ => {}
        }
        if work.is_some() {
            agent.reject();
            return None;
        }
        let plan = self.world().plans.get_mut(&command).and_then(VecDeque::pop_front);
        self.world().released = false;
        *work = Some(start(agent, &command, plan.unwrap_or_default()));
        None
    }

    /// Says that it will reboot; answers when it does.
    fn reboot(&self, agent: &mut OldAgent) -> Option<Instant> {
        agent.output("Reboot command received. System will reboot in 3 seconds...");
        let plan = self.world().plans.get_mut("reboot").and_then(VecDeque::pop_front);
        if plan.is_none_or(|plan| plan.exit_code == 0) {
            return Some(Instant::now() + REBOOT_AFTER);
        }
        agent.output_on("stderr", "Reboot failed: exit status 1. Check sudo permissions.");
        None
    }

    fn stop(&mut self, agent: &mut OldAgent, work: &mut Option<Work>) -> Option<End> {
        let Some(work) = work.as_mut().filter(|_| agent.pid.is_some()) else {
            // Also while a pull in its own clone goes on: that has no pid.
            agent.status("error", "stop", 1, "no command running");
            return None;
        };
        agent.status("stopped", &work.command, 130, "terminated by user");
        work.stopped = true;
        if self.kind.dies_of_stop { Some(End::Exit) } else { None }
    }

    /// Lets the work end, when its time has come.
    fn go_on(&mut self, agent: &mut OldAgent, slot: &mut Option<Work>) -> Option<End> {
        let work = slot.as_mut()?;
        if let Some(at) = work.exit_at {
            if Instant::now() < at {
                return None;
            }
            return Some(if work.plan.leaves { End::Over } else { End::Exit });
        }
        if work.stopped {
            // What it ran was killed: it says so as well, with the code that Go gives for it.
            let command = work.command.clone();
            agent.end(&command, -1);
            *slot = None;
            return None;
        }
        if work.plan.held && !self.world().released {
            return None;
        }
        let (command, plan) = (work.command.clone(), work.plan.clone());
        if let Some((source, binary)) = plan.binary {
            self.binary = (source.to_owned(), binary.to_owned());
        }
        if plan.ends_agent {
            return Some(if plan.leaves { End::Over } else { End::Exit });
        }
        match command.as_str() {
            "refresh-all" | "refresh-lock" | "refresh-system" | "check-version" => {
                agent.output("Lock: ok");
                agent.status("ok", &command, 0, "all refreshed");
                forget(agent, slot);
                return None;
            }
            "force-update" | "update" => {
                agent.status("ok", &command, plan.exit_code, "force update complete");
                forget(agent, slot);
                return None;
            }
            "pull" | "pull-switch" if plan.exit_code == 0 => self.pull(agent),
            _ => {}
        }
        agent.end(&command, plan.exit_code);
        let switched = matches!(command.as_str(), "switch" | "pull-switch") && plan.exit_code == 0;
        if !switched || !(self.kind.exits_after_switch || plan.leaves) {
            forget(agent, slot);
            return None;
        }
        // Until it exits its heartbeats go on naming what it did.
        agent.pending = Some(command);
        agent.pid = Some(4711);
        work.exit_at = Some(Instant::now() + EXIT_AFTER);
        None
    }

    fn pull(&self, agent: &mut OldAgent) {
        let mut world = self.world();
        world.checkout = world.remote.clone();
        agent.generation.clone_from(&world.checkout.0);
    }
}

fn start(agent: &mut OldAgent, command: &str, plan: Plan) -> Work {
    agent.begin(command);
    if command.starts_with("refresh-") {
        agent.output("Refreshing all status checks...");
    }
    for (stream, line) in &plan.lines {
        agent.output_on(stream, line);
    }
    Work { command: command.to_owned(), plan, stopped: false, exit_at: None }
}

fn forget(agent: &mut OldAgent, slot: &mut Option<Work>) {
    agent.pending = None;
    agent.pid = None;
    *slot = None;
}
