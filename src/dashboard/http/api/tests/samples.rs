//! One of each object, with every field set.

use crate::dashboard::http::api::object;
use crate::dashboard::http::error::HttpError;
use crate::dashboard::live::model::{HostEntry, SourceState};
use crate::dashboard::store::events::EventRecord;
use crate::dashboard::store::transitions::TransitionRecord;
use crate::domain::audit::Author;
use crate::domain::closure_diff::{Change, Kind};
use crate::domain::command::{Baseline, Command, State};
use crate::domain::desired::{Desired, PendingPr, Remote};
use crate::domain::facts::{
    Deploy, DeployKind, DeployOutcome, HostFacts, Lineage, LockState, MissingCommit, Relation,
    SystemFacts, TestOutcome, TestRun,
};
use crate::domain::generation::{Generation, TestedGeneration};
use crate::domain::host::{HostState, Restored};
use crate::domain::ids::{CommandId, Commit, HostId, LockHash};
use crate::domain::looks::{Colour, DeviceType, Place};
use crate::domain::operation::{Args, Operation};
use crate::domain::profile::HostProfile;
use crate::domain::refusal::RefusalCode;
use crate::domain::rollout::{Progress, Rollout, RolloutId};
use crate::domain::snapshot::{Metrics, Pulse};
use crate::domain::test_report::{TestCaseOutcome, TestCounts, TestResult};
use crate::domain::timestamp::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_secs(1_768_732_200 + 60 * minutes)
}

fn command_id(number: u128) -> CommandId {
    CommandId(Uuid::from_u128(number))
}

fn host_id(name: &str) -> HostId {
    HostId::parse(name).unwrap()
}

fn commit(digit: &str) -> Commit {
    Commit::parse(&digit.repeat(40)).unwrap()
}

