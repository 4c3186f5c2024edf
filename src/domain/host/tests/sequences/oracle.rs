//! What may be green, worked out a second time: from the specification's text and from what
//! happened, not from the rules of the program. It believes the plain facts that a host told last
//! (its checkout, its flake.lock, its paths); everything that is worked out from them (what was
//! deployed, which run counts, what is newest) it works out for itself.
//!
//! It only ever forbids: a row that is more careful than this is right too.

use super::*;
use crate::domain::command::Baseline;
use crate::domain::facts::HostFacts;
use std::collections::BTreeMap;

/// A command as the oracle has seen it.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// The how manieth it was to be sent.
    nth: u64,
    /// Tells one sending of it from the next.
    sending: u64,
    /// The agent took it.
    taken: bool,
    /// The change of what runs that was the newest when it was sent.
    change: u64,
    checkout: Option<Commit>,
    lock: Option<LockState>,
    dirty: bool,
    runs: Option<String>,
    boots: Option<String>,
    /// What that says of itself that it was built from.
    built: Option<Commit>,
}

/// A deploy that ended.
#[derive(Debug, Clone)]
struct Done {
    id: CommandId,
    nth: u64,
    rollback: bool,
    good: bool,
    built: Option<Commit>,
    with: Option<LockState>,
    began: Option<String>,
    left: Option<String>,
    /// What it built is meant for the next boot, and none has come up with it yet.
    waits: bool,
    intended: Option<String>,
    /// The boot in which it ended, or that was looked at last.
    boot: Option<String>,
}

impl Done {
    fn brought(&self) -> Option<&String> {
        let left = self.left.as_ref()?;
        let changed = self.began.as_ref().is_some_and(|began| began != left);
        if self.runs_by_itself() || changed { Some(left) } else { None }
    }

    /// It went well, and what it built was meant to run.
    fn runs_by_itself(&self) -> bool {
        self.good && !self.waits
    }
}

/// A test run that ended.
#[derive(Debug, Clone)]
struct Run {
    id: CommandId,
    nth: u64,
    change: u64,
    passed: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    sent: u64,
    /// Counts the changes of what runs.
    change: u64,
    seen: BTreeMap<CommandId, Seen>,
    deploys: Vec<Done>,
    run: Option<Run>,
    results: BTreeMap<CommandId, BTreeMap<u32, bool>>,
    /// What agents said that their jobs built, with the word that counts: the first.
    told_built: BTreeMap<CommandId, Built>,
    /// The paths that agents told with the end of a command, or since then until it was over.
    told_paths: BTreeMap<CommandId, (Option<String>, Option<String>)>,
    runs: Option<String>,
    /// The boot of the agent that is connected.
    boot: Option<String>,
    /// Both paths were told by the agent's last word about them, on this link.
    told: bool,
    /// What runs became another path since the last deploy, while nothing was under way.
    moved: bool,
    /// The end of the last deploy is past.
    past: bool,
    /// What runs became another path with what happens now.
    moves: bool,
    /// A user holds the host.
    pinned: bool,
    /// What may not be built again, and its path: what it went back from, while nothing else ran since.
    held: Vec<(Commit, Option<String>)>,
    /// What the agent said just now that it works on.
    named: Option<CommandId>,
}

fn deploys(command: &Command) -> bool {
    matches!(command.op, Operation::Switch | Operation::PullSwitch | Operation::Rollback)
}

