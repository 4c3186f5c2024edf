//! What the audit log says of hosts that come, and of hosts that were away.

use super::*;

const FIRST: &str = "Its agent connected for the first time.";

fn comes_back_after(lab: &mut Lab, seconds: u64) -> Vec<String> {
    lab.apply(HostEvent::Disconnected);
    lab.waits(seconds);
    lab.joins(1, 1);
    lab.recorded().into_iter().map(str::to_owned).collect()
}

#[test]
fn the_first_link_and_the_end_of_a_long_absence_are_recorded_and_nothing_else_is() {
    let mut lab = Lab::new();
    lab.joins(1, 1);
    assert_eq!(lab.recorded(), [FIRST]);
    assert_eq!(comes_back_after(&mut lab, 0), [""; 0]);
    assert_eq!(comes_back_after(&mut lab, 299), [""; 0]);
    let told = |away: &str| [format!("Its agent is connected again. It was away for {away}.")];
    assert_eq!(comes_back_after(&mut lab, 300), told("5 min"));
    assert_eq!(comes_back_after(&mut lab, 3 * 3600 + 59), told("3 h"));
    assert_eq!(comes_back_after(&mut lab, 50 * 3600), told("2 d"));
    // A clock that is set back makes nobody be away.
    lab.apply(HostEvent::Disconnected);
    lab.set = -86_400_000;
    lab.joins(1, 1);
    assert!(lab.recorded().iter().all(|message| !message.contains("away")), "{:?}", lab.recorded());
}
