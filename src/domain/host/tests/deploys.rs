//! What was deployed, in which order, and what its end means (spec: compartments, "Facts per
//! host", System). The numbers are those of the findings about rows, commands and jobs.

use super::*;
use crate::domain::compartment::{Action, Cause};

fn says(system: SystemFacts) -> Report {
    Report { system: Some(system), ..Report::default() }
}

fn at(n: u32) -> Report {
    Report { checkout: Some(commit(n)), ..Report::default() }
}

/// As [`Lab::green`], by a configuration that tells no revision.
fn mute_green() -> Lab {
    let mut lab = Lab::new();
    lab.joins(1, 1);
    lab.switches(mute_system(1));
    lab.tests(true);
    assert_eq!(lab.row(), "ok ok ok ok ok");
    lab
}

fn follows(lab: &Lab) -> [Option<Cause>; 5] {
    let row = lab.state.snapshot().row;
    Compartment::ALL.map(|compartment| row[compartment].follows)
}

fn action(lab: &Lab, compartment: Compartment) -> Option<Action> {
    lab.state.snapshot().row[compartment].action
}

#[test]
fn a_row_says_what_is_cause_and_what_only_follows() {
    let mut lab = Lab::green();
    assert_eq!(follows(&lab), [None; 5]);
    lab.remote(2, 1);
    assert_eq!(follows(&lab), [None, None, None, Some(Cause::Git), Some(Cause::Git)]);
    for compartment in [Compartment::Git, Compartment::System, Compartment::Tests] {
        assert_eq!(action(&lab, compartment), Some(Action::Pull), "{compartment:?}");
    }
    lab.pulls(2, 1);
    assert_eq!(follows(&lab), [None, None, None, None, Some(Cause::System)]);
    for compartment in [Compartment::System, Compartment::Tests] {
        assert_eq!(action(&lab, compartment), Some(Action::Switch), "{compartment:?}");
    }
    lab.remote_fails();
    let source = Some(Cause::Source);
    assert_eq!(follows(&lab), [None, source, source, Some(Cause::Git), Some(Cause::Git)]);
    assert_eq!(action(&lab, Compartment::System), Some(Action::RetryFetch));
    lab.remote_says(commit(2), None);
    assert_eq!(follows(&lab), [None, None, None, Some(Cause::Lock), Some(Cause::Lock)]);
    lab.beat(Report { no_checkout: true, ..Report::default() }, None);
    assert_eq!(follows(&lab)[2], Some(Cause::Git));
}

/// 6.
#[test]
fn a_revision_that_is_no_commit_proves_nothing_and_equals_no_commit() {
    for text in ["1111111111-dirty", "dirty", "a build of Monday"] {
        let mut lab = Lab::green();
        let revision = Some(text.to_owned());
        let switch = lab.starts(Operation::Switch);
        lab.ends(
            switch,
            exited(0),
            says(SystemFacts { configuration_revision: revision, ..system(2, 1) }),
        );
        lab.waits(100);
        assert_eq!(lab.last().state, State::Unverified, "{text}");
        assert_eq!(lab.row(), "ok ok ok out out");
        assert_eq!(lab.state.facts.deployed_commit(), None);
        // By hand, and nothing of ours in the way.
        let mut lab = Lab::new();
        lab.joins(1, 1);
        let revision = Some(text.to_owned());
        lab.beat(says(SystemFacts { configuration_revision: revision, ..system(2, 1) }), None);
        assert!(lab.says(Compartment::System).contains(text), "{}", lab.says(Compartment::System));
        assert_eq!(lab.row(), "ok ok ok out unk");
    }
}

/// 8.
#[test]
fn what_was_deployed_is_what_was_checked_out_when_the_build_began() {
    let mut lab = mute_green();
    lab.remote(2, 1);
    let switch = lab.starts(Operation::Switch);
    // Somebody pulls by hand while it builds.
    lab.ends(switch, exited(0), Report { checkout: Some(commit(2)), ..says(mute_system(1)) });
    assert_eq!(lab.last().state, State::Unverified);
    assert_eq!(lab.row(), "ok ok ok out out");
    assert_eq!(lab.state.facts.deployed_commit(), Some(commit(1)));
    // The same by the outcome of a switch that was lost: its own report says nothing of now.
    let mut lab = mute_green();
    lab.loses(Operation::Switch, mute_system(1));
    let switch = lab.last().id;
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab.ends(switch, exited(0), says(mute_system(1)));
    assert_eq!(lab.row(), "ok ok ok out out");
    assert_eq!(lab.state.facts.deployed_commit(), Some(commit(1)));
}

