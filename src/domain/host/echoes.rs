//! What a 3.x agent still says about what is over, and what it cannot be told yet
//! (spec: lifecycle, "3.x").
//!
//! Such an agent has no ids. It names a command once more after it has reported its end, tells
//! of a stop twice, and refuses what comes while it does something else. All of that would look
//! like commands of their own to somebody who does not remember what was said before.

use crate::domain::ids::CommandId;
use crate::domain::moment::Uptime;
use crate::domain::operation::Operation;
use std::collections::VecDeque;
use std::time::Duration;

/// A name that so many heartbeats in a row repeat is no echo.
const BELIEVED_AT: u8 = 3;
/// After a stop nothing is sent for so many heartbeats, if none of them is without a command.
const QUIET_HEARTBEATS: u8 = 3;
/// After a stop nothing is sent for so long at most.
const QUIET_FOR: Duration = Duration::from_secs(120);
/// So often a command is sent again to an agent that was busy with something short.
const SENT_AGAIN_AT_MOST: u8 = 3;
/// So many stops are remembered.
const STOPS: usize = 8;
/// A refresh of which nothing was heard is over after so long.
const REFRESHES_FOR: Duration = Duration::from_secs(300);
/// What such an agent is asked beside commands. It works on it as on one.
const CHORES: [&str; 4] = ["refresh-all", "refresh-lock", "refresh-system", "refresh-git"];

/// What was heard of a 3.x agent, as far as it says what its next words mean.
///
/// Invariant: everything here ends by itself, by heartbeats, by a new link or by time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Echoes {
    /// The operation whose end was heard last.
    ended: Option<Operation>,
    /// Whether no heartbeat since then named nothing.
    fresh: bool,
    /// How many heartbeats since then, or since a stop, named something; `None` after one that named nothing.
    named: Option<u8>,
    /// The operation that was stopped: its end is heard twice.
    stopped: Option<Operation>,
    /// The commands that it was told to stop and has not answered for, in that order.
    stops: VecDeque<CommandId>,
    /// After a stop: the agent may say more about it.
    quiet: Option<Quiet>,
    /// What it was too busy to take.
    put_off: Option<PutOff>,
    /// Since when it gathers its facts, because it was asked to.
    refreshes_since: Option<Uptime>,
    /// What it works on, if that has no name here. Hostile text.
    busy_with: Option<String>,
}

/// The time after a stop.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quiet {
    until: Uptime,
    heartbeats: u8,
}

/// A command that waits for the agent to be free.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PutOff {
    id: CommandId,
    times: u8,
    waits: bool,
}

/// What the name in a heartbeat means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// It works on this.
    Works(Operation),
    /// It repeats what it has told.
    Echo,
    /// It works on something that has no name here.
    Nameless,
}

/// Whether this is asked beside commands.
pub(super) fn is_chore(name: &str) -> bool {
    CHORES.contains(&name)
}

impl Echoes {
    /// Another process of the agent, or at least another link: what it did before is over.
    pub(super) fn new_link(&mut self) {
        self.refreshes_since = None;
        self.busy_with = None;
        self.stopped = None;
        self.stops.clear();
    }

    /// It was told to stop a command.
    pub(super) fn told_to_stop(&mut self, id: CommandId) {
        self.stops.push_back(id);
        if self.stops.len() > STOPS {
            self.stops.pop_front();
        }
    }

    /// It answers for a stop: which command that was about.
    pub(super) fn answers_for_stop(&mut self) -> Option<CommandId> {
        self.stops.pop_front()
    }

    /// The end of an operation was heard.
    pub(super) fn ended(&mut self, op: Operation) {
        self.ended = Some(op);
        self.fresh = true;
        self.named = Some(0);
    }

    /// A command was stopped: the agent may say so twice.
    pub(super) fn stopped(&mut self, now: Uptime) {
        self.quiet = Some(Quiet { until: now + QUIET_FOR, heartbeats: 0 });
        self.named.get_or_insert(0);
    }

