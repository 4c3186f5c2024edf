//! The life of a command: a pure state machine (spec: lifecycle).
//!
//! [`step`] takes a command, an event and the time, and gives the command as it is then,
//! with what should be done about it. It does nothing itself. Every state that is not
//! terminal is left at [`Command::due`] at the latest, so no sequence of lost, late,
//! repeated or reordered messages keeps a host busy for ever.

use super::facts::{AgentBinary, LockState};
use super::ids::{CommandId, Commit, HostId};
use super::operation::{Args, Operation};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a command waits for its host to come back.
pub const QUEUED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long a connected agent has to acknowledge a command.
pub const SENT_FOR: Duration = Duration::from_secs(30);
/// How long a command may be on its way in all, however often the link comes and goes.
pub const SENT_AT_MOST: Duration = Duration::from_secs(600);
/// How long a host may be gone before its overdue command is given up.
pub const GONE_FOR: Duration = Duration::from_secs(600);
/// How long a stop may take.
pub const STOPPING_FOR: Duration = Duration::from_secs(15);
/// How long fresh facts may take to prove the goal.
pub const VERIFYING_FOR: Duration = Duration::from_secs(90);
/// After so many heartbeats without it, a running command is lost.
pub const MISSED_HEARTBEATS: u8 = 2;

/// One command for one host, from the click to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// Whose it is.
    pub host: HostId,
    /// What is asked.
    pub op: Operation,
    /// With what.
    pub args: Args,
    /// Where it is in its life.
    pub state: State,
    /// Who asked: a user, `agent` for one that the dashboard adopted, `auto` for tests
    /// that follow a switch.
    pub requested_by: String,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When it went to the agent.
    pub sent_at: Option<Timestamp>,
    /// When it reached a terminal state.
    pub finished_at: Option<Timestamp>,
    /// When the present state must have been left, while the host is connected.
    pub deadline: Option<Timestamp>,
    /// Since when its host is gone; `None` while it is connected.
    #[serde(default)]
    pub offline_since: Option<Timestamp>,
    /// How many heartbeats in a row said that it does not run.
    #[serde(default)]
    pub missed: u8,
    /// The exit code, once there is one.
    pub exit_code: Option<i32>,
    /// Why it is in this state, for the user.
    pub reason: Option<String>,
    /// Who asked it to stop.
    pub stop_by: Option<String>,
    /// How long it may run before it is overdue.
    pub time_limit: Duration,
    /// It runs longer than its operation usually does.
    #[serde(default)]
    pub slow: bool,
    /// What it is doing now, in a few words ("Test 3 of 8: GPU").
    pub progress: Option<String>,
    /// Number of the last line of output that was stored.
    pub output_lines: u64,
    /// How the host was when the command was sent: what its goal is measured by.
    #[serde(default)]
    pub baseline: Baseline,
}

/// How the host was when a command was sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Baseline {
    /// The remote's head.
    pub desired: Option<Commit>,
    /// The host's checkout.
    pub checkout: Option<Commit>,
    /// The host's flake.lock.
    pub lock: Option<LockState>,
    /// Store path of what ran.
    pub store_path: Option<String>,
    /// Generation that ran.
    pub generation: Option<u64>,
    /// Number of the deployment that ran.
    pub deployment: u64,
    /// The agent that was asked.
    pub agent: AgentBinary,
    /// The host's boot time.
    pub boot_time: Option<Timestamp>,
    /// How many links the host had opened.
    pub links: u64,
}

/// The states of a command's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its host to come back.
    Queued,
    /// On its way to the agent.
    Sent,
    /// The agent works on it.
    Running,
    /// Still running past its deadline.
    Overdue,
    /// A stop was sent.
    Stopping,
    /// Exit 0; the goal is being checked.
    Verifying,
    /// Done, and proven.
    Succeeded,
    /// It ended with another exit code than 0.
    Failed,
    /// Exit 0, but the goal was not met.
    Unverified,
    /// The agent refused it.
    Rejected,
    /// A precondition failed; never sent.
    Blocked,
    /// A user stopped it.
    Stopped,
    /// The agent ended it for its time.
    TimedOut,
    /// Nobody knows how it ended.
    Lost,
    /// Its host did not come back in time.
    Expired,
    /// Taken back before it was sent.
    Cancelled,
}

impl State {
    /// All states.
    pub const ALL: [Self; 16] = [
        Self::Queued,
        Self::Sent,
        Self::Running,
        Self::Overdue,
        Self::Stopping,
        Self::Verifying,
        Self::Succeeded,
        Self::Failed,
        Self::Unverified,
        Self::Rejected,
        Self::Blocked,
        Self::Stopped,
        Self::TimedOut,
        Self::Lost,
        Self::Expired,
        Self::Cancelled,
    ];