impl Oracle {
    /// Something happened. `before`: the host before it; `effects`: what came of it.
    pub(super) fn saw(
        &mut self,
        event: Option<&HostEvent>,
        before: &HostState,
        after: &HostState,
        effects: &[HostEffect],
    ) {
        match event {
            Some(HostEvent::Held { .. }) => self.pinned = true,
            Some(HostEvent::Released { .. }) => (self.pinned, self.held) = (false, Vec::new()),
            _ => {}
        }
        self.hear(event, before);
        let facts = &after.facts;
        let runs = facts.system.store_path.clone();
        let old = if runs.is_some() { std::mem::replace(&mut self.runs, runs) } else { None };
        self.moves = old.is_some() && old != self.runs;
        if self.moves {
            self.held.clear();
            self.change += 1;
            let left = self.deploys.last().and_then(|last| last.left.as_ref());
            self.moved |=
                before.command().is_none() && left.is_some() && left != self.runs.as_ref();
        }
        let word = heard(event, before).and_then(|report| report.system.as_ref());
        if word.is_some_and(|system| system.store_path.is_some())
            && before.command().is_none_or(|command| !deploys(command))
        {
            self.fill(facts);
        }
        if let Some(HostEvent::Connected { .. }) = event {
            self.boots(facts);
        }
        for effect in effects {
            if let HostEffect::SaveCommand { command, .. } = effect {
                let was = before.find(command.id).map(|command| command.state);
                if was == Some(State::Lost) && command.state == State::Running {
                    // It runs still: what was told of its end was told of none.
                    self.told_built.remove(&command.id);
                    self.told_paths.remove(&command.id);
                }
                self.command(command, event, after);
            }
        }
        self.what_runs_proves_itself(after);
    }

    pub(super) fn restarted(&mut self) {
        self.told = false;
    }

    fn hear(&mut self, event: Option<&HostEvent>, before: &HostState) {
        match event {
            Some(HostEvent::Disconnected) => self.told = false,
            Some(HostEvent::TestEnded { about, result }) if before.online => {
                let current = before.command().map(|command| command.id);
                let id = match about {
                    About::Id(id) => before.find(*id).map(|command| command.id),
                    About::Name(_) => current,
                };
                if let Some(id) = id {
                    let passed = result.outcome == TestCaseOutcome::Passed;
                    self.results.entry(id).or_default().insert(result.index, passed);
                }
            }
            Some(HostEvent::Connected { registration, .. }) => {
                self.boot.clone_from(&registration.process.boot_id);
            }
            Some(HostEvent::Ended { .. }) if heard(event, before).is_some() => self.told = false,
            _ => {}
        }
        let checked = before.command().filter(|now| now.state == State::Verifying);
        if let (Some(now), Some(system)) =
            (checked, heard(event, before).and_then(|report| report.system.as_ref()))
            && let Some(told) = self.told_paths.get_mut(&now.id)
            && system.store_path.is_some()
        {
            *told = (system.store_path.clone(), system.profile_path.clone());
        }
        if let Some(HostEvent::Ended { about, outcome, report }) = event {
            self.hear_what_was_built(about, outcome, report, before);
        }
        self.named = event.and_then(|event| works_on(event, before));
        if let Some(seen) = self.named.and_then(|id| self.seen.get_mut(&id)) {
            seen.taken = true;
        }
        if let Some(system) = heard(event, before).and_then(|report| report.system.as_ref()) {
            self.told = system.store_path.is_some() && system.profile_path.is_some();
        }
    }

    fn hear_what_was_built(
        &mut self,
        about: &About,
        outcome: &Outcome,
        report: &Report,
        before: &HostState,
    ) {
        let id = match about {
            About::Id(id) => Some(*id),
            About::Name(_) => before.command().filter(|now| is_about(about, now)).map(|now| now.id),
        };
        let last = before.commands.last();
        let known = id.and_then(|id| before.find(id).or(last.filter(|last| last.id == id)));
        let Some(command) = known.filter(|_| before.online && is_sane(outcome)) else { return };
        use State::*;
        let first = match command.state {
            Sent | Running | Overdue | Stopping => true,
            Lost => !command.interrupted,
            Verifying => command.exit_code.is_none(),
            _ => false,
        };
        if let Some(built) = report.built.as_ref().filter(|_| first) {
            self.told_built.insert(command.id, built.clone());
        }
        if first && let Some(system) = report.system.as_ref().filter(|s| s.store_path.is_some()) {
            let paths = (system.store_path.clone(), system.profile_path.clone());
            self.told_paths.insert(command.id, paths);
        }
    }

