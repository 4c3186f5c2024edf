//! What a rollout asks of a host, beside what users asked of it (the review of rollouts, 2 and 7).

use super::*;

const ASKED: CommandId = CommandId(Uuid::from_u128(999));

impl Lab {
    /// A rollout asks; answers the command that counts as its step.
    fn rolls_out(&mut self, op: Operation, args: Args) -> Result<CommandId, RefusalCode> {
        let by = Author::Admin;
        self.apply(HostEvent::Requested { id: Some(ASKED), op, args, queue: false, by });
        let answer = self.effects.iter().find_map(|effect| match effect {
            HostEffect::Answer(answer) => Some((**answer).clone()),
            _ => None,
        });
        answer.expect("a request is answered").map(|command| command.id).map_err(|no| no.code)
    }
}

fn to(generation: u64) -> Args {
    Args { generation: Some(generation), ..Args::default() }
}

#[test]
fn what_waits_for_a_host_that_is_away_is_no_step_of_a_rollout() {
    let mut lab = Lab::green();
    lab.apply(HostEvent::Disconnected);
    let queued = lab.asks(Operation::Pull, true).unwrap();
    assert_eq!(queued.state, State::Queued);
    let plain = Args::default;
    assert_eq!(lab.rolls_out(Operation::Pull, plain()), Err(RefusalCode::HostOffline));
    // It is back, and does what waited: that counts.
    lab.joins(1, 1);
    assert_eq!(lab.state.command().map(|command| command.id), Some(queued.id));
    assert_eq!(lab.rolls_out(Operation::Pull, plain()), Ok(queued.id));
}

/// After a stop a 3.x agent is told nothing for a moment, and may go away in that.
#[test]
fn nothing_that_a_rollout_asks_for_waits_at_the_host() {
    let mut lab = Lab::green();
    let mut old = lab.registration("3.1.5");
    (old.protocol, old.jobs) = (None, None);
    lab.connects(old);
    lab.stops(Operation::Pull, Report::default());
    assert!(lab.state.is_quiet());
    let answer = lab.rolls_out(Operation::Pull, Args::default());
    assert_eq!(answer, Err(RefusalCode::HostBusy));
    assert!(lab.state.live().next().is_none());
    let mut user = lab.clone();
    assert_eq!(user.asks(Operation::Pull, false).unwrap().state, State::Queued);
}

#[test]
fn a_rollback_to_another_generation_is_not_the_one_of_a_rollout() {
    let rolling_back = |args: Args| {
        let mut lab = Lab::green();
        let id = lab.asks_with(Operation::Rollback, args, false).unwrap().id;
        lab.apply(HostEvent::Accepted(id));
        (lab, id)
    };
    let (mut lab, _) = rolling_back(to(3));
    assert_eq!(lab.rolls_out(Operation::Rollback, to(7)), Err(RefusalCode::HostBusy));
    let (mut lab, _) = rolling_back(Args::default());
    assert_eq!(lab.rolls_out(Operation::Rollback, to(7)), Err(RefusalCode::HostBusy));
    let (mut lab, id) = rolling_back(to(7));
    assert_eq!(lab.rolls_out(Operation::Rollback, to(7)), Ok(id));
    // What a rollout leaves is held, unless the user's rollback says that nothing is.
    let (mut lab, _) = rolling_back(Args { hold: Some(false), ..to(7) });
    assert_eq!(lab.rolls_out(Operation::Rollback, to(7)), Err(RefusalCode::HostBusy));
}
