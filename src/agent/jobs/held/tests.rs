use super::*;
use crate::agent::config::{GuardSettings, Platform, SignerFiles};
use crate::agent::guard::intent::End;
use crate::agent::jobs::{ORDER, Order};
use crate::agent::site::Site;
use crate::domain::guard::{self, Evidence};
use crate::domain::operation::Args;
use crate::protocol::Built;
use std::fs;
use std::time::Duration;

const OLD: &str = "/nix/store/1-system";
const NEW: &str = "/nix/store/2-system";

fn id(n: u128) -> CommandId {
    CommandId(uuid::Uuid::from_u128(n))
}

fn order(n: u128, op: Operation, args: Args, state: &Path) -> Order {
    let site = Site {
        hostname: "h".to_owned(),
        platform: Platform::NixOs,
        repo_url: None,
        repo_dir: state.join("repo"),
        branch: "main".to_owned(),
        ssh_key: None,
        rebuild: None,
        rebuild_flags: Vec::new(),
        root: state.to_owned(),
        store_dir: state.join("store"),
        home: state.join("home"),
        state_dir: state.to_owned(),
        tests_enabled: true,
        tests_auto_run: true,
        test_timeout: Duration::from_secs(60),
        check_power: false,
        url: String::new(),
        ca: None,
        guard: GuardSettings::default(),
        signers: SignerFiles::default(),
    };
    Order { command_id: id(n), op, args, held: Vec::new(), site, boot_id: String::new() }
}

/// A job with an intent, as it is while it runs.
fn armed(state: &Path, n: u128, op: Operation, args: Args) -> Job {
    let job = Job { id: id(n), dir: state.join("jobs").join(id(n).to_string()) };
    fs::create_dir_all(&job.dir).unwrap();
    write_whole(&job.dir.join(ORDER), &order(n, op, args, state)).unwrap();
    let built = Built { commit: "b".repeat(40), dirty: false, ..Built::default() };
    let (old, new) = if op == Operation::Rollback { (NEW, OLD) } else { (OLD, NEW) };
    let intent = Intent {
        format: guard::FORMAT,
        id: id(n),
        boot_id: "b".into(),
        old: old.into(),
        new: new.into(),
        exe: "/exe".into(),
        old_generation: Some(1),
        generation: None,
        evidence: Evidence::default(),
        dashboard_at: None,
        units: Default::default(),
        built: (op != Operation::Rollback).then_some(built),
    };
    intent::arm(&job.dir, &intent).unwrap();
    job
}

fn ended(job: &Job, claim: Claim, end: &End) {
    assert!(intent::rename(&job.dir, Claim::Armed, claim).unwrap());
    intent::mark_done(&job.dir, end).unwrap();
}

fn back() -> End {
    End::rolled_back("no link to the dashboard", "")
}

/// What is repeated while `runs` runs: paths, with the commits that are known.
fn told(state: &Path, runs: &str) -> Vec<(String, Option<String>)> {
    let held = Jobs::open(state).unwrap().held(Some(runs));
    let one = |told: Repeated| {
        (told.left.path.unwrap(), told.left.commit.map(|commit| commit.to_string()))
    };
    held.into_iter().map(one).collect()
}

#[test]
fn what_a_guard_took_back_is_repeated_until_it_is_let_go_also_by_an_agent_that_was_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path();
    let job = armed(state, 1, Operation::Switch, Args::default());
    assert_eq!(told(state, NEW), [], "it is not over");
    ended(&job, Claim::Return, &back());
    let held = vec![(NEW.to_owned(), Some("b".repeat(40)))];
    assert_eq!(told(state, OLD), held);
    let reason = Jobs::open(state).unwrap().held(None).remove(0).reason;
    assert_eq!(reason, "Rolled back by itself: no link to the dashboard.");
    // The dashboard has all of the job.
    Jobs::open(state).unwrap().acknowledge(&job);
    assert!(!job.dir.exists());
    assert_eq!(told(state, OLD), held);
    Jobs::open(state).unwrap().let_go(&[id(2)]);
    assert_eq!(told(state, OLD), held, "another one was let go");
    Jobs::open(state).unwrap().let_go(&[id(1)]);
    assert_eq!(told(state, OLD), []);
}

#[test]
fn another_system_that_runs_ends_it_for_good_but_not_while_a_switch_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path();
    let job = armed(state, 1, Operation::Switch, Args::default());
    ended(&job, Claim::Return, &back());
    Jobs::open(state).unwrap().acknowledge(&job);
    let next = armed(state, 2, Operation::Switch, Args::default());
    assert_eq!(told(state, "/nix/store/3-system").len(), 1);
    ended(&next, Claim::Keep, &End::kept(None));
    assert_eq!(told(state, "/nix/store/3-system"), []);
    assert_eq!(told(state, OLD), []);
}

#[test]
fn of_all_other_ends_only_a_kept_rollback_holds_and_only_if_that_was_wanted() {
    let kept = || End::kept(None);
    let cleared = || Args { hold: Some(false), ..Args::default() };
    type Case = (Operation, fn() -> Args, Claim, fn() -> End, bool);
    let cases: [Case; 6] = [
        (Operation::Rollback, Args::default, Claim::Keep, kept, true),
        (Operation::Rollback, cleared, Claim::Keep, kept, false),
        (Operation::Switch, Args::default, Claim::Keep, kept, false),
        (Operation::Switch, Args::default, Claim::Return, End::stopped, false),
        (
            Operation::Switch,
            Args::default,
            Claim::Return,
            || End::with(OutcomeStatus::Error, "Another system was activated meanwhile."),
            false,
        ),
        (
            Operation::Rollback,
            Args::default,
            Claim::Keep,
            || End::with(OutcomeStatus::Error, "it cannot be kept"),
            false,
        ),
    ];
    for (number, (op, args, claim, end, holds)) in cases.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let job = armed(dir.path(), 1, op, args());
        ended(&job, claim, &end());
        let expected = if holds { vec![(NEW.to_owned(), None)] } else { Vec::new() };
        assert_eq!(told(dir.path(), OLD), expected, "case {number}");
    }
}

#[test]
fn a_file_that_cannot_be_read_holds_nothing_and_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("jobs")).unwrap();
    fs::write(dir.path().join("jobs").join(HELD), b"{\"left\": 7").unwrap();
    assert_eq!(told(dir.path(), OLD), []);
}
