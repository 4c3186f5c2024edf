//! One of each object, with every field set.

use crate::dashboard::http::api::object;
use crate::dashboard::http::error::HttpError;
use crate::dashboard::live::model::{HostEntry, SourceState};
use crate::dashboard::notify::core::{
    Channel, ChannelStatus, Heart, Kind as Event, Overview, Quiet, Settings, Target,
};
use crate::dashboard::store::api_tokens::ApiTokenRecord;
use crate::dashboard::store::events::EventRecord;
use crate::dashboard::store::sessions::SessionRecord;
use crate::dashboard::store::transitions::TransitionRecord;
use crate::dashboard::views::maintenance::Tagged;
use crate::domain::audit::Author;
use crate::domain::closure_diff::{Alike, Change, Kind};
use crate::domain::command::{Baseline, Command, State};
use crate::domain::deploy::Built;
use crate::domain::desired::{Checks, Desired, PendingPr, Remote, UpdateDetails};
use crate::domain::disk::Disk;
use crate::domain::facts::{
    Deploy, DeployKind, DeployOutcome, HostFacts, Lineage, LockState, MissingCommit, Paths,
    Relation, Starts, SystemFacts, TestOutcome, TestRun,
};
use crate::domain::flake_lock::{InputChange, LockChanges, Locked};
use crate::domain::generation::{Generation, TestedGeneration};
use crate::domain::hold::{Hold, Left};
use crate::domain::host::{HostState, Restored};
use crate::domain::ids::{CommandId, Commit, HostId, LockHash, SystemPath, WholeCommit};
use crate::domain::looks::{Colour, DeviceType, Place};
use crate::domain::maintenance::{Day, Freeze, Restraint, Window, WindowId};
use crate::domain::moment::{Countdown, Moment, Uptime};
use crate::domain::operation::{Args, Operation, Regardless};
use crate::domain::profile::{HostProfile, Overrides};
use crate::domain::refusal::RefusalCode;
use crate::domain::rollout::{Back, OnFailure, Progress, Rollout, RolloutId, Soak, WayBack};
use crate::domain::scope::Scope;
use crate::domain::snapshot::{Metrics, Pulse};
use crate::domain::tag::{Tag, Tags};
use crate::domain::test_report::{TestCaseOutcome, TestCounts, TestResult};
use crate::domain::timestamp::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_secs(1_768_732_200 + 60 * minutes)
}

/// Now.
fn now() -> Moment {
    Moment { at: at(2), up: Uptime::from_millis(120_000) }
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
        pending_details: Some(pending_details()),
        hosts: vec!["db".to_owned()],
        forge: None,
    }
}

fn pending_details() -> UpdateDetails {
    let locked = |version: &str| Some(Locked { version: version.into(), at: Some(at(-20)) });
    let change =
        InputChange { name: "nixpkgs".into(), from: locked("1111111"), to: locked("2222222") };
    UpdateDetails {
        inputs: Some(LockChanges { inputs: vec![change], nested: 2 }),
        checks: Checks::Failed(vec!["build".to_owned()]),
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
            regardless: vec![Regardless::Power],
            commit: WholeCommit::parse(&"b".repeat(40)),
            hold: Some(true),
            plan: SystemPath::parse("/nix/store/b-system"),
            boot: Some(true),
            guard: Some(true),
        },
        state: State::Failed,
        requested_by: Author::Token("deploy bot".into()),
        created_at: at(1),
        sent_at: Some(at(2)),
        finished_at: Some(at(3)),
        asked: Uptime::from_millis(1),
        timer: Some(Countdown::Until(now().up + Duration::from_secs(900))),
        at_most: None,
        gone_since: None,
        missed: 0,
        exit_code: Some(1),
        reason: text("exit code 1"),
        blocked_by: vec![Regardless::Space],
        miss: None,
        over_freeze: None,
        kept_back: None,
        stop_by: None,
        out_of_time: false,
        returned: None,
        interrupted: false,
        ended_with: None,
        time_limit: Duration::from_secs(900),
        slow: false,
        phase: None,
        guarded: false,
        progress: text("activating"),
        output_lines: 12,
        reached: true,
        built: Some(Built {
            commit: Some(commit("a")),
            path: text("/nix/store/a-system"),
            ..Built::default()
        }),
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
            booted_kernel: text("6.12.4"),
            next_kernel: text("6.12.5"),
            profile_path: text("/nix/store/b-system"),
            profile_generation: Some(49),
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
        hold: Some(Hold {
            reason: "no link to the dashboard".into(),
            by: Author::Auto,
            since: at(1),
            pin: false,
            left: vec![Left {
                commit: Some(commit("b")),
                path: text("/nix/store/b-system"),
                of: None,
            }],
            runs: text("/nix/store/a-system"),
            boots: None,
        }),
        ..HostFacts::default()
    };
    facts.agent.version = text(env!("CARGO_PKG_VERSION"));
    facts
}

