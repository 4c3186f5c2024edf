//! What an operation needs before it may start (spec: lifecycle, "Operations").

use super::*;

fn reboot(lab: &mut Lab) -> Option<RefusalCode> {
    lab.asks(Operation::Reboot, false).err().map(|refusal| refusal.code)
}

#[test]
fn a_reboot_waits_for_a_switch_or_rollback_that_changes_what_runs() {
    let activating = Some(RefusalCode::HostActivating);
    let phases = [
        (Some(WorkPhase::Pull), None),
        (Some(WorkPhase::Build), None),
        (Some(WorkPhase::Preflight), None),
        (Some(WorkPhase::Arm), None),
        (Some(WorkPhase::Activate), activating),
        (Some(WorkPhase::Confirm), activating),
        (Some(WorkPhase::Keep), activating),
        // What is not known, and what tells nothing, may be activating.
        (Some(WorkPhase::Other), activating),
        (None, activating),
    ];
    for op in [Operation::Switch, Operation::PullSwitch, Operation::Rollback] {
        for (phase, expected) in phases {
            if phase == Some(WorkPhase::Pull) && op != Operation::PullSwitch {
                continue;
            }
            let mut lab = Lab::green();
            let id = lab.starts(op);
            if let Some(phase) = phase {
                lab.apply(HostEvent::Phase { id, phase });
            }
            assert_eq!(reboot(&mut lab), expected, "{op} {phase:?}");
            // Nor while it is told to stop.
            let mut lab = Lab::green();
            let id = lab.starts(op);
            if let Some(phase) = phase {
                lab.apply(HostEvent::Phase { id, phase });
            }
            lab.apply(HostEvent::StopRequested { id, by: Author::Admin });
            assert_eq!(reboot(&mut lab), expected, "{op} {phase:?}, being stopped");
        }
    }
}

#[test]
fn a_reboot_waits_for_nothing_that_changes_what_runs_no_more() {
    // What only reads or pulls.
    for op in [Operation::Pull, Operation::Test, Operation::DryRun] {
        let mut lab = Lab::green();
        lab.starts(op);
        assert_eq!(reboot(&mut lab), None, "{op}");
    }
    // Exit 0 was heard: the activation has ended.
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    lab.ends(switch, exited(0), Report { system: Some(system(2, 9)), ..Report::default() });
    assert_eq!(lab.state.command().map(|command| command.state), Some(State::Verifying));
    assert_eq!(reboot(&mut lab), None);
    // One that timed out is past waiting for: a reboot may be the way out.
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    lab.waits(26 * 3600);
    lab.waits(26 * 3600);
    lab.beat(Report::default(), Some(Work { id: Some(switch), name: "switch".into() }));
    assert_eq!(lab.last().state, State::TimedOut);
    assert_eq!(reboot(&mut lab), None);
}

#[test]
fn a_reboot_that_waits_is_sent_when_nothing_activates_any_more() {
    let mut lab = Lab::green();
    let switch = lab.starts(Operation::Switch);
    lab.apply(HostEvent::Disconnected);
    lab.asks(Operation::Reboot, true).expect("it waits");
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.jobs = Some(vec![Job { id: switch, op: Some(Operation::Switch), running: true }]);
    lab.connects(registration);
    let runs_reboot = |lab: &Lab| {
        let sent =
            |effect: &HostEffect| matches!(effect, HostEffect::Run { op: Operation::Reboot, .. });
        lab.effects.iter().any(sent)
    };
    assert!(!runs_reboot(&lab), "{:?}", lab.effects);
    lab.ends(switch, exited(0), Report { system: Some(system(2, 1)), ..Report::default() });
    assert!(runs_reboot(&lab), "{:?}", lab.effects);
}
