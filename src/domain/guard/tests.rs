use super::*;
use proptest::prelude::*;

const FOUND: Found = Found {
    claim: Claim::Armed,
    this_boot: true,
    activating: true,
    done: false,
    job_lives: true,
    timer: true,
    guard_runs: false,
};

fn all_found() -> Vec<Found> {
    let mut all = Vec::new();
    for claim in Claim::ALL {
        for bits in 0..64_u32 {
            let bit = |n: u32| bits & (1 << n) != 0;
            all.push(Found {
                claim,
                this_boot: bit(0),
                activating: bit(1),
                done: bit(2),
                job_lives: bit(3),
                timer: bit(4),
                guard_runs: bit(5),
            });
        }
    }
    all
}

#[test]
fn whatever_is_found_somebody_acts_or_will_act_or_it_is_over() {
    for found in all_found() {
        let (agent, guard) = (agent(found), guard(found));
        assert_eq!(found.done, agent == AgentDoes::Nothing, "{found:?}");
        assert_eq!(found.done, guard == GuardDoes::Nothing, "{found:?}");
        if agent == AgentDoes::Waits {
            assert!(found.job_lives || found.timer || found.guard_runs, "{found:?}");
        }
        // A return is never begun where nothing was activated, and never over a keep.
        if guard == GuardDoes::Returns {
            assert!(found.claim == Claim::Return && found.activating, "{found:?}");
        }
    }
}

#[test]
fn what_agent_guard_and_stop_do_is_the_table_of_the_specification() {
    let with = |change: fn(&mut Found)| {
        let mut found = FOUND;
        change(&mut found);
        found
    };
    for (found, expected) in [
        (FOUND, AgentDoes::Waits),
        (with(|f| f.job_lives = false), AgentDoes::Waits),
        (with(|f| (f.job_lives, f.timer) = (false, false)), AgentDoes::ArmsAgain),
        (with(|f| f.done = true), AgentDoes::Nothing),
    ] {
        assert_eq!(agent(found), expected, "{found:?}");
    }
    for (found, expected) in [
        (FOUND, GuardDoes::Claims),
        (with(|f| f.claim = Claim::Keep), GuardDoes::WaitsForTheKeeper),
        (with(|f| (f.claim, f.job_lives) = (Claim::Keep, false)), GuardDoes::FinishesTheKeep),
        (with(|f| f.claim = Claim::Return), GuardDoes::Returns),
        (with(|f| (f.claim, f.activating) = (Claim::Return, false)), GuardDoes::EndsUnchanged),
        (with(|f| f.this_boot = false), GuardDoes::TellsOfTheRestart),
        (with(|f| (f.this_boot, f.claim) = (false, Claim::Keep)), GuardDoes::Repairs),
        (with(|f| (f.this_boot, f.claim) = (false, Claim::Return)), GuardDoes::TellsOfTheReturn),
        (with(|f| f.done = true), GuardDoes::Nothing),
    ] {
        assert_eq!(guard(found), expected, "{found:?}");
    }
    assert_eq!(stop(with(|f| f.activating = false)), StopMeans::Ends);
    assert_eq!(stop(FOUND), StopMeans::Returns);
    assert_eq!(stop(with(|f| f.claim = Claim::Return)), StopMeans::Returns);
    assert_eq!(stop(with(|f| f.claim = Claim::Keep)), StopMeans::Refused);
}

#[test]
fn only_0_and_4_are_an_activation_and_what_activated_nothing_is_no_return() {
    for code in -1..=300 {
        let expected = match code {
            0 | 4 => AfterActivation::Confirm,
            11 => AfterActivation::SomebodyElse,
            100 => AfterActivation::NeedsBoot,
            _ => AfterActivation::Return,
        };
        assert_eq!(after_activation(Some(code)), expected, "{code}");
    }
    assert_eq!(after_activation(None), AfterActivation::Return);
}

#[test]
fn a_dashboard_that_is_away_returns_no_healthy_host_and_one_that_answers_makes_silence_a_no() {
    let witness = Witness {
        confirmed: false,
        window_over: true,
        agent_active: true,
        agent_tries: true,
        missing: None,
        dashboard_answers: false,
    };
    assert_eq!(verdict(&witness), Verdict::ConfirmedWithoutWord);
    assert_eq!(verdict(&Witness { window_over: false, ..witness.clone() }), Verdict::Waits);
    assert_eq!(
        verdict(&Witness { confirmed: true, missing: Some("x"), ..witness.clone() }),
        Verdict::Confirmed
    );
    for against in [
        Witness { dashboard_answers: true, ..witness.clone() },
        Witness { agent_active: false, ..witness.clone() },
        Witness { agent_tries: false, ..witness.clone() },
        Witness { missing: Some("the default route"), ..witness },
    ] {
        assert!(matches!(verdict(&against), Verdict::No(_)), "{against:?}");
    }
}

