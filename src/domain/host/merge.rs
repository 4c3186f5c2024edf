//! How what an agent says is merged with what is known: a message that lacks a field changes
//! nothing.

use super::apply::Turn;
use super::event::{Registration, Report};
use crate::domain::audit::{AuditCategory, Author};
use crate::domain::bounds;
use crate::domain::facts::{AgentBinary, LockState, SystemFacts};
use crate::domain::protocol::Protocol;
use std::time::Duration;

/// The clocks of a host and of the dashboard may differ by so much.
const AHEAD_AT_MOST: Duration = Duration::from_secs(24 * 3600);

/// What a test run may take beside its tests.
const BESIDE_TESTS: Duration = Duration::from_secs(60);
/// No test run is waited for longer, whatever its host says.
const TESTS_AT_MOST: Duration = Duration::from_secs(7 * 24 * 3600);

impl Turn<'_, '_> {
    /// Whether one more notice is recorded: a few a minute (finding 9 of the security review).
    pub(super) fn may_note(&mut self) -> bool {
        let now = self.now.up;
        self.state.noted.retain(|at| now.since(*at) < Duration::from_secs(60));
        if self.state.noted.len() >= bounds::NOTICES {
            self.exceeded(bounds::rows::NOTICES);
            return false;
        }
        self.state.noted.push(now);
        true
    }

    /// Takes over what a message says; what it lacks stays as it was.
    pub(super) fn merge(&mut self, report: &Report) {
        self.merge_checkout(report);
        if let Some(version) = &report.nixpkgs_version {
            self.state.profile.nixpkgs_version.clone_from(version);
        }
        if let Some(generations) = &report.generations {
            self.state.profile.generations.clone_from(generations);
        }
        if let Some(disks) = &report.disks {
            self.state.profile.disks.clone_from(disks);
        }
        for notice in &report.notices {
            if !self.may_note() {
                break;
            }
            self.record(AuditCategory::Host, notice.clone(), Some(Author::Agent));
        }
        self.merge_system(report);
        let state = &mut *self.state;
        let facts = &mut state.facts;
        if let Some(tests) = report.tests {
            facts.tests_enabled_by_host = Some(tests.enabled);
            let set = state.profile.overrides.tests_enabled;
            facts.tests_enabled = set.or(facts.tests_enabled_by_host);
            state.profile.tests_auto_run = Some(tests.auto_run);
            if let Some(count) = tests.count {
                facts.has_tests = Some(count > 0);
            }
            state.profile.tests_take = take_at_most(tests.count, report.test_timeout);
        }
        merge_binary(&mut facts.agent.binary, &report.binary);
        if facts.system.agent_path.is_some()
            && facts.system.agent_path == facts.agent.binary.store_path
        {
            // The agent that what runs contains is the one that runs.
            facts.agent.stale = false;
        }
    }

    fn merge_checkout(&mut self, report: &Report) {
        let facts = &mut self.state.facts;
        if report.checkout.is_some() {
            let old = !Protocol::of(facts.agent.protocol).reports_what_runs();
            if old && facts.has_tests == Some(false) && facts.checkout != report.checkout {
                // Another commit may have some; a 3.x agent does not say.
                facts.has_tests = None;
            }
            facts.checkout.clone_from(&report.checkout);
            facts.no_checkout = false;
        } else if report.no_checkout {
            facts.checkout = None;
            facts.no_checkout = true;
            (facts.dirty, facts.ahead) = (None, None);
        }
        if let Some(dirty) = report.dirty {
            facts.dirty = dirty;
        }
        if let Some(ahead) = report.ahead {
            facts.ahead = ahead;
        }
        if report.lock.is_some() {
            facts.lock.clone_from(&report.lock);
        }
    }

    /// What an agent says runs, without what cannot be.
    pub(super) fn believed(&mut self, report: &Report) -> Option<SystemFacts> {
        let mut system = report.system.clone()?;
        if system.activated_at.is_some_and(|at| at > self.now.at + AHEAD_AT_MOST) {
            system.activated_at = None;
            self.odd("The agent says its system was activated in the future; ignored.".to_owned());
        }
        Some(system)
    }

