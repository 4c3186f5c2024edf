//! Hosts that a boot has to finish (spec: guard, "Rollouts in waves" and "Needs a reboot").

use super::*;

const WITH_REBOOT: [Operation; 4] =
    [Operation::Pull, Operation::Switch, Operation::Test, Operation::Reboot];

/// At its switch, which ends with what a boot has to start.
fn boots(steps: &[Operation]) -> (Lab, Vec<String>) {
    let mut lab = Lab::new(steps, &["a", "b"], 3);
    lab.begin();
    lab.end("a", OK);
    let command = lab.command_of("a");
    let asked = lab.ends("a", command, OK, true);
    (lab, asked)
}

#[test]
fn a_host_that_waits_for_a_boot_is_not_tested_and_says_so() {
    let (lab, asked) = boots(&UPDATE);
    assert_eq!(asked, [""; 0]);
    let note = Some("not tested: it starts at the next boot".to_owned());
    assert_eq!(lab.rollout.hosts[&id("a")], Progress::Done { note });
    assert!(lab.rollout.boots.contains(&id("a")));
}

#[test]
fn where_there_is_a_step_reboot_it_is_done_after_that() {
    let (mut lab, asked) = boots(&WITH_REBOOT);
    assert_eq!(asked, ["reboot a"]);
    assert_eq!(lab.end("a", OK), [""; 0]);
    let note = Some("not tested: it was started by a reboot".to_owned());
    assert_eq!(lab.rollout.hosts[&id("a")], Progress::Done { note });
    let (mut lab, _) = boots(&WITH_REBOOT);
    lab.end("a", State::Unverified);
    assert_eq!(lab.rollout.counts().failed, 1, "what came up is not what was meant");
}

#[test]
fn who_needs_no_reboot_is_done_without_one_and_who_has_no_tests_is_rebooted_all_the_same() {
    let mut lab = Lab::new(&WITH_REBOOT, &["a"], 3);
    lab.begin();
    lab.end("a", OK);
    assert_eq!(lab.end("a", OK), ["test a"]);
    assert_eq!(lab.refuse("a", RefusalCode::NoTests), ["reboot a"]);
    lab.refuse("a", RefusalCode::NothingToDo);
    let note = Some("a: nothing_to_do".to_owned());
    assert_eq!(lab.rollout.hosts[&id("a")], Progress::Done { note });
    let mut lab = Lab::new(&[Operation::Reboot], &["a"], 3);
    lab.begin();
    lab.refuse("a", RefusalCode::NothingToDo);
    assert_eq!(lab.rollout.told(), "1 left out");
}

#[test]
fn reboots_take_places_as_switches_do() {
    let mut lab = Lab::new(&[Operation::Reboot], &["a", "b"], 1);
    assert_eq!(lab.begin(), ["reboot a"]);
    assert_eq!(lab.end("a", OK), ["reboot b"]);
}

#[test]
fn what_is_switched_to_in_waves_is_tested_whether_that_was_asked_for_or_not() {
    use Operation::*;
    for (steps, expected) in [
        (vec![Switch], vec![Switch, Test]),
        (vec![PullSwitch], vec![PullSwitch, Test]),
        (vec![Switch, Reboot], vec![Switch, Test, Reboot]),
        (UPDATE.to_vec(), UPDATE.to_vec()),
        (vec![Pull], vec![Pull]),
        (vec![Rollback], vec![Rollback]),
        (vec![Reboot], vec![Reboot]),
    ] {
        assert_eq!(followed_by_tests(steps.clone()), expected, "{steps:?}");
    }
}

#[test]
fn an_update_with_a_reboot_is_called_so() {
    assert_eq!(label(&WITH_REBOOT), "Update and reboot");
    assert_eq!(label(&UPDATE), "Update");
    assert_eq!(label(&[Operation::Switch, Operation::Test]), "Switch, Test");
}