fn lock() -> LockState {
    LockState::Hash(LockHash::parse(&"c".repeat(64)).unwrap())
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn pending_pr() -> PendingPr {
    PendingPr {
        number: 42,
        title: "Update flake.lock".into(),
        url: "https://forge.example/pulls/42".into(),
        mergeable: Some(true),
        head: "d".repeat(40),
    }
}

fn remote() -> Remote {
    Remote {
        source: "default".into(),
        branch: "main".into(),
        commit: commit("b"),
        lock: Some(lock()),
        subject: "Add a printer".into(),
        committed_at: at(-30),
        fetched_at: at(0),
        pending_pr: Some(pending_pr()),
    }
}

fn one_command() -> Command {
    Command {
        id: command_id(1),
        host: host_id("web"),
        op: Operation::Rollback,
        args: Args {
            generation: Some(47),
            reason: text("too slow"),
            confirmed: Some(true),
            regardless: Vec::new(),
        },
        state: State::Failed,
        requested_by: Author::Token("deploy bot".into()),
        created_at: at(1),
        sent_at: Some(at(2)),
        finished_at: Some(at(3)),
        deadline: Some(at(17)),
        offline_since: None,
        missed: 0,
        exit_code: Some(1),
        reason: text("exit code 1"),
        verified_by: None,
        miss: None,
        stop_by: None,
        time_limit: Duration::from_secs(900),
        slow: false,
        progress: text("activating"),
        output_lines: 12,
        baseline: Baseline::default(),
    }
}

fn facts() -> HostFacts {
    let mut facts = HostFacts {
        checkout: Some(commit("a")),
        lock: Some(lock()),
        system: SystemFacts {
            generation: Some(48),
            store_path: text("/nix/store/a-system"),
            configuration_revision: text(commit("a").as_str()),
            activated_at: Some(at(-60)),
            agent_path: text("/nix/store/a-nixfleet"),
            reboot_needed: Some(false),
        },
        tests_enabled: Some(true),
        lineage: Some(Lineage {
            host: commit("a"),
            head: commit("b"),
            relation: Relation::Behind { commits: 1, lock_commits: 0 },
            missing: Arc::new([MissingCommit {
                commit: commit("b"),
                subject: "Add a printer".into(),
            }]),
        }),
        ..HostFacts::default()
    };
    facts.agent.version = text(env!("CARGO_PKG_VERSION"));
    facts
}

pub(super) fn host() -> Value {
    let profile = HostProfile {
        hostname: "Web".into(),
        platform: "nixos".into(),
        location: Some(Place::Home),
        device_type: Some(DeviceType::Server),
        theme_color: Colour::parse("#7aa2f7"),
        tests_auto_run: Some(true),
        ..HostProfile::default()
    };
    let restored = Restored {
        id: host_id("web"),
        profile,
        facts: facts(),
        last_seen: Some(at(0)),
        live: Vec::new(),
        last: None,
        results: Vec::new(),
    };
    let state = HostState::restore(restored, Arc::new(Desired::Known(remote())), at(0));
    let mut snapshot = state.snapshot();
    snapshot.command = Some(one_command());
    snapshot.waiting = vec![one_command()];
    snapshot.pending_pr = Some(pending_pr());
    let metrics = Some(Metrics { cpu: 25.0, ram: 60.0, swap: 5.0, load: 1.2 });
    let pulse = Pulse { last_seen: Some(at(0)), metrics };
    let mut entry = HostEntry::new(Arc::new(snapshot), pulse);
    entry.compared_at = Some(at(0));
    let mut object = json!(object::host(&entry));
    // The version of the package is not what these tests are about.
    object["agent_version"] = json!("4.0.0");
    object["update_status"]["agent"]["message"] = json!("as the dashboard");
    object
}

pub(super) fn command() -> Value {
    object::command(&one_command())
}

pub(super) fn story() -> Value {
    let step =
        TransitionRecord { at: at(2), state: State::Sent, reason: text("the host is there") };
    let result = TestResult {
        index: 1,
        total: 2,
        name: "GPU".into(),
        outcome: TestCaseOutcome::TimedOut,
        duration_ms: 1500,
        output: "waiting".into(),
        subtests: Some(TestCounts { passed: 1, failed: 1, total: 2 }),
    };
    let change = Change {
        name: "openssl".into(),
        kind: Kind::Up,
        from: "3.5.1".into(),
        to: "3.5.2".into(),
        bytes: Some(-2048),
    };
    object::command_story(&one_command(), &[step], &[result], Some(vec![change]))
}

fn run() -> TestRun {
    TestRun {
        command_id: command_id(2),
        deployment: 3,
        store_path: text("/nix/store/a-system"),
        counts: Some(TestCounts { passed: 7, failed: 1, total: 8 }),
        outcome: TestOutcome::Failed,
        first_failed: text("GPU"),
        exit_code: Some(1),
        ended_at: at(5),
    }
}

pub(super) fn test_run() -> Value {
    object::test_run(&run())
}

pub(super) fn generation() -> Value {
    object::generation(&TestedGeneration {
        generation: Generation {
            generation: 48,
            store_path: text("/nix/store/a-system"),
            configuration_revision: text(commit("a").as_str()),
            created_at: Some(at(-60)),
            current: true,
        },
        tests: Some(run()),
        last_working: false,
    })
}

pub(super) fn deployment() -> Value {
    json!(Deploy {
        command_id: command_id(1),
        kind: DeployKind::Switch,
        commit: Some(commit("a")),
        subject: text("Add a printer"),
        lock: Some(lock()),
        store_path: text("/nix/store/a-system"),
        generation: Some(48),
        outcome: DeployOutcome::Failed("exit code 1".into()),
        exit_code: Some(1),
        ended_at: at(3),
    })
}

pub(super) fn rollout() -> Value {
    let why = || "offline".to_owned();
    object::rollout(&Rollout {
        id: RolloutId(Uuid::from_u128(7)),
        steps: vec![Operation::Pull, Operation::Switch],
        at_once: 3,
        stop_after: Some(1),
        requested_by: Author::Admin,
        created_at: at(0),
        halted: text("cancelled by admin"),
        finished_at: Some(at(9)),
        dismissed: false,
        hosts: [
            (host_id("a"), Progress::LeftOut { why: why() }),
            (host_id("b"), Progress::Waiting { step: 0, since: Some(at(1)), why: Some(why()) }),
            (host_id("c"), Progress::Running { step: 1, command: command_id(3), since: None }),
            (host_id("d"), Progress::Done { note: text("it was current") }),
            (host_id("e"), Progress::Failed { step: 1, why: "exit code 1".into() }),
            (host_id("f"), Progress::Skipped { step: 1 }),
        ]
        .into(),
    })
}

fn sources() -> Vec<SourceState> {
    let unavailable = Desired::Unavailable {
        since: at(-5),
        reason: "forge.example cannot be resolved (DNS)".into(),
        last_known: Some(Remote { pending_pr: None, ..remote() }),
    };
    let states = [
        ("default", Desired::Known(remote())),
        ("new", Desired::NotYetFetched),
        ("none", Desired::NotConfigured { setting: "NIXFLEET_SOURCE".into() }),
        ("gone", unavailable),
    ];
    let state = |(name, desired): (&str, Desired)| SourceState {
        name: name.into(),
        desired: Arc::new(desired),
        merged: None,
    };
    states.into_iter().map(state).collect()
}

/// A list: each source is in another state.
pub(super) fn desired() -> Value {
    object::desired(&sources())
}

pub(super) fn pull_request() -> Value {
    object::pull_requests(&sources())[0].clone()
}

pub(super) fn event() -> Value {
    object::event(&EventRecord {
        id: 12,
        at: at(3),
        host: Some(host_id("web")),
        category: "command".into(),
        message: "Rollback failed: exit code 1.".into(),
        by: text("token deploy bot"),
    })
}

pub(super) fn error() -> Value {
    json!({ "error": HttpError::new(RefusalCode::HostBusy, "web is busy with pull.").object() })
}