    /// Facts that only protocol 4 can report would never be refreshed by a 3.x agent. The tags stay: windows
    /// and rollouts go by them, and that an agent cannot say them does not take them away.
    fn drop_what_3x_cannot_report(&mut self) {
        let state = &mut *self.state;
        state.facts.system = SystemFacts::default();
        state.facts.no_checkout = false;
        (state.facts.dirty, state.facts.ahead) = (None, None);
        state.facts.tests_enabled_by_host = None;
        state.facts.tests_enabled = state.profile.overrides.tests_enabled;
        if state.facts.lock == Some(LockState::Absent) {
            state.facts.lock = None;
        }
        let profile = &mut state.profile;
        profile.tests_auto_run = None;
        profile.tests_take = None;
        profile.boot_time = None;
        profile.branch = None;
        profile.generations.clear();
        profile.disks.clear();
    }

    /// Takes over what an agent says about itself when it connects.
    pub(super) fn introduce(&mut self, registration: &Registration) {
        let agent = &mut self.state.facts.agent;
        let mut binary = agent.binary.clone();
        merge_binary(&mut binary, &registration.report.binary);
        if agent.binary.binary_hash != binary.binary_hash
            || agent.binary.store_path != binary.store_path
            || registration.version.as_ref().is_some_and(|v| agent.version.as_ref() != Some(v))
        {
            agent.stale = false;
        }
        if registration.version.is_some() {
            agent.version.clone_from(&registration.version);
        }
        let (before, now) = (Protocol::of(agent.protocol), Protocol::of(registration.protocol));
        agent.protocol = registration.protocol;
        agent.process = registration.process.clone();
        agent.features.clone_from(&registration.features);
        if before != now {
            self.state.facts.has_tests = None;
        }
        if !now.reports_what_runs() {
            self.drop_what_3x_cannot_report();
        }
        let (profile, new) = (&mut self.state.profile, &registration.profile);
        for (old, new) in [
            (&mut profile.hostname, &new.hostname),
            (&mut profile.platform, &new.platform),
            (&mut profile.os_version, &new.os_version),
            (&mut profile.nixpkgs_version, &new.nixpkgs_version),
            (&mut profile.repo_url, &new.repo_url),
            (&mut profile.repo_dir, &new.repo_dir),
        ] {
            if !new.is_empty() {
                old.clone_from(new);
            }
        }
        profile.signers.clone_from(&new.signers);
        profile.beats_every = new.beats_every.or(profile.beats_every);
        profile.location = new.location.or(profile.location);
        profile.device_type = new.device_type.or(profile.device_type);
        if new.theme_color.is_some() {
            profile.theme_color.clone_from(&new.theme_color);
        }
        if let Some(tags) = &registration.tags {
            profile.tags.clone_from(tags);
        }
        if new.branch.is_some() {
            profile.branch.clone_from(&new.branch);
        }
        let future = self.now.at + AHEAD_AT_MOST;
        match new.boot_time {
            Some(at) if at > future => {
                self.odd("The agent says its host was booted in the future; ignored.".to_owned());
            }
            Some(at) => profile.boot_time = Some(at),
            None => {}
        }
    }
}

/// How long a run of so many tests may take (spec: lifecycle, "Operations").
fn take_at_most(count: Option<u32>, each: Option<Duration>) -> Option<Duration> {
    let all = each?.saturating_mul(count.filter(|count| *count > 0)?);
    Some(all.saturating_add(BESIDE_TESTS).min(TESTS_AT_MOST))
}

fn merge_binary(old: &mut AgentBinary, new: &AgentBinary) {
    for (old, new) in [
        (&mut old.source_commit, &new.source_commit),
        (&mut old.store_path, &new.store_path),
        (&mut old.binary_hash, &new.binary_hash),
    ] {
        if new.is_some() {
            old.clone_from(new);
        }
    }
}
