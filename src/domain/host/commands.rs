//! The commands of a host, each where it belongs.

use crate::domain::bounds;
use crate::domain::command::{self, Baseline, Command, State};
use crate::domain::ids::CommandId;
use crate::domain::moment::Uptime;
use crate::domain::operation::Operation;
use std::collections::{BTreeSet, VecDeque};

/// So many commands that are over are kept for what the agent still says about them.
const ATTACHED: usize = 32;
/// So many ids of commands that are over are kept: no agent runs one of them again.
const OVER: usize = 16;

/// Where lines of output belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To this command; the number of the first.
    At(CommandId, u64),
    /// Their numbers are too far from those before.
    TooFar,
}

/// The commands of a host.
///
/// Invariant: what is not over is in `exclusive` or in `others`, and in no second place. What
/// is over is in neither. `exclusive` is the one exclusive command that is active, so there is
/// never a second. The rest is bounded: `attached` by [`ATTACHED`], `over` by [`OVER`], of what
/// has ended only the newest is `last`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Commands {
    /// The exclusive command, if one is active.
    exclusive: Option<Command>,
    /// Other commands that are not over: queued ones, restart-agent, reboot.
    others: Vec<Command>,
    /// Commands that are over for the dashboard, but whose job the agent still has. Oldest
    /// first.
    attached: Vec<Command>,
    /// The command that ended last.
    last: Option<Command>,
    /// Ids of the commands that ended since the dashboard started, the last few of them.
    over: VecDeque<CommandId>,
}

impl Commands {
    /// The commands as they were stored. The host is offline; time in which no dashboard ran
    /// counts for nothing.
    pub(super) fn restore(live: Vec<Command>, last: Option<Command>, now: Uptime) -> Self {
        let mut commands = Self { last, ..Self::default() };
        for mut command in live {
            // Links are counted from the dashboard's start; after a restart of the
            // dashboard every agent opens its first.
            command.baseline.links = 0;
            if matches!(command.state, State::Running | State::Overdue | State::Verifying) {
                // Earlier versions did not store it.
                command.reached = true;
            }
            commands.put_live(command::restored(command, now));
        }
        commands
    }

    /// The exclusive command, if one is active.
    pub(super) fn exclusive(&self) -> Option<&Command> {
        self.exclusive.as_ref()
    }

    /// The exclusive command, if it is this one.
    pub(super) fn exclusive_is(&self, id: CommandId) -> bool {
        self.exclusive.as_ref().is_some_and(|command| command.id == id)
    }

    /// What is not over and not exclusive: queued ones, restart-agent, reboot.
    pub(super) fn others(&self) -> &[Command] {
        &self.others
    }

    /// Every command that is not over.
    pub(super) fn live(&self) -> impl Iterator<Item = &Command> {
        self.exclusive.iter().chain(&self.others)
    }

    /// The ids of those commands that are not over of which `which` is true.
    pub(super) fn ids_of_live(&self, which: impl Fn(&Command) -> bool) -> Vec<CommandId> {
        self.live().filter(|command| which(command)).map(|command| command.id).collect()
    }

    /// Every command that is not over, and those whose job the agent still has.
    pub(super) fn find(&self, id: CommandId) -> Option<&Command> {
        self.live().chain(&self.attached).find(|command| command.id == id)
    }

    /// The command that ended last.
    pub(super) fn last(&self) -> Option<&Command> {
        self.last.as_ref()
    }

    /// The command that ended last, if it is this one.
    pub(super) fn last_is(&self, id: CommandId) -> bool {
        self.last.as_ref().is_some_and(|command| command.id == id)
    }

    /// Whether this command is known to be over, and of no further interest.
    pub(super) fn is_over(&self, id: CommandId) -> bool {
        self.over.contains(&id) || self.last_is(id)
    }

    /// The newest lost command of an operation, if none of that operation ended after it.
    pub(super) fn newest_lost(&self, op: Operation) -> Option<CommandId> {
        let lost = |command: &&Command| command.op == op && command.state == State::Lost;
        let newest =
            self.attached.iter().filter(lost).max_by_key(|command| (command.asked, command.id))?;
        let newer = self.last.as_ref().is_some_and(|last| {
            last.op == op && last.id != newest.id && last.asked >= newest.asked
        });
        if newer { None } else { Some(newest.id) }
    }

    /// The command that waits longest for its host, of all but these.
    pub(super) fn next_queued(&self, but: &BTreeSet<CommandId>) -> Option<&Command> {
        let waits =
            |command: &&Command| command.state == State::Queued && !but.contains(&command.id);
        let queued = self.others.iter().filter(waits);
        queued.min_by_key(|command| (command.asked, command.id))
    }

    /// Brings back a command that is over, but that the agent still talks about.
    pub(super) fn attach(&mut self, command: Command) {
        if self.find(command.id).is_some() {
            return;
        }
        self.attached.push(command);
        if self.attached.len() > ATTACHED {
            self.attached.remove(0);
        }
    }

    /// Takes a command out of its place. The last one stays, as the last one.
    pub(super) fn take(&mut self, id: CommandId) -> Option<Command> {
        if self.exclusive_is(id) {
            return self.exclusive.take();
        }
        for list in [&mut self.others, &mut self.attached] {
            if let Some(at) = list.iter().position(|command| command.id == id) {
                return Some(list.remove(at));
            }
        }
        if self.last_is(id) {
            return self.last.clone();
        }
        None
    }

