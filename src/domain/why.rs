//! The one sentence of a row: why its host is as it is, the cause first.

use super::command::{Command, State, WorkPhase};
use super::compartment::{Cause, Compartment, Status, Verdict};
use super::deploy::{DeployKind, DeployOutcome};
use super::facts::SinceDeploy;
use super::ids::Commit;
use super::snapshot::HostSnapshot;
use super::timestamp::Timestamp;

/// How the sentence is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something failed.
    Bad,
    /// Something runs.
    Running,
    /// Anything else.
    Soft,
}

/// Why a host is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// How it is meant.
    pub tone: Tone,
    /// What was done to the host on purpose, before all else: "Rolled back to gen 88".
    pub mark: Option<String>,
    /// The sentence. It may hold text of a host: escape it. Empty: there is nothing to say.
    pub text: String,
    /// Since when that lasts, where that is worth saying.
    pub since: Option<Timestamp>,
    /// What hosts with the same cause have in common; empty where there is none.
    pub cause: String,
}

/// What System adds where nothing but another switch proves anything; the row's button says so.
const UNTIL: &str = " (only a switch that succeeds clears this)";
/// Longer sentences are cut here: a row has one line.
const LONGEST: usize = 120;

impl Why {
    fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, mark: None, text: text.into(), since: None, cause: String::new() }
    }

    fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

impl HostSnapshot {
    /// Why the host is as it is. `last_seen`: when a frame of it came last.
    pub fn why(&self, last_seen: Option<Timestamp>) -> Why {
        let mut why = self.why_without_hold(last_seen);
        let hold = self.facts.hold.as_ref().filter(|_| self.held);
        if let Some(hold) = hold.filter(|_| why.tone != Tone::Running) {
            let on = self.facts.system.generation;
            let on = on.map_or_else(String::new, |number| format!(" at gen {number}"));
            why.mark = Some(format!("Held{on}"));
            if why.tone == Tone::Soft && self.online {
                why.text = cut(first_line(&hold.reason));
                "held".clone_into(&mut why.cause);
            }
        }
        why
    }

    fn why_without_hold(&self, last_seen: Option<Timestamp>) -> Why {
        let live = self.command.iter().chain(&self.waiting);
        if let Some(command) = live.clone().find(|command| command.state != State::Queued) {
            return about(command);
        }
        if let Some(what) = &self.busy_with {
            let text = cut(&format!("Busy with {what}"));
            return Why::new(Tone::Running, text).with_cause("other work");
        }
        if let Some(queued) = self.command.iter().chain(&self.waiting).next() {
            let text = match &queued.kept_back {
                Some(why) => cut(&format!("{} waits: {why}", queued.op.label())),
                None => format!("{} waits for the host", queued.op.label()),
            };
            return Why { since: Some(queued.created_at), ..Why::new(Tone::Soft, text) };
        }
        // Their links take over from one another: which of the two is online says nothing.
        if self.shared_name_since.is_some() {
            return Why::new(Tone::Bad, "Two machines use this name").with_cause("a shared name");
        }
        if !self.online {
            return match last_seen {
                Some(at) => Why { since: Some(at), ..Why::new(Tone::Soft, "Offline for") },
                None => Why::new(Tone::Soft, "Added, its agent has not connected"),
            };
        }
        self.why_failed().unwrap_or_else(|| self.why_due())
    }

    fn why_failed(&self) -> Option<Why> {
        let failed = |compartment| {
            let verdict: &Verdict = &self.row[compartment];
            let cause = verdict.status == Status::Error && verdict.follows != Some(Cause::Source);
            cause.then(|| verdict.message.plain())
        };
        if let Some(text) = failed(Compartment::System) {
            let text = text.replace(UNTIL, "").replacen(": error: ", ": ", 1);
            let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
            let reason = cut(reason.lines().next().unwrap_or_default());
            return Some(Why::new(Tone::Bad, cut(&text)).with_cause(reason));
        }
        if let Some(text) = failed(Compartment::Tests) {
            return Some(Why::new(Tone::Bad, self.failed_tests(&text)).with_cause("tests"));
        }
        let others = [Compartment::Agent, Compartment::Git, Compartment::Lock];
        others.into_iter().find_map(|one| {
            let why = Why::new(Tone::Bad, cut(&failed(one)?));
            Some(why.with_cause(one.label().to_lowercase()))
        })
    }