    /// A boot came: with what the last deploy meant for it, or not.
    fn boots(&mut self, facts: &HostFacts) {
        let (boot, runs) = (self.boot.clone(), facts.system.store_path.clone());
        let Some(last) = self.deploys.last_mut().filter(|last| last.good && last.waits) else {
            return;
        };
        if boot.is_some() && last.boot.is_some() && boot != last.boot && runs.is_some() {
            last.boot = boot;
            if last.intended == runs {
                (last.left, last.waits) = (runs, false);
            }
        }
    }

    /// The first word after a deploy whose outcome told nothing.
    fn fill(&mut self, facts: &HostFacts) {
        if let Some(last) = self.deploys.last_mut().filter(|last| last.left.is_none()) {
            last.left.clone_from(&facts.system.store_path);
        }
    }

    fn command(&mut self, command: &Command, event: Option<&HostEvent>, after: &HostState) {
        let fresh = !self.seen.contains_key(&command.id);
        let sent = command.state == State::Sent;
        let built = after.facts.system.revision();
        if sent && self.seen.get(&command.id).is_none_or(|s| s.sending != command.baseline.order) {
            self.may_be_sent(command);
        }
        let seen = self.seen.entry(command.id).or_default();
        if fresh || (sent && seen.sending != command.baseline.order) {
            self.sent += 1;
            let Baseline { checkout, lock, dirty, store_path, profile_path, .. } =
                &command.baseline;
            *seen = Seen {
                nth: self.sent,
                sending: command.baseline.order,
                // One that it said it works on is sent all the same; it has it.
                taken: self.named == Some(command.id),
                change: self.change,
                checkout: checkout.clone(),
                lock: lock.clone(),
                dirty: *dirty == Some(true),
                runs: store_path.clone(),
                boots: profile_path.clone(),
                built,
            };
        }
        use State::*;
        seen.taken |= matches!(
            command.state,
            Running | Overdue | Verifying | Succeeded | Failed | Unverified | TimedOut
        ) || command.exit_code.is_some();
        let seen = seen.clone();
        if !command.state.is_terminal()
            || !seen.taken
            || matches!(command.state, Rejected | Blocked | Expired | Cancelled)
        {
            return;
        }
        let pulled_only = command.op == Operation::PullSwitch
            && command.phase == Some(WorkPhase::Pull)
            && !matches!(command.state, Succeeded | Unverified);
        if pulled_only {
            return;
        }
        if deploys(command) {
            self.deploy_ended(command, &seen, event, after);
        } else if command.op == Operation::Test {
            self.run_ended(command, &seen, after);
        }
    }