    /// Whether an end that was heard already may be heard once more.
    pub(super) fn may_repeat(&self, op: Operation) -> bool {
        self.ended == Some(op) && self.fresh
    }

    /// The agent said that it stopped an operation. What it ran says so as well, later.
    pub(super) fn says_it_stopped(&mut self, op: Operation) {
        self.stopped = Some(op);
    }

    /// Whether an end is only the second word about a stop, and not that of the command that
    /// was sent since. There is one such word.
    pub(super) fn is_second_word(&mut self, op: Operation) -> bool {
        let second = self.stopped == Some(op);
        if second {
            self.stopped = None;
        }
        second
    }

    /// Whether nothing may be sent now.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.is_some()
    }

    /// When that ends at the latest.
    pub(super) fn quiet_until(&self) -> Option<Uptime> {
        self.quiet.map(|quiet| quiet.until)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Uptime) {
        if self.quiet.is_some_and(|quiet| quiet.until <= now) {
            self.quiet = None;
        }
    }

    /// A heartbeat named nothing. Answers the command that may be sent again now.
    pub(super) fn heard_idle(&mut self) -> Option<CommandId> {
        self.fresh = false;
        self.named = None;
        self.stopped = None;
        self.quiet = None;
        self.busy_with = None;
        let put_off = self.put_off.as_mut().filter(|put_off| put_off.waits)?;
        put_off.waits = false;
        Some(put_off.id)
    }

    /// A heartbeat named something. `expected`: what was sent to it and is not over.
    pub(super) fn heard_name(&mut self, name: &str, expected: Option<Operation>) -> Name {
        self.count_quiet();
        let Some(op) = Operation::parse(name) else {
            self.is_busy_with(name);
            return Name::Nameless;
        };
        self.busy_with = None;
        if expected == Some(op) && self.ended != Some(op) {
            // It has gone on to the next.
            self.named = None;
        }
        let Some(named) = &mut self.named else {
            return Name::Works(op);
        };
        *named = named.saturating_add(1);
        if *named < BELIEVED_AT {
            return Name::Echo;
        }
        self.named = None;
        Name::Works(op)
    }

    fn count_quiet(&mut self) {
        if let Some(quiet) = &mut self.quiet {
            quiet.heartbeats = quiet.heartbeats.saturating_add(1);
            if quiet.heartbeats >= QUIET_HEARTBEATS {
                self.quiet = None;
            }
        }
    }

    /// The agent refused a command because it does this. Whether that is over soon: then the
    /// command is to be sent again.
    pub(super) fn puts_off(&mut self, id: CommandId, because_of: &str) -> bool {
        let op = Operation::parse(because_of);
        let passes = is_chore(because_of) || (op.is_some() && op == self.ended);
        let times = match self.put_off {
            Some(put_off) if put_off.id == id => put_off.times,
            Some(_) | None => 0,
        };
        if !passes || times >= SENT_AGAIN_AT_MOST {
            return false;
        }
        self.put_off = Some(PutOff { id, times: times + 1, waits: true });
        true
    }

    /// It works on something that has no name here.
    pub(super) fn is_busy_with(&mut self, name: &str) {
        self.busy_with = if is_chore(name) { None } else { Some(name.to_owned()) };
    }

    /// What it works on, if that has no name here. Hostile text.
    pub(super) fn busy_with(&self) -> Option<&str> {
        self.busy_with.as_deref()
    }

    /// It was asked to gather its facts.
    pub(super) fn asked_to_refresh(&mut self, now: Uptime) {
        self.refreshes_since = Some(now);
    }

    /// It has gathered its facts, or refused to.
    pub(super) fn refreshed(&mut self) {
        self.refreshes_since = None;
    }

    /// Whether it gathers its facts now, as far as we know.
    pub(super) fn refreshes(&self, now: Uptime) -> bool {
        self.refreshes_since.is_some_and(|since| now.since(since) < REFRESHES_FOR)
    }
}