fn tags(text: &str) -> Tags {
    Tags::read(text.split(' ')).unwrap()
}

pub(super) fn host() -> Value {
    let profile = HostProfile {
        hostname: "Web".into(),
        platform: "nixos".into(),
        location: Some(Place::Home),
        device_type: Some(DeviceType::Server),
        theme_color: Colour::parse("#7aa2f7"),
        tags: tags("db eu"),
        overrides: Overrides { tags: tags("canary"), ..Overrides::default() },
        tests_auto_run: Some(true),
        signers: vec!["/etc/nixfleet/allowed-signers".into()],
        disks: vec![Disk {
            mount: "/boot".into(),
            free: 40 << 20,
            total: 512 << 20,
            inodes_free: Some(1200),
        }],
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
    let state = HostState::restore(restored, Arc::new(Desired::Known(remote())), now().up);
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

pub(super) fn tag() -> Value {
    let id = host_id("web");
    object::tag(&Tag::parse("db").unwrap(), &Tagged { hosts: vec![&id], added: 1 })
}

pub(super) fn freeze() -> Value {
    let reason = "end of the year".to_owned();
    object::freeze(&Freeze { reason, by: Author::Admin, since: at(0), until: at(60) })
}

pub(super) fn window() -> Value {
    object::window(&Window {
        id: WindowId(Uuid::from_u128(9)),
        tag: Tag::parse("db"),
        days: [Day::Sat, Day::Sun].into(),
        from: 22 * 60,
        to: 4 * 60,
        time_zone: "Europe/Vienna".to_owned(),
    })
}

pub(super) fn command() -> Value {
    object::command(&one_command(), now())
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
    object::command_story(&one_command(), now(), &[step], &[result], Some(vec![change]))
}

fn run() -> TestRun {
    TestRun {
        command_id: command_id(2),
        order: 4,
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
        order: 5,
        intended: text("/nix/store/a-system"),
        starts: Starts::Now,
        boot_id: text("6e4c"),
        before: Paths {
            running: text("/nix/store/0-system"),
            profile: text("/nix/store/0-system")
        },
        after: Paths { running: text("/nix/store/a-system"), profile: text("/nix/store/a-system") },
        why: text("too slow"),
        commit: Some(commit("a")),
        dirty: false,
        subject: text("Add a printer"),
        lock: Some(lock()),
        store_path: text("/nix/store/a-system"),
        generation: Some(48),
        outcome: DeployOutcome::Failed("exit code 1".into()),
        exit_code: Some(1),
        ended_at: at(3),
    })
}

pub(super) fn plan() -> Value {
    let change = Change {
        name: "nginx".into(),
        kind: Kind::Up,
        from: "1.26".into(),
        to: "1.27".into(),
        bytes: Some(4096),
    };
    object::plan(&Alike { changes: Some(vec![change]), hosts: vec![host_id("a"), host_id("b")] })
}

pub(super) fn rollout() -> Value {
    let why = || "offline".to_owned();
    object::rollout(&Rollout {
        id: RolloutId(Uuid::from_u128(7)),
        steps: vec![Operation::Pull, Operation::Switch],
        at_once: 3,
        one_first: true,
        waves: vec![1, 5],
        soak: 600,
        wave: 1,
        began: [(host_id("c"), 1)].into(),
        soaks: Some(Soak { ends: at(9), until: Uptime::from_millis(9) }),
        paused: Some(Author::Admin),
        regardless: Restraint::ALL.into(),
        of_freeze: Some(at(0)),
        held_back: [(host_id("b"), why())].into(),
        held_since: [(host_id("b"), Uptime::default())].into(),
        stop_after: Some(1),
        requested_by: Author::Admin,
        created_at: at(0),
        halted: text("cancelled by admin"),
        finished_at: Some(at(9)),
        dismissed: false,
        hosts: [
            (host_id("a"), Progress::LeftOut { why: why() }),
            (
                host_id("b"),
                Progress::Waiting {
                    step: 0,
                    since: Some(at(1)),
                    until: Some(Uptime::from_millis(9)),
                    away: true,
                    why: Some(why()),
                },
            ),
            (
                host_id("c"),
                Progress::Running {
                    step: 1,
                    command: command_id(3),
                    since: None,
                    until: None,
                    away: false,
                },
            ),
            (host_id("d"), Progress::Done { note: text("it was current") }),
            (host_id("e"), Progress::Failed { step: 1, why: "exit code 1".into() }),
            (host_id("f"), Progress::Skipped { step: 1 }),
        ]
        .into(),
        boots: [host_id("d")].into(),
        way_back: WayBack {
            on_failure: OnFailure::RollBack,
            brought: [(host_id("d"), command_id(4))].into(),
            failed: [0].into(),
            waves: [1].into(),
            hosts: [
                (host_id("c"), Back::Running { command: command_id(5), until: None }),
                (host_id("d"), Back::Waiting { why: why(), until: None }),
                (host_id("e"), Back::Nothing { why: "it brought nothing new".into() }),
            ]
            .into(),
        },
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
        from: text("192.0.2.1"),
        result: text("failed"),
        command: Some(CommandId(Uuid::from_u128(7))),
        hash: [9; 32],
    })
}

pub(super) fn api_token() -> Value {
    object::api_token(&ApiTokenRecord {
        token_hash: [7; 32],
        name: "deploy bot".to_owned(),
        scope: Scope::Operate,
        created_at: at(1),
        expires_at: Some(at(9)),
        last_used_at: Some(at(2)),
    })
}

pub(super) fn session() -> Value {
    object::session(&SessionRecord {
        token_hash: [8; 32],
        created_at: at(1),
        expires_at: at(9),
        last_used_at: at(2),
        address: "192.0.2.1".to_owned(),
        browser: "Firefox".to_owned(),
    })
}

pub(super) fn error() -> Value {
    json!({ "error": HttpError::new(RefusalCode::HostBusy, "web is busy with pull.").object() })
}

pub(super) fn notifications() -> Value {
    let channel = Channel {
        name: "ops".into(),
        target: Target::Slack { url: "https://hooks.example/secret".into() },
        events: [Event::SwitchFailed].into(),
        hosts: vec!["web*".into()],
        quiet: Some(Quiet { from: 22 * 60, to: 7 * 60, time_zone: "UTC".into() }),
        since: at(0),
    };
    let error = Some("answers 503".into());
    let status = ChannelStatus { channel, waiting: 1, error, delivered: Some(at(1)) };
    let url = Some("https://hc.example/ping/secret".into());
    let settings = Settings { heartbeat_url: url, ..Settings::default() };
    let heart = Heart { beaten: Some(at(2)), error: Some("no answer".into()), ..Heart::default() };
    object::notifications(&Overview { channels: vec![status], settings, heart, open: 1 })
}