    fn deploy_ended(
        &mut self,
        command: &Command,
        seen: &Seen,
        event: Option<&HostEvent>,
        after: &HostState,
    ) {
        let facts = &after.facts;
        let said = match event {
            Some(HostEvent::Ended { report, .. }) => Some(&**report),
            _ => None,
        };
        let told =
            said.and_then(|report| report.system.as_ref()).filter(|s| s.store_path.is_some());
        let paths = match told {
            Some(system) => (system.store_path.clone(), system.profile_path.clone()),
            // What an outcome told of its end, also one that came late, goes before what is told now.
            None => match self.told_paths.get(&command.id) {
                Some(paths) => paths.clone(),
                None if self.told => {
                    (facts.system.store_path.clone(), facts.system.profile_path.clone())
                }
                None => (None, None),
            },
        };
        let stale = command.state == State::Unverified && command.miss == Some(Miss::StaleAgent);
        let good = command.state == State::Succeeded || stale;
        let same = paths.0.is_some()
            && paths.1.is_some()
            && paths == (seen.runs.clone(), seen.boots.clone());
        let told = self.told_built.get(&command.id);
        let waits = told.is_some_and(|told| told.starts == Starts::NextBoot);
        let profile = paths.1.clone().filter(|_| waits);
        let path = told.and_then(|told| told.path.clone()).filter(|_| waits).or(profile);
        let path = if waits { path } else { paths.0.clone() };
        // What runs already waits for no boot.
        let waits = waits && (path.is_none() || path != paths.0 || path != paths.1);
        let (built, with) = self.built(command, seen, said, after, path.as_ref());
        let done = Done {
            id: command.id,
            nth: seen.nth,
            rollback: command.op == Operation::Rollback,
            good,
            built,
            with,
            began: seen.runs.clone(),
            left: paths.0,
            waits,
            intended: path,
            boot: self.boot.clone(),
        };
        if self.deploys.last().is_some_and(|last| last.id != done.id && last.nth > done.nth) {
            return;
        }
        if good || !same {
            self.change += 1;
        }
        (self.moved, self.past) = (false, false);
        self.hold(command, &done, seen);
        self.deploys.retain(|known| known.id != done.id || known.brought().is_some());
        self.deploys.push(done);
    }

    /// What is not built again: what a guard took back, and what a rollback left; as far as hosts
    /// said themselves which commit that was.
    fn hold(&mut self, command: &Command, done: &Done, seen: &Seen) {
        let left = match (command.op, command.returned.is_some(), done.good) {
            (Operation::Switch | Operation::PullSwitch, true, _) => {
                let told = self.told_built.get(&command.id).filter(|told| !told.dirty);
                let runs = &done.left;
                // What was left before, and is what it returned to, runs again.
                self.held.retain(|(_, path)| path.is_none() || path != runs);
                told.and_then(|told| Some((told.commit.clone()?, told.path.clone())))
            }
            // It may have taken back what was to boot, and nothing that ran.
            (Operation::Rollback, _, true)
                if self.deploys.last().is_some_and(|last| last.waits) =>
            {
                None
            }
            (Operation::Rollback, _, true) => {
                seen.built.clone().map(|commit| (commit, seen.runs.clone()))
            }
            (_, _, true) if done.runs_by_itself() => {
                self.held.clear();
                return;
            }
            _ => return,
        };
        if done.rollback {
            // It may have gone to what was left before.
            self.held.clear();
        }
        // A truth that comes late, while something else runs already, holds nothing any more.
        let as_left = done.left.is_none() || done.left == self.runs;
        if as_left && !self.moves {
            self.held.extend(left);
        }
    }

    /// Nobody went on regardless in these sequences.
    fn may_be_sent(&self, command: &Command) {
        let begun = &command.baseline;
        let builds = match command.op {
            Operation::Switch => begun.checkout.as_ref().filter(|_| begun.dirty != Some(true)),
            Operation::PullSwitch => begun.desired.as_ref(),
            _ => return,
        };
        let held = self.held.iter().any(|(commit, _)| Some(commit) == builds);
        assert!(!self.pinned && !held, "sent though it is held: {command:#?} {self:#?}");
    }

    fn built(
        &self,
        command: &Command,
        seen: &Seen,
        said: Option<&Report>,
        after: &HostState,
        left: Option<&String>,
    ) -> (Option<Commit>, Option<LockState>) {
        let facts = &after.facts;
        if command.op == Operation::Rollback {
            let known = left.and_then(|left| self.brought(left));
            let says = facts.system.revision().filter(|_| facts.system.store_path.as_ref() == left);
            let of_known = known.and_then(|known| known.built.clone());
            return (says.or(of_known), known.and_then(|known| known.with.clone()));
        }
        if let Some(told) = self.told_built.get(&command.id) {
            let commit = told.commit.clone().filter(|_| !told.dirty);
            return (commit, told.lock.clone());
        }
        // What was built from changed files is of no commit.
        if seen.dirty && command.op == Operation::Switch || facts.dirty == Some(true) {
            return (None, None);
        }
        // A 3.x agent tells what it built by what is checked out when it tells its end.
        let old = command.baseline.protocol == Some(3);
        let unheard = command.exit_code.is_none() && said.is_none();
        if command.op == Operation::Switch && (!old || unheard) {
            return (seen.checkout.clone(), seen.lock.clone());
        }
        let checkout = said.and_then(|report| report.checkout.clone());
        let lock = said.and_then(|report| report.lock.clone());
        (checkout.or(facts.checkout.clone()), lock.or(facts.lock.clone()))
    }

