//! Two machines with one name (finding 49).

use super::*;

fn machine(lab: &Lab, boot: &str, started: i64) -> Registration {
    let mut registration = lab.registration(DASHBOARD_VERSION);
    registration.process.boot_id = Some(boot.to_owned());
    registration.process.started = Some(Timestamp::from_secs(started));
    registration
}

fn notices(lab: &Lab) -> usize {
    lab.recorded().iter().filter(|text| text.contains("two machines")).count()
}

#[test]
fn two_machines_that_take_the_name_from_each_other_are_an_event_and_a_notice_49() {
    let mut lab = Lab::green();
    lab.connects(machine(&lab, "a", 1));
    let mut events = 0;
    for number in 0..10 {
        // Who was replaced pauses for a minute.
        lab.waits(60);
        let boot = if number % 2 == 0 { "b" } else { "a" };
        lab.connects(machine(&lab, boot, 1));
        events += notices(&lab);
        let shown = lab.state.snapshot().shared_name_since.is_some();
        assert_eq!(shown, events == 1, "{number}");
    }
    assert_eq!(events, 1, "it is said once");
    lab.waits(3599);
    assert!(lab.state.snapshot().shared_name_since.is_some());
    lab.waits(1);
    assert_eq!(lab.state.snapshot().shared_name_since, None, "it is over when it is over");
}

#[test]
fn one_machine_that_loses_its_link_or_restarts_its_agent_is_no_two_49() {
    let mut lab = Lab::green();
    for number in 0..6 {
        // The old link is not known to be broken when the new one opens.
        lab.connects(machine(&lab, "a", 1));
        assert_eq!(notices(&lab), 0, "{number}");
        lab.goes_away();
        // Another process, over a link that follows the end of the last one.
        lab.connects(machine(&lab, "a", 2 + number));
        lab.goes_away();
    }
    assert_eq!(lab.state.snapshot().shared_name_since, None);
}