    /// Whether the command's life is over.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Queued
            | Self::Sent
            | Self::Running
            | Self::Overdue
            | Self::Stopping
            | Self::Verifying => false,
            Self::Succeeded
            | Self::Failed
            | Self::Unverified
            | Self::Rejected
            | Self::Blocked
            | Self::Stopped
            | Self::TimedOut
            | Self::Lost
            | Self::Expired
            | Self::Cancelled => true,
        }
    }

    /// Whether the command takes its host's only exclusive place.
    pub const fn is_active(self) -> bool {
        !self.is_terminal() && !matches!(self, Self::Queued)
    }

    /// The name in the API and in SQLite.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Overdue => "overdue",
            Self::Stopping => "stopping",
            Self::Verifying => "verifying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unverified => "unverified",
            Self::Rejected => "rejected",
            Self::Blocked => "blocked",
            Self::Stopped => "stopped",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a command ended, as the agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Ended by itself, stopped, or ended for its time.
    pub kind: OutcomeKind,
    /// The exit code.
    pub exit_code: i32,
    /// The agent's words, if any.
    pub message: Option<String>,
}

/// The ways in which a job ends on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    /// By itself.
    Exited,
    /// It failed, whatever its exit code.
    Failed,
    /// By a stop.
    Stopped,
    /// By the agent, for its time.
    TimedOut,
}

/// Whether a command reached what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Yes, the facts prove it.
    Met,
    /// Not as the facts stand now; says what is missing.
    Missing(String),
    /// No, and waiting will not help; says what was missed.
    Missed(String),
}

/// What can happen to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its host is connected (again) and can take it.
    HostOnline,
    /// Its host is gone.
    HostOffline,
    /// When it should have been sent, a precondition failed.
    Blocked(String),
    /// The agent said that it works on it.
    Runs,
    /// A heartbeat said that the agent does not work on it.
    DoesNotRun,
    /// The agent registered and has never heard of it.
    NeverHeardOf,
    /// The agent of a host that cannot resume came back without it.
    CameBackWithout,
    /// The agent works on something else.
    Replaced(String),
    /// The agent refused it.
    Rejected(String),
    /// It ended.
    Ended(Outcome),
    /// The facts were compared with its goal.
    Goal(Goal),
    /// A user wants it to stop, or to be taken back.
    Stop(String),
    /// A user gives it more time.
    Extend(String),
    /// Time has passed.
    Tick,
    /// The clock was set: all instants move by so many milliseconds.
    ClockJumped(i64),
}

/// What the host's actor must do about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send it to the agent.
    Send,
    /// Tell the agent to stop it.
    SendStop,
    /// Journal the transition into the command's state.
    Journal,
    /// Ask the remote anew: the goal hangs on it.
    Refetch,
}

impl Command {
    /// When the state must be left, connected or not; `None` in terminal states, and for
    /// an overdue command of a connected host, where the user decides.
    pub fn due(&self) -> Option<Timestamp> {
        let gone = self.offline_since.map(|since| since + GONE_FOR);
        match self.state {
            State::Sent => gone.or(self.deadline),
            State::Overdue => gone,
            State::Running => self.slow_at().or(self.deadline),
            State::Queued | State::Stopping | State::Verifying => self.deadline,
            State::Succeeded
            | State::Failed
            | State::Unverified
            | State::Rejected
            | State::Blocked
            | State::Stopped
            | State::TimedOut
            | State::Lost
            | State::Expired
            | State::Cancelled => None,
        }
    }

    /// When a running command should be pointed at as slow; `None` once it was.
    fn slow_at(&self) -> Option<Timestamp> {
        let warn_after = self.op.rules().warn_after;
        let ahead = self.time_limit.checked_sub(warn_after)?;
        let millis = i64::try_from(ahead.as_millis()).ok()?;
        self.deadline.filter(|_| !self.slow).map(|deadline| deadline.shifted(-millis))
    }

    /// A command that was just accepted for a connected host.
    pub fn sent_deadline(sent_at: Timestamp, now: Timestamp) -> Timestamp {
        (now + SENT_FOR).min(sent_at + SENT_AT_MOST)
    }
}

