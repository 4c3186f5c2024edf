//! How what an agent says is merged with what is known: a message that lacks a field changes
//! nothing.

use super::apply::Turn;
use super::event::{Registration, Report};
use crate::domain::facts::{AgentBinary, LockState, SystemFacts};
use crate::domain::protocol::Protocol;
use std::time::Duration;

/// The clocks of a host and of the dashboard may differ by so much.
const AHEAD_AT_MOST: Duration = Duration::from_secs(24 * 3600);

impl Turn<'_, '_> {
    /// Takes over what a message says; what it lacks stays as it was.
    pub(super) fn merge(&mut self, report: &Report) {
        let state = &mut *self.state;
        let facts = &mut state.facts;
        if report.checkout.is_some() {
            let old = !Protocol::of(facts.agent.protocol).reports_what_runs();
            if old && facts.has_tests == Some(false) && facts.checkout != report.checkout {
                // Another commit may have some; a 3.x agent does not say.
                facts.has_tests = None;
            }
            facts.checkout.clone_from(&report.checkout);
        }
        if report.lock.is_some() {
            facts.lock.clone_from(&report.lock);
        }
        if let Some(version) = &report.nixpkgs_version {
            state.profile.nixpkgs_version.clone_from(version);
        }
        let future = self.now + AHEAD_AT_MOST;
        let mut system = report.system.clone();
        if let Some(system) = &mut system
            && system.activated_at.is_some_and(|at| at > future)
        {
            system.activated_at = None;
            self.odd("The agent says its system was activated in the future; ignored.".to_owned());
        }
        let state = &mut *self.state;
        let facts = &mut state.facts;
        if let Some(system) = &system {
            let (old, new) = (&facts.system.store_path, &system.store_path);
            if old.is_some() && new.is_some() && old != new {
                // By a switch of ours or by somebody else's: what runs is another.
                facts.deployment += 1;
            }
            facts.system.merge(system);
        }
        if let Some(tests) = report.tests {
            facts.tests_enabled_by_host = Some(tests.enabled);
            let set = state.profile.overrides.tests_enabled;
            facts.tests_enabled = set.or(facts.tests_enabled_by_host);
            state.profile.tests_auto_run = Some(tests.auto_run);
            if let Some(count) = tests.count {
                facts.has_tests = Some(count > 0);
            }
        }
        if let Some(generations) = &report.generations {
            state.profile.generations.clone_from(generations);
        }
        merge_binary(&mut facts.agent.binary, &report.binary);
    }

    /// Facts that only protocol 4 can report would never be refreshed by a 3.x agent.
    fn drop_what_3x_cannot_report(&mut self) {
        let state = &mut *self.state;
        state.facts.system = SystemFacts::default();
        state.facts.tests_enabled_by_host = None;
        state.facts.tests_enabled = state.profile.overrides.tests_enabled;
        if state.facts.lock == Some(LockState::Absent) {
            state.facts.lock = None;
        }
        let profile = &mut state.profile;
        profile.tests_auto_run = None;
        profile.boot_time = None;
        profile.branch = None;
        profile.generations.clear();
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
        profile.location = new.location.or(profile.location);
        profile.device_type = new.device_type.or(profile.device_type);
        if new.theme_color.is_some() {
            profile.theme_color.clone_from(&new.theme_color);
        }
        if new.branch.is_some() {
            profile.branch.clone_from(&new.branch);
        }
        let future = self.now + AHEAD_AT_MOST;
        match new.boot_time {
            Some(at) if at > future => {
                self.odd("The agent says its host was booted in the future; ignored.".to_owned());
            }
            Some(at) => profile.boot_time = Some(at),
            None => {}
        }
    }
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