#[test]
fn evidence_is_missing_only_where_it_was_there_before() {
    let all = Evidence { default_route: true, route: true, names: true, remote: true };
    let none = Evidence::default();
    assert_eq!(none.missing_since(none), None);
    assert_eq!(all.missing_since(none), None);
    assert_eq!(none.missing_since(all), Some("the default route"));
    let without_remote = Evidence { remote: false, ..all };
    assert_eq!(without_remote.missing_since(all), Some("an answer of the config remote"));
    assert_eq!(without_remote.missing_since(without_remote), None);
}

#[test]
fn a_return_is_over_only_when_the_old_system_was_activated_and_runs() {
    use AfterTry::*;
    for (code, runs, tries, expected) in [
        (Some(0), Runs::Old, 1, Back),
        (Some(4), Runs::Old, 5, Back),
        (Some(1), Runs::Old, 1, Again),
        (Some(0), Runs::New, 1, Again),
        (None, Runs::New, 4, Again),
        (None, Runs::New, 5, GivenUp),
        (Some(1), Runs::Old, 5, GivenUp),
        (Some(0), Runs::Other, 1, HandsOff),
        (Some(0), Runs::Unknown, 1, Again),
        (Some(0), Runs::Unknown, 5, GivenUp),
    ] {
        assert_eq!(after_try(code, runs, false, tries), expected, "{code:?} {runs:?} {tries}");
    }
    assert_eq!(after_try(Some(0), Runs::New, true, 1), Back);
}

/// How the world ends for one switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Kept,
    Returned,
    Unchanged,
    Restarted,
}

/// A machine with one guarded switch: what is on its disk, what runs, and who lives. Systems are
/// told apart by `true` for the new one.
#[derive(Debug, Clone)]
struct World {
    claim: Option<Claim>,
    intent_boot: u32,
    boot: u32,
    activating: bool,
    done: Option<Ended>,
    runs_new: bool,
    boots_new: bool,
    /// The supervisor's next step; `None` when it is gone.
    supervisor: Option<u8>,
    /// The guard holds the job.
    guard_holds: bool,
    guard: bool,
    timer: bool,
    healthy: bool,
    /// What the supervisor has learned of it.
    confirmed: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Supervisor,
    Guard,
    Agent,
    Timer,
    KillSupervisor { on_failure: bool },
    KillGuard,
    LoseTimer,
    Restart,
    Stop,
}

impl World {
    fn new(healthy: bool) -> Self {
        Self {
            claim: None,
            intent_boot: 0,
            boot: 0,
            activating: false,
            done: None,
            runs_new: false,
            boots_new: false,
            supervisor: Some(0),
            guard_holds: false,
            guard: false,
            timer: false,
            healthy,
            confirmed: None,
        }
    }

    fn found(&self) -> Option<Found> {
        Some(Found {
            claim: self.claim?,
            this_boot: self.intent_boot == self.boot,
            activating: self.activating,
            done: self.done.is_some(),
            job_lives: self.supervisor.is_some() || self.guard_holds,
            timer: self.timer,
            guard_runs: self.guard,
        })
    }

    fn rename(&mut self, to: Claim) -> bool {
        let won = self.claim == Some(Claim::Armed);
        if won {
            self.claim = Some(to);
        }
        won
    }

    fn end(&mut self, how: Ended) {
        assert_eq!(self.done, None, "it ended twice");
        self.done = Some(how);
        self.timer = false;
    }

    fn supervisor(&mut self) {
        let Some(step) = self.supervisor else { return };
        let next = match step {
            0 => {
                self.claim = Some(Claim::Armed);
                self.intent_boot = self.boot;
                Some(1)
            }
            1 => {
                self.timer = true;
                Some(2)
            }
            2 if self.claim == Some(Claim::Armed) => {
                self.activating = true;
                Some(3)
            }
            3 => {
                self.runs_new = true;
                Some(4)
            }
            4 => {
                self.confirmed = Some(self.healthy);
                if self.healthy {
                    Some(5)
                } else {
                    self.guard = true;
                    None
                }
            }
            5 if self.rename(Claim::Keep) => Some(6),
            6 => {
                self.boots_new = true;
                Some(7)
            }
            7 => {
                self.end(Ended::Kept);
                None
            }
            _ => None,
        };
        self.supervisor = next;
    }