/// What happens to `command` by `event` at `now`.
///
/// A terminal state never changes, with one exception: `lost` says only that the dashboard
/// does not know, so it gives way to the agent's word, when that comes late: that the
/// command still runs, or how it ended. The same event twice changes nothing the second
/// time.
pub fn step(command: &Command, event: &Event, now: Timestamp) -> (Command, Vec<Effect>) {
    let mut machine = Machine { command: command.clone(), effects: Vec::new(), now };
    machine.handle(event);
    (machine.command, machine.effects)
}

struct Machine {
    command: Command,
    effects: Vec<Effect>,
    now: Timestamp,
}

impl Machine {
    fn handle(&mut self, event: &Event) {
        use State::*;
        let state = self.command.state;
        match event {
            Event::ClockJumped(millis) => self.shift(*millis),
            Event::Ended(outcome) => self.ended(outcome),
            Event::Runs if state == Lost => self.found_again(),
            _ if state.is_terminal() => {}
            Event::HostOnline => self.host_online(),
            Event::HostOffline => {
                if state != Queued {
                    self.command.offline_since.get_or_insert(self.now);
                    self.command.missed = 0;
                }
            }
            Event::Blocked(reason) => {
                if state == Queued {
                    self.enter(Blocked, Some(reason.clone()), None);
                }
            }
            Event::Runs => self.runs(),
            Event::DoesNotRun => self.does_not_run(),
            Event::NeverHeardOf => {
                // It was lost on the wire. It has an id, so sending it twice runs it once.
                if state == Sent {
                    self.effects.push(Effect::Send);
                }
            }
            Event::CameBackWithout => self.came_back_without(),
            Event::Replaced(what) => {
                if matches!(state, Running | Overdue | Stopping | Verifying) {
                    self.enter(Lost, Some(format!("The agent runs {what} instead.")), None);
                }
            }
            Event::Rejected(reason) => {
                if matches!(state, Sent | Running | Overdue | Stopping) {
                    self.enter(Rejected, Some(reason.clone()), None);
                }
            }
            Event::Goal(goal) => self.goal(goal),
            Event::Stop(by) => self.stop(by),
            Event::Extend(by) => {
                if matches!(state, Running | Overdue) {
                    let reason = format!("{by} gave it more time.");
                    let deadline = self.now + self.command.time_limit;
                    self.enter(Running, Some(reason), Some(deadline));
                }
            }
            Event::Tick => self.tick(),
        }
    }

    fn enter(&mut self, state: State, reason: Option<String>, deadline: Option<Timestamp>) {
        self.command.state = state;
        self.command.reason = reason;
        self.command.deadline = deadline;
        self.command.missed = 0;
        if state.is_terminal() {
            self.command.finished_at = Some(self.now);
            self.command.offline_since = None;
            self.command.progress = None;
        }
        self.effects.push(Effect::Journal);
    }

    fn host_online(&mut self) {
        self.command.offline_since = None;
        match self.command.state {
            State::Queued => {
                self.command.sent_at = Some(self.now);
                let deadline = Command::sent_deadline(self.now, self.now);
                self.enter(State::Sent, None, Some(deadline));
                self.effects.push(Effect::Send);
            }
            State::Sent => {
                let sent_at = self.command.sent_at.unwrap_or(self.now);
                self.command.deadline = Some(Command::sent_deadline(sent_at, self.now));
            }
            // The first stop may have been lost with the link.
            State::Stopping => self.effects.push(Effect::SendStop),
            _ => {}
        }
    }

    fn runs(&mut self) {
        self.command.missed = 0;
        if self.command.state == State::Sent {
            let deadline = self.now + self.command.time_limit;
            self.enter(State::Running, None, Some(deadline));
        }
    }

    fn found_again(&mut self) {
        let deadline = self.now + self.command.time_limit;
        self.enter(State::Running, Some("The agent still runs it.".to_owned()), Some(deadline));
        self.command.finished_at = None;
    }

    fn does_not_run(&mut self) {
        if !matches!(self.command.state, State::Running | State::Overdue) {
            return;
        }
        self.command.missed += 1;
        if self.command.missed >= MISSED_HEARTBEATS {
            let reason = "The agent does not run it and delivered no outcome.";
            self.enter(State::Lost, Some(reason.to_owned()), None);
        }
    }

    fn came_back_without(&mut self) {
        let active = matches!(self.command.state, State::Running | State::Overdue);
        if active && self.command.op.rules().deploys {
            // A 3.x agent is replaced by the switch it runs: this is how a switch ends.
            let deadline = self.now + VERIFYING_FOR;
            self.enter(State::Verifying, Some("The agent came back.".to_owned()), Some(deadline));
        } else if self.command.state == State::Stopping {
            let reason = self.stopped_by();
            self.command.exit_code.get_or_insert(130);
            self.enter(State::Stopped, Some(reason), None);
        }
    }