    /// Puts a command where it belongs, live or over.
    pub(super) fn put(&mut self, command: Command) {
        if command.state.is_terminal() {
            self.put_ended(command);
        } else {
            self.put_live(command);
        }
        self.promote();
    }

    /// The place is taken by one that is active, if there is one: two can be only where two were
    /// stored.
    fn promote(&mut self) {
        let active = |command: &Command| command.op.rules().exclusive && command.state.is_active();
        if self.exclusive.is_none()
            && let Some(at) = self.others.iter().position(active)
        {
            self.exclusive = Some(self.others.remove(at));
        }
    }

    fn put_live(&mut self, command: Command) {
        let takes_the_place = command.op.rules().exclusive && command.state.is_active();
        if takes_the_place && self.exclusive.is_none() {
            self.exclusive = Some(command);
        } else {
            self.others.push(command);
        }
    }

    fn put_ended(&mut self, command: Command) {
        if !self.over.contains(&command.id) {
            self.over.push_back(command.id);
            if self.over.len() > OVER {
                self.over.pop_front();
            }
        }
        // Only a lost one can still change: the agent may come back with the truth.
        if command.state == State::Lost {
            self.attach(command.clone());
        }
        let newer = match &self.last {
            Some(last) => last.asked <= command.asked || last.id == command.id,
            None => true,
        };
        if newer {
            self.last = Some(command);
        }
    }

    /// What the goal of a waiting command is measured by, as it is sent.
    pub(super) fn set_baseline(&mut self, id: CommandId, baseline: Baseline) {
        if let Some(command) = self.others.iter_mut().find(|command| command.id == id) {
            command.baseline = baseline;
        }
    }

    /// The link after which the exclusive command's end must be proven.
    pub(super) fn set_links(&mut self, id: CommandId, links: u64) {
        if let Some(command) = self.exclusive.as_mut().filter(|command| command.id == id) {
            command.baseline.links = links;
        }
    }

    /// Changes what is known of a command, wherever it is, and answers it.
    pub(super) fn change(
        &mut self,
        id: CommandId,
        change: impl Fn(&mut Command),
    ) -> Option<&Command> {
        let live = self.exclusive.iter_mut().chain(&mut self.others);
        let over = self.attached.iter_mut().chain(self.last.as_mut());
        let mut changed = None;
        for command in live.chain(over).filter(|command| command.id == id) {
            change(command);
            changed = Some(&*command);
        }
        changed
    }

    /// What the exclusive command is doing now, in a few words.
    pub(super) fn set_progress(&mut self, id: CommandId, text: String) {
        if let Some(command) = self.exclusive.as_mut().filter(|command| command.id == id) {
            command.progress = Some(text);
        }
    }

    /// What a waiting command's goal lacks.
    pub(super) fn set_miss(&mut self, id: CommandId, miss: command::Miss) {
        let mut live = self.exclusive.iter_mut().chain(&mut self.others);
        if let Some(command) = live.find(|command| command.id == id) {
            command.miss = Some(miss);
        }
    }

    /// Why a waiting command is where it is.
    pub(super) fn set_reason(&mut self, id: CommandId, reason: String) -> Option<&Command> {
        let command = self.others.iter_mut().find(|command| command.id == id)?;
        command.reason = Some(reason);
        Some(command)
    }

    /// Takes a place for lines of output: which command they belong to, and the number of the
    /// first. Protocol 3 gives no number: they follow the last one. `None` if there is no such
    /// command. Numbers follow on, but for what a spool had no room for.
    pub(super) fn take_lines(
        &mut self,
        id: CommandId,
        first_seq: Option<u64>,
        count: u64,
    ) -> Option<Place> {
        let live = self.exclusive.iter_mut().chain(&mut self.others);
        // The last lines of a 3.x agent may come after its outcome.
        let over = self.attached.iter_mut().chain(self.last.as_mut());
        let command = live.chain(over).find(|command| command.id == id)?;
        let first = first_seq.unwrap_or(command.output_lines.saturating_add(1));
        if first > command.output_lines.saturating_add(bounds::LINE_NUMBER_JUMP) {
            return Some(Place::TooFar);
        }
        let end = first.saturating_add(count).saturating_sub(1);
        command.output_lines = command.output_lines.max(end);
        Some(Place::At(command.id, first))
    }

    /// What must always hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let ids: std::collections::BTreeSet<CommandId> = self.live().map(|c| c.id).collect();
        assert_eq!(ids.len(), self.live().count(), "a command is in two places: {self:#?}");
        assert!(self.live().all(|c| !c.state.is_terminal()), "what is over is live: {self:#?}");
        let active = |c: &Command| c.op.rules().exclusive && c.state.is_active();
        assert!(self.exclusive.iter().all(active), "the place is taken by nothing: {self:#?}");
        assert!(!self.others.iter().any(active), "two are exclusive: {self:#?}");
        assert!(self.attached.len() <= ATTACHED, "too many attached: {self:#?}");
        assert!(self.over.len() <= OVER, "too many remembered: {self:#?}");
    }
}