    fn run_ended(&mut self, command: &Command, seen: &Seen, after: &HostState) {
        let results = self.results.get(&command.id);
        let failed = results.is_some_and(|results| results.values().any(|passed| !passed));
        let old = after.facts.agent.protocol.is_none_or(|protocol| protocol < 4);
        let proved = old || results.is_some_and(|results| !results.is_empty());
        let run = Run {
            id: command.id,
            nth: seen.nth,
            change: seen.change,
            passed: command.state == State::Succeeded && !failed && proved,
        };
        if !self.run.as_ref().is_some_and(|last| last.id != run.id && last.nth > run.nth) {
            self.run = Some(run);
        }
    }

    fn what_runs_proves_itself(&mut self, host: &HostState) {
        let facts = &host.facts;
        let Some(last) = self.deploys.last() else { return };
        let another = last.left.is_some() && last.left != facts.system.store_path;
        let revision = facts.system.revision();
        let proven = revision.is_some() && revision == facts.checkout;
        self.past |= self.moved && another && proven;
    }

    fn brought(&self, path: &String) -> Option<&Done> {
        let those = self.deploys.iter().filter(|done| done.brought() == Some(path));
        those.max_by_key(|done| done.nth)
    }

    /// The commit and lock that what runs was built from, as far as anything proves it.
    fn deployed(&self, facts: &HostFacts) -> Option<(Commit, Option<LockState>)> {
        let runs = facts.system.store_path.as_ref();
        if let Some(text) = &facts.system.configuration_revision {
            return Some((Commit::parse(text)?, None));
        }
        let done = match runs {
            Some(path) => self.brought(path)?,
            None => self.deploys.last().filter(|last| last.runs_by_itself())?,
        };
        Some((done.built.clone()?, done.with.clone()))
    }

    /// Whether what runs is proven to be what is checked out.
    fn runs_the_checkout(&self, facts: &HostFacts) -> bool {
        self.deployed(facts).is_some_and(|(commit, lock)| {
            Some(&commit) == facts.checkout.as_ref()
                && lock.is_none_or(|lock| facts.lock == Some(lock))
        })
    }

