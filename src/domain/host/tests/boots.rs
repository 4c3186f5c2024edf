//! What is built for the next boot, and what that boot brings (spec: compartments, "Facts per host").

use super::*;

fn says(system: SystemFacts) -> Report {
    Report { system: Some(system), ..Report::default() }
}

/// Green by a configuration that tells no revision; then commit 2 is pulled.
fn pulled() -> Lab {
    let mut lab = Lab::new();
    lab.joins(1, 1);
    comes_up(&mut lab, "first", mute_system(1));
    lab.switches(mute_system(1));
    lab.tests(true);
    lab.remote(2, 1);
    lab.pulls(2, 1);
    lab
}

fn comes_up(lab: &mut Lab, boot: &str, runs: SystemFacts) {
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.process.boot_id = Some(boot.to_owned());
    registration.report = says(runs);
    lab.apply(HostEvent::Disconnected);
    lab.connects(registration);
}

/// A switch whose outcome says that it set only what the next boot starts.
fn chooses_boot(lab: &mut Lab, from: u32, path: SystemFacts) {
    let switch = lab.starts(Operation::Switch);
    let path = path.store_path;
    let (commit, starts) = (Some(commit(from)), Starts::NextBoot);
    let built = Some(Built { commit, path, starts, ..Built::default() });
    let ahead =
        SystemFacts { profile_path: built.as_ref().unwrap().path.clone(), ..mute_system(1) };
    lab.ends(switch, exited(0), Report { built, ..says(ahead) });
    assert_eq!(lab.last().state, State::Succeeded);
}

/// A 3.x agent that comes back tells no path; what was only meant for the next boot does not run.
#[test]
fn what_waits_for_a_boot_is_not_what_runs_on_a_host_that_tells_no_path() {
    let mut lab = pulled();
    chooses_boot(&mut lab, 2, mute_system(2));
    let mut old = lab.registration("3.1.5");
    (old.protocol, old.jobs) = (None, None);
    lab.connects(old);
    assert_eq!(lab.state.facts.deployed_commit(), None);
    assert_eq!(lab.row(), "out ok ok out out");
}

/// A rollback that only sets what the next boot starts: its target is that, not what runs.
#[test]
fn a_rollback_that_waits_for_a_boot_has_what_that_boot_starts_for_its_target() {
    let mut lab = pulled();
    lab.switches(mute_system(2));
    let back = lab.starts(Operation::Rollback);
    let built = Some(Built { starts: Starts::NextBoot, ..Built::default() });
    let profile_path = mute_system(1).store_path;
    lab.ends(
        back,
        exited(0),
        Report { built, ..says(SystemFacts { profile_path, ..mute_system(2) }) },
    );
    let last = lab.state.facts.last_deploy.clone().unwrap();
    assert_eq!((last.intended, last.commit), (mute_system(1).store_path, Some(commit(1))));
    assert_eq!(lab.state.facts.deployed_commit(), Some(commit(2)));
}