    fn failed_tests(&self, told: &str) -> String {
        let run = self.facts.last_tests.as_ref();
        let counts = run.and_then(|run| run.counts).filter(|counts| counts.failed > 0);
        let Some(counts) = counts else {
            return cut(&format!("Tests failed: {told}"));
        };
        let first = run.and_then(|run| run.first_failed.as_deref());
        let first = first.map_or_else(String::new, |name| format!(": {name}"));
        cut(&format!("{} of {} tests failed{first}", counts.failed, counts.total))
    }

    fn why_due(&self) -> Why {
        let mut why = self.first_cause().unwrap_or_else(|| self.not_verified());
        if let Some((mark, reason)) = self.rolled_back() {
            why.mark = Some(mark);
            why.text = reason;
            "rolled back".clone_into(&mut why.cause);
        }
        why
    }

    /// What the first compartment that needs action and follows nothing says.
    fn first_cause(&self) -> Option<Why> {
        let due = |compartment| {
            let verdict: &Verdict = &self.row[compartment];
            let is_cause = verdict.status == Status::Outdated && verdict.follows.is_none();
            is_cause.then(|| verdict.message.plain())
        };
        let soft =
            |text: &str, cause: &str| Some(Why::new(Tone::Soft, cut(text)).with_cause(cause));
        if let Some(text) = due(Compartment::Git) {
            return Some(self.behind(&text));
        }
        if let Some(text) = due(Compartment::Lock) {
            return soft(first_sentence(&text), "flake.lock");
        }
        if let Some(text) = due(Compartment::Agent) {
            let text = text.split_once(": ").map_or(text.as_str(), |(versions, _)| versions);
            return soft(text, "another agent");
        }
        if let Some(text) = due(Compartment::System) {
            return self.not_switched(&text);
        }
        let text = due(Compartment::Tests)?;
        let on = self.facts.system.generation;
        let on = on.map_or_else(|| "what runs".to_owned(), |number| format!("gen {number}"));
        match text.split_once("the last run ") {
            Some((_, how)) => soft(&format!("The last test run {how}"), "tests to run"),
            None => soft(&format!("Tests have not run on {on}"), "tests to run"),
        }
    }

    /// Git is not at the head of its branch.
    fn behind(&self, told: &str) -> Why {
        let told = told.split(" (host ").next().unwrap_or(told);
        let Some((commits, branch)) = told.split_once(" behind ") else {
            let cause = match told.strip_prefix("Not the head of ") {
                Some(branch) => format!("not at {branch}"),
                None => "not on the branch".to_owned(),
            };
            return Why::new(Tone::Soft, cut(told.trim_end_matches('.'))).with_cause(cause);
        };
        let lock = self.row[Compartment::Lock].status == Status::Outdated;
        let lock = if lock { ", flake.lock too" } else { "" };
        Why::new(Tone::Soft, format!("{commits} behind{lock}"))
            .with_cause(format!("behind {branch}"))
    }

    /// System needs action by itself.
    fn not_switched(&self, told: &str) -> Option<Why> {
        let checkout = self.facts.checkout.as_ref().map_or("unknown", Commit::short);
        if told.starts_with("Pulled, not switched") {
            let text = format!("Pulled {checkout}, not switched");
            return Some(Why::new(Tone::Soft, text).with_cause("pulled, not switched"));
        }
        let cause = if told.contains("reboot") { "to reboot" } else { "to switch" };
        Some(Why::new(Tone::Soft, cut(first_sentence(told))).with_cause(cause))
    }

    /// Why nothing is proven: what Git, Lock or System wait for.
    fn not_verified(&self) -> Why {
        let all = [Compartment::Git, Compartment::Lock, Compartment::System];
        let verdicts = all.map(|one| &self.row[one]);
        if verdicts.iter().any(|v| v.follows == Some(Cause::Source) && v.status == Status::Error) {
            return Why::new(Tone::Soft, "Cannot be verified: the remote cannot be read")
                .with_cause("cannot be verified");
        }
        let waits = verdicts.into_iter().find(|verdict| verdict.status == Status::Unknown);
        waits.map_or_else(
            || Why::new(Tone::Soft, ""),
            |verdict| Why::new(Tone::Soft, cut(first_sentence(&verdict.message.plain()))),
        )
    }