/// 8: what was known when it was sent may be older.
#[test]
fn a_job_says_itself_what_it_built() {
    let mut lab = mute_green();
    lab.remote(2, 1);
    let switch = lab.starts(Operation::Switch);
    lab.beat(at(2), Some(Work { id: Some(switch), name: "switch".into() }));
    let built = Some(Built { commit: Some(commit(2)), lock: Some(lock(1)), ..Built::default() });
    lab.ends(
        switch,
        exited(0),
        Report { built, checkout: Some(commit(2)), ..says(mute_system(2)) },
    );
    assert_eq!(lab.last().state, State::Succeeded);
    assert_eq!(lab.row(), "ok ok ok ok out");
    // And which path: another one that runs proves nothing.
    let switch = lab.starts(Operation::Switch);
    let path = mute_system(3).store_path;
    let built = Some(Built { commit: Some(commit(2)), path, ..Built::default() });
    lab.ends(switch, exited(0), Report { built, ..says(mute_system(2)) });
    lab.waits(100);
    assert_eq!(lab.last().state, State::Unverified);
}

/// 6: where no revision is told, what was built while the files were changed is no commit, also
/// when they are as they were again.
#[test]
fn what_was_built_from_changed_files_proves_nothing_when_they_are_clean_again() {
    let dirty = |lab: &mut Lab, dirty: bool| {
        lab.beat(Report { dirty: Some(Some(dirty)), ..Report::default() }, None);
    };
    let mut lab = mute_green();
    dirty(&mut lab, true);
    lab.switches(mute_system(2));
    dirty(&mut lab, false);
    lab.tests(true);
    assert_eq!(lab.row(), "ok ok ok out out");
    let words = lab.says(Compartment::System);
    assert!(words.starts_with("Built from a changed tree (1111111-dirty)"), "{words}");
    // The agent says it itself, whatever was known before and after.
    let mut lab = mute_green();
    let switch = lab.starts(Operation::Switch);
    let built = Some(Built { commit: Some(commit(1)), dirty: true, ..Built::default() });
    lab.ends(switch, exited(0), Report { built, ..says(mute_system(2)) });
    assert_eq!(lab.row(), "ok ok ok out out");
    lab.switches(mute_system(3));
    assert_eq!(lab.row(), "ok ok ok ok out");
}

/// Found by the generated sequences: a 3.x agent comes back, which does not tell.
#[test]
fn what_was_built_from_changed_files_proves_nothing_to_a_3x_agent_either() {
    let mut lab = mute_green();
    lab.beat(Report { dirty: Some(Some(true)), ..Report::default() }, None);
    lab.starts(Operation::Switch);
    lab.apply(HostEvent::Disconnected);
    let mut old = lab.registration("3.1.5");
    (old.protocol, old.jobs) = (None, None);
    lab.connects(old);
    lab.beat(Report::default(), None);
    assert_eq!(lab.last().state, State::Succeeded);
    assert!(lab.row().starts_with("out ok ok out"), "{}", lab.row());
}

/// 20.
#[test]
fn a_switch_that_was_only_sent_is_no_deploy() {
    let mut lab = Lab::green();
    lab.deploys(Operation::Switch, exited(1), system(1, 1));
    assert_eq!(lab.row(), "ok ok ok err ok");
    let deployments = lab.state.facts.deployment;
    lab.asks(Operation::Switch, false).unwrap();
    lab.apply(HostEvent::Disconnected);
    lab.waits(3600);
    assert_eq!(lab.last().state, State::Lost);
    assert_eq!(lab.row(), "ok ok ok err ok");
    assert_eq!(lab.state.facts.deployment, deployments);
}

/// 20.
#[test]
fn a_failure_ends_when_another_path_says_that_it_is_the_checkout() {
    for bad in [exited(1), Outcome { kind: OutcomeKind::Interrupted, ..exited(1) }] {
        let mut lab = Lab::green();
        lab.remote(2, 1);
        lab.pulls(2, 1);
        lab.deploys(Operation::Switch, bad, system(1, 1));
        let before = lab.row();
        // By hand: of another commit that proves nothing.
        lab.beat(says(system(2, 9)), None);
        assert!(!lab.row().starts_with("ok ok ok ok"), "{}", lab.row());
        lab.beat(says(system(3, 2)), None);
        assert_eq!(lab.row(), "ok ok ok ok out");
        // And it stays past: pulled, it is yellow, not red.
        lab.remote(3, 1);
        lab.pulls(3, 1);
        assert_eq!(lab.row(), "ok ok ok out out", "was {before}");
    }
}