    /// Fails if anything is green that may not be.
    pub(super) fn judges(&self, host: &HostState) {
        let hold = host.facts.hold.as_ref();
        assert!(!self.pinned || hold.is_some_and(|hold| hold.pin), "let go by itself: {self:#?}");
        for (commit, _) in &self.held {
            assert!(
                hold.is_some_and(|hold| hold.applies(Some(commit))),
                "{commit}: {hold:#?} {self:#?}"
            );
        }
        let row = host.snapshot().row;
        let facts = &host.facts;
        let ok = |compartment: Compartment| row[compartment].status == Status::Ok;
        let remote = match &*host.desired {
            Desired::Known(remote) => Some(remote),
            _ => None,
        };
        let git = remote.is_some_and(|remote| {
            facts.checkout.as_ref() == Some(&remote.commit) && facts.dirty != Some(true)
        });
        let lock = remote.is_some_and(|remote| {
            remote.lock.is_some() && facts.lock == remote.lock && facts.checkout.is_some()
        });
        let live = |what: &dyn Fn(&Command) -> bool| {
            host.live().any(|command| command.state.is_active() && what(command))
        };
        let pulls = live(&|c| {
            let in_its_pull = c.phase.is_none_or(|phase| phase == WorkPhase::Pull);
            c.op == Operation::Pull || (c.op == Operation::PullSwitch && in_its_pull)
        });
        assert!(!ok(Compartment::Git) || (git && !pulls), "Git is green: {row:#?} {self:#?}");
        assert!(!ok(Compartment::Lock) || (lock && !pulls), "Lock is green: {row:#?} {self:#?}");
        let proven = git && lock && self.runs_the_checkout(facts);
        let system = proven && !live(&deploys) && self.nothing_speaks_against(facts);
        assert!(
            !ok(Compartment::System) || system,
            "System is green: {row:#?} {facts:#?} {self:#?}"
        );
        let passed = self.run.as_ref().is_some_and(|run| run.passed && run.change == self.change);
        let tests = proven && passed && !live(&|c| c.op == Operation::Test);
        assert!(!ok(Compartment::Tests) || tests, "Tests is green: {row:#?} {facts:#?} {self:#?}");
    }

    fn nothing_speaks_against(&self, facts: &HostFacts) -> bool {
        let (runs, boots) = (&facts.system.store_path, &facts.system.profile_path);
        if runs.is_some() && boots.is_some() && runs != boots {
            return false;
        }
        let Some(last) = self.deploys.last() else {
            return true;
        };
        let revision = facts.system.revision();
        let proven = revision.is_some() && revision == facts.checkout;
        let as_left = last.left.is_none() || runs.is_none() || last.left == *runs;
        (last.good || self.past) && (as_left || proven) && !(last.rollback && as_left)
    }
}

/// The command that an agent which knows ids says it works on: it has taken that one.
fn works_on(event: &HostEvent, before: &HostState) -> Option<CommandId> {
    let knows_ids = before.protocol().names_commands_by_id();
    match event {
        HostEvent::Connected { registration, .. } => {
            registration.jobs.iter().flatten().find(|job| job.running).map(|job| job.id)
        }
        HostEvent::Accepted(id) | HostEvent::Phase { id, .. } if before.online => Some(*id),
        HostEvent::Progress { about: About::Id(id), .. } if before.online => Some(*id),
        HostEvent::Ended { about, outcome, .. } if before.online && is_sane(outcome) => match about
        {
            About::Id(id) => Some(*id),
            About::Name(_) => before.command().filter(|now| is_about(about, now)).map(|now| now.id),
        },
        HostEvent::Heartbeat { work: Some(work), .. }
        | HostEvent::Rejected { work: Some(work), .. }
            if before.online && knows_ids =>
        {
            let now = before.command();
            let same = now.filter(|now| Operation::parse(&work.name) == Some(now.op));
            work.id.or(same.map(|same| same.id))
        }
        _ => None,
    }
}

/// The facts that a message of the agent tells of now. The end of a command that is over for long
/// tells none.
fn heard<'a>(event: Option<&'a HostEvent>, before: &HostState) -> Option<&'a Report> {
    match event? {
        HostEvent::Connected { registration, .. } => Some(&registration.report),
        HostEvent::Heartbeat { report, .. } if before.online => Some(report),
        HostEvent::Ended { about, outcome, report } if before.online => {
            let now = before.command()?;
            let first = now.state != State::Verifying || now.exit_code.is_none();
            let its = is_about(about, now) && is_sane(outcome);
            if its && first { Some(report) } else { None }
        }
        _ => None,
    }
}

fn is_about(about: &About, command: &Command) -> bool {
    match about {
        About::Id(id) => *id == command.id,
        About::Name(name) => name.is_empty() || Operation::parse(name) == Some(command.op),
    }
}

fn is_sane(outcome: &Outcome) -> bool {
    (-1..=255).contains(&outcome.exit_code)
}
