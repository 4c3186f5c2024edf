//! What may happen to a host in a generated sequence.

use super::*;

/// Which command a message is about, resolved when it happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    Current,
    Last,
    Queued,
    Foreign,
    ByName(Operation),
    Nameless,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Connect {
        protocol: u32,
        /// Which of the machines that use the name, where it says that.
        machine: Option<&'static str>,
        running: Option<Whose>,
        finished: Option<Whose>,
        facts: u32,
    },
    Disconnect,
    Heartbeat {
        works: Option<Whose>,
        facts: u32,
    },
    /// It names something that is no operation here, or something that passes.
    Names(&'static str),
    /// It refuses what was sent for that.
    RejectedFor(&'static str),
    /// What a 3.x agent says after a stop: twice, and then an echo.
    StopsTwice(Operation),
    /// Somebody looks.
    ReportWanted,
    /// A line without an id.
    Line(bool),
    Accepted(Whose),
    Rejected {
        whose: Whose,
        instead: Option<Whose>,
    },
    Ended {
        whose: Whose,
        kind: OutcomeKind,
        code: i32,
        facts: u32,
    },
    Progress(Whose),
    /// It says what its job does.
    Phase(Whose, WorkPhase),
    TestEnded {
        whose: Whose,
        index: u32,
        pass: bool,
    },
    Ask {
        op: Operation,
        queue: bool,
    },
    /// A user holds the host, or lets it go.
    Hold(bool),
    Stop(Whose),
    Extend(Whose),
    Remote(u32),
    RemoteFails,
    Wait(u64),
    ClockJumps(i64),
    /// The dashboard is killed and started again.
    Restart,
    /// A user removes the host and adds it again.
    Removed,
    /// SQLite cannot write what the next event brings.
    StoreFails,
    /// The last event comes once more.
    Again,
}

fn op() -> impl Strategy<Value = Operation> {
    prop::sample::select(Operation::ALL.to_vec())
}

fn whose() -> impl Strategy<Value = Whose> {
    prop_oneof![
        6 => Just(Whose::Current),
        2 => Just(Whose::Last),
        1 => Just(Whose::Queued),
        1 => Just(Whose::Foreign),
        2 => op().prop_map(Whose::ByName),
        1 => Just(Whose::Nameless),
    ]
}

fn chore() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["force-update", "update", "refresh-all", "stop", "", "\u{7}"])
}

fn kind() -> impl Strategy<Value = OutcomeKind> {
    prop::sample::select(vec![
        OutcomeKind::Exited,
        OutcomeKind::Failed,
        OutcomeKind::Stopped,
        OutcomeKind::TimedOut,
        OutcomeKind::Blocked,
        OutcomeKind::Interrupted,
        OutcomeKind::Returned,
    ])
}

fn phase() -> impl Strategy<Value = WorkPhase> {
    prop::sample::select(vec![WorkPhase::Pull, WorkPhase::Build, WorkPhase::Activate])
}

/// Which facts a message carries: see [`report`].
fn facts() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0..64_u32, 1 => 0..1024_u32, 1 => 0..16_384_u32]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let code = prop_oneof![4 => Just(0), 2 => 1..3_i32, 1 => any::<i32>()];
    prop_oneof![
        3 => (
            prop::sample::select(vec![3, 4, 4, 9]),
            prop::sample::select(vec![None, Some("a"), Some("b")]),
            prop::option::of(whose()),
            prop::option::of(whose()),
            facts(),
        )
            .prop_map(|(protocol, machine, running, finished, facts)| Step::Connect {
                protocol, machine, running, finished, facts
            }),
        2 => Just(Step::Disconnect),
        6 => (prop::option::of(whose()), facts())
            .prop_map(|(works, facts)| Step::Heartbeat { works, facts }),
        1 => chore().prop_map(Step::Names),
        1 => chore().prop_map(Step::RejectedFor),
        1 => op().prop_map(Step::StopsTwice),
        1 => Just(Step::ReportWanted),
        1 => any::<bool>().prop_map(Step::Line),
        2 => whose().prop_map(Step::Accepted),
        1 => (whose(), prop::option::of(whose()))
            .prop_map(|(whose, instead)| Step::Rejected { whose, instead }),
        4 => (whose(), kind(), code, facts())
            .prop_map(|(whose, kind, code, facts)| Step::Ended { whose, kind, code, facts }),
        1 => whose().prop_map(Step::Progress),
        1 => (whose(), phase()).prop_map(|(whose, phase)| Step::Phase(whose, phase)),
        1 => (whose(), 0..4_u32, any::<bool>())
            .prop_map(|(whose, index, pass)| Step::TestEnded { whose, index, pass }),
        6 => (op(), any::<bool>()).prop_map(|(op, queue)| Step::Ask { op, queue }),
        1 => any::<bool>().prop_map(Step::Hold),
        2 => whose().prop_map(Step::Stop),
        1 => whose().prop_map(Step::Extend),
        2 => (1..4_u32).prop_map(Step::Remote),
        1 => Just(Step::RemoteFails),
        3 => prop_oneof![1..40_u64, 40..700_u64, 3000..90_000_u64].prop_map(Step::Wait),
        1 => prop::sample::select(vec![86_400_000, -86_400_000, 5_000]).prop_map(Step::ClockJumps),
        1 => Just(Step::Restart),
        1 => Just(Step::Removed),
        1 => Just(Step::StoreFails),
        2 => Just(Step::Again),
    ]
}

/// Some of the facts a message may carry, chosen by the bits of `bits`.
pub(super) fn report(bits: u32) -> Report {
    let n = bits >> 4 & 3;
    let runs = system(u64::from(1 + n), 1 + n);
    // A configuration that tells no revision, a profile that is ahead.
    let mute = SystemFacts { configuration_revision: None, ..runs.clone() };
    let runs = if bits & 64 != 0 { mute } else { runs };
    let runs = if bits & 128 != 0 { profile_ahead(runs, 9) } else { runs };
    let built = Built {
        commit: Some(commit(1 + n)),
        lock: Some(lock(1 + n)),
        dirty: bits & 2048 != 0,
        path: if bits & 4096 != 0 { runs.profile_path.clone() } else { None },
        starts: if bits & 8192 != 0 { Starts::NextBoot } else { Starts::Now },
    };
    Report {
        dirty: (bits & 256 != 0).then_some(Some(n == 1)),
        no_checkout: bits & 513 == 512,
        built: (bits & 1024 != 0).then_some(built),
        checkout: (bits & 1 != 0).then(|| commit(1 + n)),
        lock: (bits & 2 != 0).then(|| lock(1 + n)),
        system: (bits & 4 != 0).then_some(runs),
        tests: (bits & 8 != 0).then_some(TestSetup {
            enabled: n != 3,
            auto_run: n == 1,
            count: Some(4),
        }),
        ..Report::default()
    }
}