#[test]
fn a_failure_is_not_past_by_a_pull_nor_without_a_revision() {
    // A pull brings the checkout to what runs: nothing else runs than before.
    let mut lab = Lab::green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab.deploys(Operation::Switch, exited(1), system(1, 1));
    lab.remote(1, 1);
    lab.pulls(1, 1);
    assert_eq!(lab.row(), "ok ok ok err ok");
    // Without a revision nothing but a switch proves anything, and the message says so.
    let mut lab = mute_green();
    lab.deploys(Operation::Switch, exited(1), mute_system(1));
    lab.beat(says(mute_system(2)), None);
    assert_eq!(lab.row(), "ok ok ok err out");
    let words = lab.says(Compartment::System);
    assert!(words.ends_with("(only a switch that succeeds clears this)"), "{words}");
    lab.switches(mute_system(2));
    assert_eq!(lab.row(), "ok ok ok ok out");
}

#[test]
fn a_failure_is_not_past_by_what_became_of_the_host_while_a_command_was_live() {
    let mut lab = Lab::green();
    lab.deploys(Operation::Switch, exited(1), system(1, 1));
    let test = lab.starts(Operation::Test);
    lab.beat(says(system(2, 1)), Some(Work { id: Some(test), name: "test".into() }));
    lab.ends(test, exited(1), says(system(2, 1)));
    assert!(lab.row().starts_with("ok ok ok err"), "{}", lab.row());
}

/// 24: ids hold the clock of the dashboard, or come from an agent.
#[test]
fn deploys_are_ordered_by_the_hosts_own_numbers_whatever_their_ids_say() {
    let mut lab = Lab::green();
    lab.ids = 1 << 90;
    lab.deploys(Operation::Switch, exited(1), system(1, 1));
    assert_eq!(lab.row(), "ok ok ok err ok");
    // The clock is set right: ids begin anew, below.
    lab.ids = 1 << 80;
    lab.switches(system(1, 1));
    assert_eq!(lab.row(), "ok ok ok ok out");
    lab.ids = 1 << 70;
    lab.tests(true);
    assert_eq!(lab.row(), "ok ok ok ok ok");
}

#[test]
fn the_late_truth_about_an_older_deploy_changes_nothing_newer() {
    let mut lab = Lab::green();
    lab.loses(Operation::Switch, system(1, 1));
    let lost = lab.last().id;
    lab.switches(system(1, 1));
    lab.tests(true);
    let before = (lab.row(), lab.state.facts.last_deploy.clone());
    lab.ends(lost, exited(1), Report::default());
    assert_eq!((lab.row(), lab.state.facts.last_deploy.clone()), before);
    // In the history it is what it was.
    let saved = lab.effects.iter().any(|effect| {
        matches!(effect, HostEffect::SaveDeploy(d) if matches!(d.outcome, DeployOutcome::Failed(_)))
    });
    assert!(saved, "{:?}", lab.effects);
}

/// 30.
#[test]
fn a_lock_that_was_not_known_when_it_was_deployed_is_not_compared() {
    let mut lab = Lab::new();
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.report.checkout = Some(commit(1));
    lab.connects(registration);
    lab.switches(mute_system(1));
    lab.beat(Report { lock: Some(lock(1)), ..Report::default() }, None);
    assert_eq!(lab.row(), "ok ok ok ok out");
}

#[test]
fn another_lock_than_was_deployed_is_not_proven() {
    let mut lab = mute_green();
    lab.beat(Report { lock: Some(lock(2)), ..Report::default() }, None);
    lab.remote(1, 2);
    assert_eq!(lab.row(), "ok ok ok out out");
}

/// 38.
#[test]
fn a_pull_and_switch_that_failed_in_its_pull_is_a_failed_pull() {
    let mut lab = Lab::green();
    let both = lab.starts(Operation::PullSwitch);
    lab.apply(HostEvent::Phase { id: both, phase: WorkPhase::Pull });
    assert_eq!(lab.row(), "ok wrk wrk wrk ok");
    lab.ends(both, Outcome { message: Some("no route".into()), ..exited(1) }, Report::default());
    assert_eq!(lab.row(), "ok ok ok ok ok");
    assert_eq!(lab.last().reason.as_deref(), Some("Pull failed: no route"));
    let both = lab.starts(Operation::PullSwitch);
    lab.apply(HostEvent::Phase { id: both, phase: WorkPhase::Pull });
    lab.apply(HostEvent::Phase { id: both, phase: WorkPhase::Build });
    assert_eq!(lab.row(), "ok ok ok wrk ok");
    lab.ends(both, exited(1), says(system(1, 1)));
    assert_eq!(lab.row(), "ok ok ok err ok");
}

