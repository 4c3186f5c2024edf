//! Generated sequences: whatever happens, some things hold.

use super::*;
use proptest::prelude::*;

/// What happens to one of five hosts, or to all.
#[derive(Debug, Clone)]
enum Step {
    Take(usize),
    Join(usize),
    Refuse(usize, RefusalCode),
    End(usize, State),
    Stale(usize),
    Ready,
    Wait(u64),
    Cancel,
    Pause,
    Resume,
    Promote,
    LeaveOut(usize),
    Remove(usize),
    Restart,
    /// A freeze or their windows hold these back, and nobody else.
    Hold(Vec<usize>),
    /// A host that goes back ends that so.
    EndBack(usize, State),
    /// A host that is to go back does not take it, or has nothing to go back from.
    RefuseBack(usize, Option<RefusalCode>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let host = 0..5_usize;
    let code = prop::sample::select(vec![
        RefusalCode::HostBusy,
        RefusalCode::HostOffline,
        RefusalCode::RemoteUnavailable,
        RefusalCode::NoTests,
        RefusalCode::NotSupported,
    ]);
    let codes = prop::option::of(code.clone());
    let over: Vec<State> = State::ALL.into_iter().filter(|state| state.is_terminal()).collect();
    let step = prop_oneof![
        4 => host.clone().prop_map(Step::Take),
        1 => host.clone().prop_map(Step::Join),
        2 => (host.clone(), code).prop_map(|(h, c)| Step::Refuse(h, c)),
        8 => host.clone().prop_map(|h| Step::End(h, OK)),
        2 => (host.clone(), prop::sample::select(over.clone())).prop_map(|(h, s)| Step::End(h, s)),
        2 => (host.clone(), prop::sample::select(over)).prop_map(|(h, s)| Step::EndBack(h, s)),
        1 => (host.clone(), codes).prop_map(|(h, c)| Step::RefuseBack(h, c)),
        1 => host.clone().prop_map(Step::Stale),
        3 => Just(Step::Ready),
        1 => (0..900_u64).prop_map(Step::Wait),
        1 => Just(Step::Cancel),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Promote),
        1 => (0..5_usize).prop_map(Step::LeaveOut),
        1 => host.prop_map(Step::Remove),
        1 => Just(Step::Restart),
        1 => prop::collection::vec(0..5_usize, 0..4).prop_map(Step::Hold),
        1 => Just(Step::Hold(Vec::new())),
    ];
    prop::collection::vec(step, 0..80)
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

impl Lab {
    fn happen(&mut self, step: Step) {
        let running = |lab: &Self, host: usize| match &lab.rollout.hosts[&id(NAMES[host])] {
            Progress::Running { command, .. } => Some(*command),
            _ => None,
        };
        let name = |host: usize| id(NAMES[host]);
        match step {
            Step::Take(h) => {
                if let Some(asked) = running(self, h) {
                    self.apply(Event::Accepted { host: name(h), asked, command: asked });
                }
            }
            Step::Join(h) => {
                if let Some(asked) = running(self, h) {
                    let command = CommandId(Uuid::from_u128(asked.0.as_u128() + (1 << 64)));
                    self.apply(Event::Accepted { host: name(h), asked, command });
                }
            }
            Step::Refuse(h, code) => {
                if running(self, h).is_some() {
                    self.refuse(NAMES[h], code);
                }
            }
            Step::End(h, state) => {
                if running(self, h).is_some() {
                    self.end(NAMES[h], state);
                }
            }
            Step::Stale(h) => {
                let command = CommandId(Uuid::from_u128(3));
                let before = self.rollout.clone();
                self.ends(NAMES[h], command, OK, false);
                assert_eq!(self.rollout, before, "a command of somebody else changes nothing");
            }
            Step::Ready => {
                let back = self.rollout.way_back.kept();
                let kept = self.rollout.kept().map(|(host, _)| host).chain(back);
                let ready = kept.cloned().collect();
                self.apply(Event::Tick { ready });
            }
            Step::Wait(seconds) => {
                self.now.up = self.now.up + Duration::from_secs(seconds);
                self.begin();
            }
            Step::Cancel => {
                self.apply(Event::Cancel(Author::Admin));
            }
            Step::Pause => {
                self.apply(Event::Pause(Author::Admin));
            }
            Step::Resume => {
                self.apply(Event::Resume(Author::Admin));
            }
            Step::Promote => {
                self.apply(Event::Promote(Author::Admin));
            }
            Step::LeaveOut(h) => {
                self.apply(Event::LeaveOut { host: name(h), by: Author::Admin });
            }
            Step::Remove(h) => {
                self.apply(Event::Removed(name(h)));
            }
            Step::Hold(hosts) => {
                let why = |host: usize| (name(host), "frozen".to_owned());
                self.apply(Event::HeldBack(hosts.into_iter().map(why).collect()));
            }
            Step::EndBack(h, state) => {
                if let Some(command) = self.goes_back(NAMES[h]) {
                    self.ends(NAMES[h], command, state, false);
                }
            }
            Step::RefuseBack(h, code) => {
                if let Some(asked) = self.goes_back(NAMES[h]) {
                    let host = name(h);
                    self.apply(match code {
                        Some(code) => {
                            let refusal = Refusal { code, message: "no".to_owned() };
                            Event::Refused { host, asked, refusal }
                        }
                        None => Event::NothingToTakeBack { host, asked, why: "no".to_owned() },
                    });
                }
            }
            Step::Restart => {
                let stored = serde_json::to_string(&self.rollout).unwrap();
                self.rollout = serde_json::from_str(&stored).unwrap();
            }
        }
    }
}

fn has_failed(rollout: &Rollout, host: &HostId) -> bool {
    matches!(rollout.hosts[host], Progress::Failed { .. })
}

/// In which wave a host began; the one under way, where it never did.
fn wave_of(rollout: &Rollout, host: &HostId) -> usize {
    rollout.began.get(host).copied().unwrap_or(rollout.wave)
}

/// Only hosts of a wave of which one failed go back, only from what they were brought, once what they
/// do is over, and each once.
fn goes_back_as_it_may(before: &Rollout, now: &Rollout) -> Result<(), TestCaseError> {
    let way = &now.way_back;
    let wants = way.on_failure == OnFailure::RollBack;
    prop_assert!(wants || way.waves.is_empty() && way.hosts.is_empty());
    prop_assert!(way.waves.is_empty() || now.halted.is_some(), "it goes on meanwhile");
    prop_assert!(before.way_back.waves.is_subset(&way.waves));
    for (host, back) in &way.hosts {
        let began = now.began.get(host).copied().unwrap_or(0);
        prop_assert!(way.waves.contains(&began), "{} is of another wave", host);
        let known = before.way_back.hosts.get(host);
        if !back.is_over() {
            prop_assert!(way.brought.contains_key(host), "nothing was brought to {}", host);
            prop_assert!(now.hosts[host].is_over(), "{} does something else", host);
        }
        if let Some(known) = known.filter(|known| known.is_over()) {
            prop_assert_eq!(known, back);
        }
    }
    Ok(())
}

/// When too many failed, it halts, paused or not; where that was asked for, the wave of each of those
/// that failed then, or later, goes back; and it is not over before everybody of these did. After a
/// cancel nobody does.
fn goes_back_as_it_must(before: &Rollout, now: &Rollout) -> Result<(), TestCaseError> {
    let is_cancelled =
        |rollout: &Rollout| rollout.halted.as_ref().is_some_and(|why| why.starts_with("cancelled"));
    let too_many = now.stop_after.is_some_and(|most| now.counts().failed >= most as usize);
    prop_assert!(!too_many || now.halted.is_some(), "too many failed, and it goes on");
    if now.way_back.on_failure != OnFailure::RollBack || is_cancelled(now) {
        prop_assert!(now.way_back.hosts.is_empty());
        return Ok(());
    }
    prop_assert!(now.halted.is_none() || !now.way_back.waves.is_empty(), "nobody goes back");
    if now.halted.is_some() {
        for host in now.hosts.keys().filter(|host| has_failed(now, host)) {
            let goes = now.way_back.waves.contains(&wave_of(now, host));
            prop_assert!(goes || has_failed(before, host), "{} failed: its wave stays", host);
        }
    }
    if now.is_over() {
        for host in now.way_back.brought.keys() {
            let of_wave = now.way_back.waves.contains(&wave_of(now, host));
            let is_through = now.way_back.hosts.get(host).is_some_and(Back::is_over);
            prop_assert!(!of_wave || is_through, "{} was left behind", host);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_limit_holds_what_is_over_stays_over_and_everything_ends(
        steps in steps(), at_once in 1..4_u32, one_first in any::<bool>(), soak in 0..900_u64,
        waves in prop::collection::vec(1..3_usize, 0..4), stop_after in prop::option::of(1..4_u32),
        goes_back in any::<bool>(),
    ) {
        let mut lab = Lab::new(&UPDATE, &NAMES, at_once);
        let waves: Vec<Wave> = waves.iter().map(|n| Wave::Hosts(u32::try_from(*n).unwrap())).collect();
        lab.rollout.one_first = one_first;
        lab.rollout.waves = if waves.is_empty() { Vec::new() } else { sizes(&waves, NAMES.len()) };
        (lab.rollout.soak, lab.rollout.stop_after) = (soak, stop_after);
        if goes_back {
            lab.rollout.way_back.on_failure = OnFailure::RollBack;
        }
        lab.begin();
        for step in steps {
            let before = lab.rollout.clone();
            let promotes = matches!(step, Step::Promote);
            let removed = matches!(step, Step::Remove(_));
            lab.happen(step);
            let now = &lab.rollout;
            let is_held = |rollout: &Rollout, host: &HostId, step: usize| {
                // Tests are of what runs already.
                step != 2 && rollout.held_back.contains_key(host)
            };
            let switching = now.running().filter(|(_, step, _)| *step == 1).count();
            let going_back = now.way_back.running().count();
            prop_assert!(switching + going_back <= at_once as usize);
            goes_back_as_it_may(&before, now)?;
            goes_back_as_it_must(&before, now)?;
            for (host, progress) in &before.hosts {
                if progress.is_over() {
                    prop_assert_eq!(&now.hosts[host], progress);
                }
            }
            // Nobody begins while it is paused or halted.
            let still = before.paused.is_some() && now.paused.is_some() || before.halted.is_some();
            let steps = |rollout: &Rollout| -> BTreeSet<(HostId, usize)> {
                rollout.running().map(|(host, step, _)| (host.clone(), step)).collect()
            };
            prop_assert!(!still || steps(now).is_subset(&steps(&before)), "it starts a step");
            let new: Vec<_> = steps(now).difference(&steps(&before)).cloned().collect();
            let held = new.iter().find(|(host, step)| is_held(now, host, *step));
            prop_assert!(held.is_none(), "{:?} is held back", held);
            // Nobody's patience counts while it is held back.
            for (host, progress) in &before.hosts {
                if let Progress::Waiting { step, .. } = progress
                    && is_held(now, host, *step)
                    && is_held(&before, host, *step)
                    && !removed
                {
                    prop_assert!(!has_failed(now, host), "{} had to wait", host);
                }
            }
            // A wave begins when somebody of the one before has succeeded, or a user wanted it.
            prop_assert!(now.wave <= before.wave + NAMES.len());
            if now.wave > before.wave && !promotes {
                let of = |(host, wave): (&HostId, &usize)| {
                    let done = matches!(now.hosts.get(host), Some(Progress::Done { .. }));
                    (*wave == before.wave && done).then_some(())
                };
                let free = before.hosts.iter().any(|(host, progress)| {
                    let waits = matches!(progress, Progress::Waiting { why: None, step: 0, .. });
                    waits && !is_held(now, host, 0)
                });
                prop_assert!(!free || now.began.iter().find_map(of).is_some(), "{before:#?} {now:#?}");
            }
            // No more are under way in a wave than it has places for, but for those who come back.
            let places = now.wave_sizes().get(now.wave).copied().unwrap_or(NAMES.len());
            let under_way = now.hosts.iter().filter(|(host, progress)| {
                now.began.get(*host) == Some(&now.wave)
                    && matches!(progress, Progress::Running { step: 0, .. })
            });
            let last = now.wave + 1 >= now.waves();
            prop_assert!(last || under_way.count() <= places.max(1), "{now:#?}");
            // Everybody who waits has a reason.
            for (host, progress) in &now.hosts {
                let waits = matches!(progress, Progress::Waiting { .. });
                prop_assert_eq!(now.waits_for(host).is_some_and(|why| !why.is_empty()), waits);
            }
            let nobody_runs = now.running().next().is_none();
            let free = now.hosts.iter().any(|(host, progress)| match progress {
                Progress::Waiting { why: None, step, .. } => !is_held(now, host, *step),
                _ => false,
            });
            let holds = now.paused.is_some() || now.soaks.is_some();
            // Somebody of the wave is busy with something else.
            let busy = now.hosts.iter().any(|(host, progress)| match progress {
                Progress::Waiting { why: Some(_), until: None, step: step @ 1.., .. } => {
                    !is_held(now, host, *step)
                }
                _ => false,
            });
            let waits_for_nothing = nobody_runs && free && !holds && !busy;
            prop_assert!(!waits_for_nothing, "somebody waits for nothing: {now:#?}");
        }
        // Every command ends, every host is ready, every window opens, and somebody resumes it one
        // day: then it ends.
        lab.happen(Step::Hold(Vec::new()));
        for _ in 0..60 {
            let before = lab.rollout.clone();
            lab.happen(Step::Resume);
            lab.happen(Step::Wait(900));
            lab.happen(Step::Ready);
            for host in 0..NAMES.len() {
                lab.happen(Step::End(host, OK));
                lab.happen(Step::EndBack(host, OK));
            }
            goes_back_as_it_may(&before, &lab.rollout)?;
        }
        prop_assert!(lab.rollout.is_over(), "{:?}", lab.rollout);
    }
}