    /// What runs is what somebody went back to: where to, and why.
    fn rolled_back(&self) -> Option<(String, String)> {
        let last = self.facts.last_deploy.as_ref()?;
        let left = last.left().zip(self.facts.system.store_path.as_deref());
        let stands = self.facts.since_deploy != SinceDeploy::Superseded
            && left.is_none_or(|(left, runs)| left == runs)
            && last.kind == DeployKind::Rollback
            && last.outcome == DeployOutcome::Succeeded;
        if !stands {
            return None;
        }
        let to = last.generation.map_or_else(String::new, |number| format!(" to gen {number}"));
        let why = last.why.as_deref().map(str::trim).unwrap_or_default();
        Some((format!("Rolled back{to}"), cut(why)))
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The first sentence, without its full stop.
fn first_sentence(text: &str) -> &str {
    text.split(". ").next().unwrap_or(text).trim_end_matches('.')
}

/// What runs, and how far it is.
fn about(command: &Command) -> Why {
    let state = match command.state {
        State::Running if command.slow => " · longer than usual",
        State::Overdue => " · longer than expected",
        State::Stopping => " · stopping",
        State::Verifying => " · checking the result",
        State::Sent => " · sent",
        _ => "",
    };
    let label = command.op.label();
    // What its host counts says more than the phase that it is in.
    let phase = command.phase.and_then(WorkPhase::word);
    let progress = command.progress.as_deref().or(phase).unwrap_or_default();
    let text = match progress.strip_prefix(label) {
        // "Test 3 of 8: backups" says what it is.
        Some(_) => format!("{progress}{state}"),
        None if progress.is_empty() => format!("{label}{state}"),
        None => format!("{label} · {progress}{state}"),
    };
    let since = command.sent_at.unwrap_or(command.created_at);
    let why = Why::new(Tone::Running, cut(&text)).with_cause(label.to_lowercase());
    Why { since: Some(since), ..why }
}

/// How far a command is, where its host counts: "builds 41 of 130" is 41 of 130.
pub fn counted(progress: &str) -> Option<(u32, u32)> {
    let mut words = progress.split_whitespace();
    let mut before = None;
    while let Some(word) = words.next() {
        if word == "of" {
            let part: u32 = before.and_then(|word: &str| word.parse().ok())?;
            let all = words.next()?.trim_end_matches([':', ',', '.']).parse().ok()?;
            return (part <= all && all > 0).then_some((part, all));
        }
        before = Some(word);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::tests::rows::situations;

    fn why(situation: &str) -> Why {
        let all = situations();
        let (_, state) = all.iter().find(|(name, _)| *name == situation).expect(situation);
        state.snapshot().why(Some(Timestamp::from_secs(1)))
    }

    #[test]
    fn a_row_says_its_cause_in_one_short_sentence() {
        for (situation, tone, text) in [
            ("everything current, tests passed (3.x too)", Tone::Soft, ""),
            ("after a pull that changed the inputs", Tone::Soft, "Pulled 2222222, not switched"),
            ("host offline, was all green", Tone::Soft, "Offline for"),
        ] {
            let told = why(situation);
            assert_eq!((told.tone, told.text.as_str()), (tone, text), "{situation}");
        }
        let other = why("remote got a commit that left flake.lock alone");
        assert_eq!(other.text, "Not the head of origin/main");
        assert_eq!(other.cause, "not at origin/main");
        let all = situations();
        let told = "2 commits behind origin/main (host aaaaaaa, latest bbbbbbb). Pull to update.";
        let behind = all[0].1.snapshot().behind(told);
        assert_eq!((&*behind.text, &*behind.cause), ("2 commits behind", "behind origin/main"));
        assert_eq!(why("tests failed").tone, Tone::Bad);
        assert_eq!(why("tests running").tone, Tone::Running);
        let back = why("rolled back after failed tests");
        assert!(back.mark.as_ref().is_some_and(|m| m.starts_with("Rolled back")), "{back:?}");
    }

    #[test]
    fn no_sentence_is_longer_than_a_line_and_every_host_that_needs_something_has_one() {
        for (situation, state) in situations() {
            let snapshot = state.snapshot();
            let why = snapshot.why(None);
            assert!(why.text.chars().count() <= LONGEST, "{situation}: {why:?}");
            assert!(!why.text.contains('\n'), "{situation}: {why:?}");
            let says = why.mark.is_some() || !why.text.is_empty();
            assert!(says || snapshot.row.is_current(), "{situation}: {why:?}");
        }
    }

    #[test]
    fn progress_that_counts_is_read() {
        for (text, expected) in [
            ("builds 41 of 130", Some((41, 130))),
            ("Test 3 of 8: backups", Some((3, 8))),
            ("activates", None),
            ("", None),
            ("9 of 3", None),
            ("0 of 0", None),
            ("one of many", None),
        ] {
            assert_eq!(counted(text), expected, "{text}");
        }
    }
}