#[test]
fn a_pull_and_switch_built_what_was_there_after_its_pull() {
    let mut lab = mute_green();
    lab.remote(2, 1);
    let both = lab.starts(Operation::PullSwitch);
    lab.ends(both, exited(0), Report { checkout: Some(commit(2)), ..says(mute_system(2)) });
    assert_eq!(lab.row(), "ok ok ok ok out");
    assert_eq!(lab.state.facts.deployed_commit(), Some(commit(2)));
}

/// Found by the generated sequences: its outcome came late, and other facts were known by then.
#[test]
fn a_late_pull_and_switch_built_what_its_own_outcome_says() {
    let mut lab = mute_green();
    lab.remote(2, 1);
    lab.starts(Operation::PullSwitch);
    let both = lab.state.command().unwrap().id;
    lab.beat(at(2), None);
    lab.beat(Report::default(), None);
    assert_eq!((lab.last().id, lab.last().state), (both, State::Lost));
    lab.ends(both, exited(0), Report { checkout: Some(commit(3)), ..says(mute_system(1)) });
    lab.waits(100);
    assert!(!lab.row().starts_with("ok ok ok ok"), "{}", lab.row());
}

/// 41.
#[test]
fn pulled_away_and_back_to_what_is_deployed_is_no_change() {
    let mut lab = mute_green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    assert!(lab.says(Compartment::System).starts_with("Pulled, not switched: 1111111"));
    lab.remote(1, 1);
    lab.pulls(1, 1);
    assert_eq!(lab.row(), "ok ok ok ok ok");
}

#[test]
fn a_path_that_an_earlier_deploy_brought_is_known_again_when_it_runs_again() {
    let mut lab = mute_green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab.switches(mute_system(2));
    lab.deploys(Operation::Rollback, exited(0), mute_system(1));
    assert_eq!(lab.state.facts.deployed_commit(), Some(commit(1)));
    assert_eq!(lab.says(Compartment::System), "Rolled back to generation 1 (1111111)");
    lab.beat(says(mute_system(2)), None);
    assert_eq!(lab.state.facts.deployed_commit(), Some(commit(2)));
    let words = lab.says(Compartment::System);
    assert!(words.starts_with("Changed outside nixfleet: 2222222 runs"), "{words}");
}

#[test]
fn a_rollback_says_why_somebody_wanted_it() {
    let mut lab = Lab::green();
    let reason = Some("the printer is gone".to_owned());
    let args = Args { reason, ..Args::default() };
    let (op, by) = (Operation::Rollback, Author::Admin);
    lab.apply(HostEvent::Requested { id: None, op, args, queue: false, by });
    let id = lab.state.command().unwrap().id;
    lab.ends(id, exited(0), says(system(0, 1)));
    assert_eq!(
        lab.says(Compartment::System),
        "Rolled back to generation 0 (1111111): the printer is gone"
    );
}

#[test]
fn a_profile_that_points_elsewhere_is_said_with_its_number() {
    let mut lab = Lab::green();
    lab.beat(says(profile_ahead(system(1, 1), 2)), None);
    assert_eq!(lab.row(), "ok ok ok out ok");
    assert_eq!(
        lab.says(Compartment::System),
        "Another system starts at the next boot than runs (generation 1)"
    );
}