/// What was left runs on until the boot, and what comes after it is no third system.
#[test]
fn what_a_rollback_that_waits_for_a_boot_leaves_is_held_at_once_and_after_that_boot() {
    let mut lab = pulled();
    lab.switches(mute_system(2));
    let back = lab.asks_with(Operation::Rollback, Args::default(), false).expect("it starts").id;
    lab.apply(HostEvent::Accepted(back));
    let built = Some(Built { starts: Starts::NextBoot, ..Built::default() });
    let profile_path = mute_system(1).store_path;
    let ahead = says(SystemFacts { profile_path, ..mute_system(2) });
    lab.ends(back, exited(0), Report { built, ..ahead.clone() });
    assert_eq!(lab.last().state, State::Succeeded, "{:#?}", lab.recorded());
    let left = |lab: &Lab| {
        let hold = lab.state.facts.hold.clone().expect("it is held");
        hold.paths().map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = vec![mute_system(2).store_path.unwrap()];
    assert_eq!(left(&lab), expected);
    lab.beat(ahead, None);
    assert_eq!(left(&lab), expected, "while it still runs");
    comes_up(&mut lab, "second", mute_system(1));
    assert_eq!(left(&lab), expected, "once it does not");
}

/// A boot that was chosen is taken back by going to what runs: what was to boot is left, not that.
#[test]
fn what_was_to_start_at_the_next_boot_is_taken_back_by_going_to_what_runs() {
    for named in [false, true] {
        let mut lab = pulled();
        lab.beat(says(SystemFacts { generation: Some(1), ..mute_system(1) }), None);
        chooses_boot(&mut lab, 2, mute_system(2));
        assert_eq!(lab.state.facts.hold, None);
        let known = |n: u64| Generation {
            generation: n,
            store_path: mute_system(n).store_path,
            configuration_revision: None,
            created_at: None,
            current: n == 1,
        };
        let waiting = SystemFacts {
            generation: Some(1),
            profile_generation: Some(2),
            profile_path: mute_system(2).store_path,
            ..mute_system(1)
        };
        let generations = Some(vec![known(2), known(1)]);
        lab.beat(Report { generations, ..says(waiting) }, None);
        let args = Args { generation: named.then_some(1), ..Args::default() };
        let back = lab.asks_with(Operation::Rollback, args, false).expect("it may start").id;
        lab.apply(HostEvent::Accepted(back));
        let again = SystemFacts {
            generation: Some(1),
            profile_generation: Some(1),
            profile_path: mute_system(1).store_path,
            ..mute_system(1)
        };
        lab.ends(back, exited(0), says(again));
        assert_eq!(lab.last().state, State::Succeeded, "{named} {:?}", lab.last().reason);
        let hold = lab.state.facts.hold.clone().expect("it is held");
        let left: Vec<_> = hold.left.iter().map(|left| (&left.commit, &left.path)).collect();
        assert_eq!(left, [(&Some(commit(2)), &mute_system(2).store_path)], "{named}");
    }
}

/// Asked to start at the next boot, and the same as what runs: nothing waits.
#[test]
fn what_runs_already_does_not_wait_for_a_boot() {
    let mut lab = pulled();
    let switch = lab.starts(Operation::Switch);
    let path = mute_system(1).store_path;
    let built =
        Built { commit: Some(commit(2)), path, starts: Starts::NextBoot, ..Built::default() };
    lab.ends(switch, exited(0), Report { built: Some(built), ..says(mute_system(1)) });
    let last = lab.state.facts.last_deploy.clone().unwrap();
    assert_eq!((lab.last().state, last.starts), (State::Succeeded, Starts::Now));
    assert_eq!(lab.row(), "ok ok ok ok out");
}

#[test]
fn only_an_agent_that_can_is_asked_to_have_something_start_at_the_next_boot() {
    let args = || Args { boot: Some(true), ..Args::default() };
    let mut lab = pulled();
    let refused = lab.asks_with(Operation::Switch, args(), false).unwrap_err();
    assert_eq!(refused.code, RefusalCode::NotSupported);
    lab.state.facts.agent.features = vec![Feature::Boot];
    assert!(lab.asks_with(Operation::Switch, args(), false).is_ok());
}

/// What users set wins over how the host is set up; it is told with what it is about and no more.
#[test]
fn whether_a_switch_is_guarded_is_told_with_what_changes_what_runs_where_users_set_it() {
    let mut lab = pulled();
    let told = |lab: &Lab, op| lab.state.args_for_agent(op, &Args::default()).guard;
    assert_eq!(told(&lab, Operation::Switch), None);
    for on in [true, false] {
        lab.state.profile.overrides.guard = Some(on);
        for op in [Operation::Switch, Operation::PullSwitch, Operation::Rollback] {
            assert_eq!(told(&lab, op), Some(on), "{op}");
        }
        assert_eq!(told(&lab, Operation::Test), None);
    }
}

#[test]
fn a_boot_that_brings_what_was_intended_is_the_success_of_its_switch() {
    let mut lab = pulled();
    chooses_boot(&mut lab, 2, mute_system(2));
    comes_up(&mut lab, "second", mute_system(2));
    assert_eq!(lab.row(), "ok ok ok ok out");
    let last = lab.state.facts.last_deploy.clone().unwrap();
    assert_eq!((last.starts, last.store_path), (Starts::Booted, mute_system(2).store_path));
}

#[test]
fn no_test_starts_by_itself_on_what_waits_for_a_boot() {
    let on = Some(TestSetup { enabled: true, auto_run: true, count: Some(8) });
    let mut lab = pulled();
    lab.beat(Report { tests: on, ..Report::default() }, None);
    chooses_boot(&mut lab, 2, mute_system(2));
    assert_eq!(lab.state.command().map(|command| command.op), None);
    // One that runs at once is tested.
    let mut lab = pulled();
    lab.beat(Report { tests: on, ..Report::default() }, None);
    lab.switches(mute_system(2));
    assert_eq!(lab.state.command().map(|command| command.op), Some(Operation::Test));
}

#[test]
fn a_boot_that_would_start_something_else_than_was_built_proves_nothing() {
    let mut lab = pulled();
    let switch = lab.starts(Operation::Switch);
    let (path, starts) = (mute_system(2).store_path, Starts::NextBoot);
    let built = Some(Built { commit: Some(commit(2)), path, starts, ..Built::default() });
    lab.ends(switch, exited(0), Report { built, ..says(profile_ahead(mute_system(1), 3)) });
    lab.waits(100);
    assert_eq!(lab.last().state, State::Unverified);
}

/// Done is when another boot runs what was meant to (spec: guard, "Needs a reboot").
#[test]
fn a_reboot_that_was_to_start_something_succeeds_when_that_came_up_and_not_when_something_else_did()
{
    for (runs, state) in
        [(mute_system(2), State::Succeeded), (profile_ahead(mute_system(1), 2), State::Unverified)]
    {
        let mut lab = pulled();
        chooses_boot(&mut lab, 2, mute_system(2));
        lab.starts(Operation::Reboot);
        comes_up(&mut lab, "second", runs);
        assert_eq!(lab.last().state, state, "{:?}", lab.last().reason);
    }
}

/// The review of rollouts, 6: the boot loader may start what was there before a switch that started now.
#[test]
fn a_reboot_succeeds_when_what_the_profile_pointed_to_came_up_whichever_command_brought_that() {
    for (runs, state) in
        [(mute_system(2), State::Succeeded), (profile_ahead(mute_system(1), 2), State::Unverified)]
    {
        let mut lab = pulled();
        lab.switches(mute_system(2));
        lab.starts(Operation::Reboot);
        comes_up(&mut lab, "second", runs);
        lab.waits(100);
        assert_eq!(lab.last().state, state, "{:?}", lab.last().reason);
    }
    // What an activation that failed left in the profile is what a boot brings.
    let mut lab = pulled();
    lab.beat(says(profile_ahead(mute_system(1), 2)), None);
    lab.starts(Operation::Reboot);
    comes_up(&mut lab, "second", mute_system(2));
    assert_eq!(lab.last().state, State::Succeeded);
    // A host that does not tell its profile is believed.
    let mute = |number: u64| SystemFacts { profile_path: None, ..mute_system(number) };
    let mut lab = Lab::new();
    lab.joins(1, 1);
    comes_up(&mut lab, "first", mute(1));
    lab.starts(Operation::Reboot);
    comes_up(&mut lab, "second", mute(3));
    assert_eq!(lab.last().state, State::Succeeded);
}

/// A host that names no boot tells when it was booted: what came up counts all the same.
#[test]
fn a_reboot_that_only_the_boot_time_tells_must_bring_what_was_meant_too() {
    for (runs, state) in
        [(mute_system(2), State::Succeeded), (profile_ahead(mute_system(1), 2), State::Unverified)]
    {
        let mut lab = pulled();
        let mut registration = lab.registration(DASHBOARD_VERSION);
        registration.profile.boot_time = Some(lab.now);
        registration.report = says(mute_system(1));
        lab.connects(registration.clone());
        lab.switches(mute_system(2));
        lab.starts(Operation::Reboot);
        lab.apply(HostEvent::Disconnected);
        lab.waits(60);
        registration.profile.boot_time = Some(lab.now);
        registration.report = says(runs);
        lab.connects(registration);
        lab.waits(100);
        assert_eq!(lab.last().state, state, "{:?}", lab.last().reason);
    }
}

/// A rollout asks every host, and only those reboot that need it; a user is not asked why.
#[test]
fn a_rollout_reboots_only_a_host_that_needs_it() {
    let asks = |lab: &mut Lab| {
        let id = Some(CommandId(Uuid::from_u128(999)));
        let args = Args { confirmed: Some(true), ..Args::default() };
        let op = Operation::Reboot;
        let by = Author::Admin;
        lab.apply(HostEvent::Requested { id, op, args, queue: false, by });
        lab.effects.iter().find_map(|effect| match effect {
            HostEffect::Answer(answer) => Some(answer.as_ref().as_ref().err().map(|r| r.code)),
            _ => None,
        })
    };
    let mut lab = pulled();
    assert_eq!(asks(&mut lab.clone()), Some(Some(RefusalCode::NothingToDo)));
    assert!(lab.clone().asks(Operation::Reboot, false).is_ok());
    let needs = SystemFacts { reboot_needed: Some(true), ..mute_system(1) };
    let mut needing = lab.clone();
    needing.beat(says(needs), None);
    assert_eq!(asks(&mut needing), Some(None));
    chooses_boot(&mut lab, 2, mute_system(2));
    assert_eq!(asks(&mut lab), Some(None));
}