    fn ended(&mut self, outcome: &Outcome) {
        use State::*;
        match self.command.state {
            Sent | Running | Overdue | Stopping | Lost => {}
            // A 3.x agent that came back may deliver its outcome late.
            Verifying if self.command.exit_code.is_none() => {}
            Queued | Verifying | Succeeded | Failed | Unverified | Rejected | Blocked | Stopped
            | TimedOut | Expired | Cancelled => return,
        }
        self.command.exit_code = Some(outcome.exit_code);
        let message = outcome.message.clone().filter(|text| !text.trim().is_empty());
        match outcome.kind {
            OutcomeKind::Stopped => {
                let reason = self.stopped_by();
                self.enter(Stopped, Some(reason), None);
            }
            OutcomeKind::TimedOut => {
                let reason = message.unwrap_or_else(|| "It took too long.".to_owned());
                self.enter(TimedOut, Some(reason), None);
            }
            OutcomeKind::Exited if outcome.exit_code == 0 => {
                let deadline = self.now + VERIFYING_FOR;
                self.enter(Verifying, None, Some(deadline));
                self.effects.push(Effect::Refetch);
            }
            OutcomeKind::Exited | OutcomeKind::Failed => {
                let reason = message.unwrap_or_else(|| format!("Exit code {}.", outcome.exit_code));
                self.enter(Failed, Some(reason), None);
            }
        }
    }

    fn stopped_by(&self) -> String {
        match &self.command.stop_by {
            Some(by) => format!("Stopped by {by}."),
            None => "Stopped on the host.".to_owned(),
        }
    }

    fn goal(&mut self, goal: &Goal) {
        if self.command.state != State::Verifying {
            return;
        }
        match goal {
            Goal::Met => self.enter(State::Succeeded, None, None),
            Goal::Missing(what) => self.command.reason = Some(what.clone()),
            Goal::Missed(what) => self.enter(State::Unverified, Some(what.clone()), None),
        }
    }

    fn stop(&mut self, by: &str) {
        use State::*;
        match self.command.state {
            Queued => self.enter(Cancelled, Some(format!("Cancelled by {by}.")), None),
            Sent | Running | Overdue => {
                self.command.stop_by = Some(by.to_owned());
                let deadline = self.now + STOPPING_FOR;
                self.enter(Stopping, Some(format!("{by} asked it to stop.")), Some(deadline));
                self.effects.push(Effect::SendStop);
            }
            Stopping | Verifying | Succeeded | Failed | Unverified | Rejected | Blocked
            | Stopped | TimedOut | Lost | Expired | Cancelled => {}
        }
    }

    fn tick(&mut self) {
        use State::*;
        if self.command.due().is_none_or(|due| self.now < due) {
            return;
        }
        let gone = self.command.offline_since.is_some();
        match self.command.state {
            Queued => self.enter(Expired, Some("The host did not come back in time.".into()), None),
            Sent if gone => {
                let reason = "The host went away before it acknowledged the command.";
                self.enter(Lost, Some(reason.into()), None);
            }
            Sent => {
                self.enter(Lost, Some("The agent did not acknowledge the command.".into()), None);
            }
            Running if self.command.deadline.is_some_and(|at| self.now < at) => {
                self.command.slow = true;
            }
            Running => {
                let reason = "It runs longer than expected: extend it, stop it, or let it be.";
                self.enter(Overdue, Some(reason.into()), None);
                // A host that is long gone is given up at once.
                self.tick();
            }
            Overdue => {
                let reason = "The host went away while it was running and did not come back.";
                self.enter(Lost, Some(reason.into()), None);
            }
            Stopping => {
                let reason = "It was told to stop, and nobody knows whether it did.";
                self.enter(Lost, Some(reason.into()), None);
            }
            Verifying => {
                let missed = self.command.reason.clone();
                let reason = missed.unwrap_or_else(|| "No fresh facts came from the host.".into());
                self.enter(Unverified, Some(reason), None);
            }
            Succeeded | Failed | Unverified | Rejected | Blocked | Stopped | TimedOut | Lost
            | Expired | Cancelled => {}
        }
    }

    fn shift(&mut self, millis: i64) {
        for instant in [&mut self.command.deadline, &mut self.command.offline_since] {
            *instant = instant.map(|t| t.shifted(millis));
        }
        self.command.sent_at = self.command.sent_at.map(|t| t.shifted(millis));
    }
}