#[test]
fn a_boot_that_comes_up_with_another_system_is_an_event_and_said_once() {
    let boots = |lab: &mut Lab, boot: &str, runs: SystemFacts| {
        let mut registration = lab.registration(DASHBOARD_VERSION);
        registration.process.boot_id = Some(boot.to_owned());
        registration.report = says(runs);
        lab.apply(HostEvent::Disconnected);
        lab.connects(registration);
    };
    let mut lab = Lab::green();
    boots(&mut lab, "first", system(1, 1));
    let switch = lab.starts(Operation::Switch);
    let built = Some(Built {
        commit: Some(commit(1)),
        path: system(2, 1).store_path,
        starts: Starts::NextBoot,
        ..Built::default()
    });
    lab.ends(switch, exited(0), Report { built, ..says(profile_ahead(system(1, 1), 2)) });
    assert_eq!(lab.last().state, State::Succeeded);
    let words = lab.says(Compartment::System);
    assert_eq!(words, "What was built starts at the next boot: reboot to finish");
    assert_eq!(action(&lab, Compartment::System), Some(Action::Reboot));
    boots(&mut lab, "second", profile_ahead(system(1, 1), 2));
    assert_eq!(lab.recorded(), ["Generation did not come up."]);
    boots(&mut lab, "second", profile_ahead(system(1, 1), 2));
    assert!(lab.recorded().is_empty(), "{:?}", lab.recorded());
    boots(&mut lab, "third", system(2, 1));
    assert_eq!(lab.row(), "ok ok ok ok out");
}

#[test]
fn what_a_host_does_not_say_at_the_end_of_a_deploy_may_have_changed() {
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    lab.ends(switch, exited(1), Report::default());
    // It may have changed anything: tests must run again.
    assert_eq!(lab.row(), "ok ok ok err out");
    // The first word after it says what it left.
    lab.beat(says(system(1, 1)), None);
    let last = lab.state.facts.last_deploy.clone().unwrap();
    assert_eq!(last.after.running, system(1, 1).store_path);
}

/// A host that was away: what it said before says nothing about the end.
#[test]
fn paths_from_before_a_host_went_away_prove_nothing_about_the_end_of_its_switch() {
    let mut lab = Lab::green();
    lab.starts(Operation::Switch);
    lab.apply(HostEvent::Disconnected);
    for _ in 0..4 {
        lab.waits(2 * 3600);
    }
    assert_eq!(lab.last().state, State::Lost);
    assert_eq!(lab.row(), "ok ok ok out out");
}

/// 33.
#[test]
fn a_clone_that_is_gone_is_said_and_comes_back() {
    let mut lab = Lab::green();
    lab.beat(Report { no_checkout: true, dirty: Some(None), ..Report::default() }, None);
    assert!(lab.says(Compartment::Git).starts_with("No checkout on the host"));
    lab.beat(Report::default(), None);
    assert_eq!(lab.row(), "ok out out out out");
    lab.beat(at(1), None);
    assert_eq!(lab.row(), "ok ok ok ok ok");
}

#[test]
fn commits_that_the_remote_does_not_have_are_counted() {
    let mut lab = Lab::green();
    lab.beat(Report { ahead: Some(Some(2)), ..at(3) }, None);
    assert_eq!(
        lab.says(Compartment::Git),
        "Not on origin/main: 2 commits that origin/main does not have (host 3333333, latest 1111111)."
    );
}

/// 7.
#[test]
fn what_only_protocol_4_tells_is_dropped_when_a_3x_agent_comes() {
    let mut lab = Lab::green();
    let told = Report { dirty: Some(Some(true)), ahead: Some(Some(1)), ..Report::default() };
    lab.beat(told, None);
    let mut old = lab.registration("3.1.5");
    (old.protocol, old.jobs) = (None, None);
    lab.connects(old);
    let facts = lab.state.facts();
    assert_eq!((facts.dirty, facts.ahead, facts.no_checkout), (None, None, false));
    assert_eq!(facts.system, SystemFacts::default());
    assert_eq!(lab.row(), "out ok ok ok ok");
}

#[test]
fn what_a_failed_switch_brought_is_known_for_what_it_is() {
    let mut lab = mute_green();
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab.deploys(Operation::Switch, exited(1), mute_system(2));
    assert_eq!(lab.state.facts.deployed_commit(), Some(commit(2)));
}

#[test]
fn a_failure_after_one_that_is_past_is_red_again() {
    let mut lab = Lab::green();
    lab.deploys(Operation::Switch, exited(1), system(1, 1));
    lab.beat(says(system(2, 1)), None);
    assert_eq!(lab.row(), "ok ok ok ok out");
    lab.deploys(Operation::Switch, exited(1), system(2, 1));
    assert_eq!(lab.row(), "ok ok ok err out");
}

#[test]
fn what_runs_becoming_known_is_no_change_of_it() {
    let mut lab = Lab::new();
    lab.joins(1, 1);
    let before = lab.state.facts.deployment;
    lab.beat(says(system(1, 1)), None);
    assert_eq!(lab.state.facts.deployment, before);
}