    fn guard(&mut self) {
        let Some(found) = self.found().filter(|_| self.guard) else {
            self.guard = false;
            return;
        };
        match guard(found) {
            GuardDoes::Nothing => (self.guard, self.guard_holds) = (false, false),
            GuardDoes::Claims => drop(self.rename(Claim::Return)),
            GuardDoes::WaitsForTheKeeper if self.guard_holds => self.finish_the_keep(),
            GuardDoes::WaitsForTheKeeper => {}
            GuardDoes::FinishesTheKeep => self.guard_holds = true,
            GuardDoes::Returns if self.supervisor.is_some() => self.supervisor = None,
            GuardDoes::EndsUnchanged if self.supervisor.is_some() => self.supervisor = None,
            GuardDoes::Returns if self.runs_new => self.runs_new = false,
            GuardDoes::Returns => self.end(Ended::Returned),
            GuardDoes::EndsUnchanged => self.end(Ended::Unchanged),
            GuardDoes::Repairs => {
                self.boots_new = self.runs_new;
                self.end(if self.runs_new { Ended::Kept } else { Ended::Restarted });
            }
            GuardDoes::TellsOfTheReturn => self.end(Ended::Returned),
            GuardDoes::TellsOfTheRestart => self.end(Ended::Restarted),
        }
    }

    fn finish_the_keep(&mut self) {
        if self.boots_new {
            self.end(Ended::Kept);
        } else {
            self.boots_new = true;
        }
    }

    fn agent(&mut self) {
        let Some(found) = self.found() else { return };
        match agent(found) {
            AgentDoes::Nothing | AgentDoes::Waits => {}
            AgentDoes::ArmsAgain => self.timer = true,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Supervisor => self.supervisor(),
            Step::Guard => self.guard(),
            Step::Agent => self.agent(),
            Step::Timer if self.timer => (self.timer, self.guard) = (false, true),
            Step::Timer => {}
            Step::KillSupervisor { on_failure } => {
                // A service that was never armed cannot be started.
                let armed = self.timer || self.guard;
                let lived = self.supervisor.take().is_some();
                self.guard |= lived && on_failure && armed;
            }
            // Restart=on-failure.
            Step::KillGuard => self.guard_holds = false,
            Step::LoseTimer => self.timer = false,
            Step::Restart => {
                self.boot += 1;
                self.runs_new = self.boots_new;
                self.supervisor = None;
                (self.guard, self.guard_holds, self.timer) = (false, false, false);
            }
            Step::Stop => self.guard |= self.activating && self.claim != Some(Claim::Keep),
        }
        self.holds(step);
    }

    /// What holds at every moment.
    fn holds(&self, step: Step) {
        if self.boots_new {
            assert_eq!(self.claim, Some(Claim::Keep), "{step:?}: {self:?}");
        }
        if self.claim == Some(Claim::Keep) {
            assert_eq!(self.confirmed, Some(true), "kept without a proof, {step:?}: {self:?}");
        }
        match self.done {
            Some(Ended::Kept) => assert!(self.runs_new && self.boots_new, "{step:?}: {self:?}"),
            Some(Ended::Returned | Ended::Unchanged | Ended::Restarted) => {
                assert!(!self.runs_new && !self.boots_new, "{step:?}: {self:?}");
            }
            None => {}
        }
    }

    /// Nothing more goes wrong: everybody who lives goes on.
    fn settles(&mut self) {
        for _ in 0..40 {
            for step in [Step::Supervisor, Step::Guard, Step::Agent, Step::Timer] {
                self.step(step);
            }
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Supervisor),
        4 => Just(Step::Guard),
        3 => Just(Step::Agent),
        1 => Just(Step::Timer),
        1 => any::<bool>().prop_map(|on_failure| Step::KillSupervisor { on_failure }),
        1 => Just(Step::KillGuard),
        1 => Just(Step::LoseTimer),
        1 => Just(Step::Restart),
        1 => Just(Step::Stop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whoever is killed, whenever, and however the machine restarts: it is never left between two
    /// systems, never kept without a proof, and never both kept and returned.
    #[test]
    fn in_every_interleaving_it_ends_in_one_whole_system(
        healthy in any::<bool>(),
        steps in prop::collection::vec(any_step(), 0..40),
    ) {
        let mut world = World::new(healthy);
        for step in steps {
            world.step(step);
        }
        world.settles();
        prop_assert_eq!(world.claim.is_some(), world.done.is_some(), "{:?}", world);
        prop_assert_eq!(world.runs_new, world.boots_new, "{:?}", world);
    }
}

/// The negative control: without a fault a healthy system is kept, and one that is not comes back.
#[test]
fn without_a_fault_the_health_of_the_new_system_alone_decides() {
    for (healthy, expected) in [(true, Ended::Kept), (false, Ended::Returned)] {
        let mut world = World::new(healthy);
        // Before the timer's time.
        for _ in 0..10 {
            world.step(Step::Supervisor);
        }
        world.settles();
        assert_eq!(world.done, Some(expected), "{world:?}");
    }
}
