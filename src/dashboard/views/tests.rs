use super::*;
use crate::dashboard::live::model::{FleetView, HostEntry, Remotes, SourceState};
use crate::dashboard::store::api_tokens::ApiTokenRecord;
use crate::dashboard::store::events::EventRecord;
use crate::domain::audit::Author;
use crate::domain::compartment::Compartment;
use crate::domain::desired::{Desired, MergedPr, PendingPr, Remote};
use crate::domain::facts::{HostFacts, LockState};
use crate::domain::host::{HostState, Restored};
use crate::domain::ids::{Commit, HostId};
use crate::domain::operation::Operation;
use crate::domain::profile::HostProfile;
use crate::domain::rollout::{Plan, Progress, Rollout, RolloutId};
use crate::domain::test_report::{TestCaseOutcome, TestResult};
use crate::protocol::{Line, Stream};
use rollouts::Choice;
use std::collections::BTreeMap;
use std::sync::Arc;
use story::Story;

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn remotes(desired: Desired) -> Remotes {
    Arc::new(vec![SourceState {
        name: HOSTILE.into(),
        desired: Arc::new(desired),
        merged: Some(MergedPr {
            number: 41,
            title: HOSTILE.into(),
            at: Timestamp::from_secs(0),
            reverted_by: None,
        }),
    }])
}

fn hostile_remote() -> Desired {
    Desired::Known(Remote {
        source: HOSTILE.into(),
        branch: HOSTILE.into(),
        commit: Commit::parse("abc1234").unwrap(),
        lock: Some(LockState::Absent),
        subject: HOSTILE.into(),
        committed_at: Timestamp::from_secs(1),
        fetched_at: Timestamp::from_secs(1),
        pending_pr: Some(PendingPr {
            number: 42,
            title: HOSTILE.into(),
            url: HOSTILE.into(),
            mergeable: Some(true),
            head: HOSTILE.into(),
        }),
    })
}

fn hostile_host() -> HostEntry {
    let desired = Arc::new(Desired::Unavailable {
        since: Timestamp::from_secs(1),
        reason: HOSTILE.into(),
        last_known: None,
    });
    let mut profile = HostProfile { hostname: HOSTILE.into(), ..HostProfile::default() };
    for text in [&mut profile.platform, &mut profile.os_version, &mut profile.repo_url] {
        HOSTILE.clone_into(text);
    }
    let mut facts = HostFacts::default();
    facts.agent.version = Some(HOSTILE.into());
    facts.system.store_path = Some(HOSTILE.into());
    let restored = Restored {
        id: HostId::parse("h").unwrap(),
        profile,
        facts,
        last_seen: None,
        live: Vec::new(),
        last: None,
        results: Vec::new(),
    };
    let state = HostState::restore(restored, desired, Timestamp::from_secs(1));
    let snapshot = Arc::new(state.snapshot());
    HostEntry::new(snapshot, state.pulse())
}

fn hostile_rollout() -> Rollout {
    let id = |name| HostId::parse(name).unwrap();
    Rollout {
        id: RolloutId(uuid::Uuid::from_u128(1)),
        steps: vec![Operation::Pull],
        at_once: 1,
        stop_after: None,
        requested_by: Author::Token(HOSTILE.into()),
        created_at: Timestamp::from_secs(1),
        halted: Some(HOSTILE.into()),
        finished_at: None,
        dismissed: false,
        hosts: [
            (id("a"), Progress::Failed { step: 0, why: HOSTILE.into() }),
            (id("b"), Progress::LeftOut { why: HOSTILE.into() }),
            (id("c"), Progress::Waiting { step: 0, since: None, why: Some(HOSTILE.into()) }),
            (id("d"), Progress::Done { note: Some(HOSTILE.into()) }),
        ]
        .into(),
    }
}

fn view(desired: Desired) -> FleetView {
    let entry = hostile_host();
    FleetView {
        version: 7,
        remotes: remotes(desired),
        hosts: [(entry.snapshot.id.clone(), entry)].into(),
        rollouts: Arc::new(vec![hostile_rollout()]),
        read_at: BTreeMap::new(),
    }
}

/// Every page and dialog, with hostile text wherever text comes from outside.
fn everything() -> Vec<Markup> {
    let view = view(hostile_remote());
    let entry = &view.hosts[&HostId::parse("h").unwrap()];
    let snapshot = &*entry.snapshot;
    let story = Story {
        commands: Vec::new(),
        more: false,
        runs: Vec::new(),
        generations: Vec::new(),
        deploys: Vec::new(),
    };
    let line = Line { stream: Stream::Stderr, text: format!("\u{1b}[31m{HOSTILE}\u{1b}[0m") };
    let page = host_page::HostPage { entry, story: &story, shown: None, version: 1 };
    let result = TestResult {
        index: 1,
        total: 1,
        name: HOSTILE.into(),
        outcome: TestCaseOutcome::Failed,
        duration_ms: 1,
        output: HOSTILE.into(),
        subtests: None,
    };
    let choice = Choice {
        name: "update",
        steps: vec![Operation::Pull],
        plan: Plan {
            hosts: vec![snapshot.id.clone()],
            left_out: vec![(HOSTILE.into(), vec![snapshot.id.clone()])],
        },
    };
    let event = EventRecord {
        id: 1,
        at: Timestamp::from_secs(1),
        host: None,
        category: HOSTILE.into(),
        message: HOSTILE.into(),
        by: Some(HOSTILE.into()),
    };
    let filter = events::Filter {
        host: HOSTILE.into(),
        category: HOSTILE.into(),
        from: HOSTILE.into(),
        to: HOSTILE.into(),
    };
    let token = ApiTokenRecord {
        token_hash: [1; 32],
        name: HOSTILE.into(),
        created_at: Timestamp::from_secs(1),
    };
    let settings = account::Settings {
        view: &view,
        tokens: &[token],
        fixed_password: false,
        totp: account::Totp::Offered { secret: HOSTILE.into(), url: HOSTILE.into() },
        enrolment: account::Enrolment::On,
        news: Some(account::News {
            text: HOSTILE.into(),
            failed: true,
            secret: Some(HOSTILE.into()),
        }),
    };
    let added = dialogs::Added { hostname: HOSTILE, token: HOSTILE, url: HOSTILE };
    let source = view.remotes.first();
    let mut all = vec![
        fleet::page(&view, None, HOSTILE),
        host_page::page(&page, HOSTILE),
        events::page(&[event], &filter, &[HOSTILE.to_owned()], Some("/events"), HOSTILE),
        account::page(&settings, HOSTILE),
        layout::login(HOSTILE, true, Some(HOSTILE)),
        layout::note(HOSTILE),
        log::lines(std::iter::once((1, &line))),
        rollouts::bar(std::slice::from_ref(&snapshot.id), std::slice::from_ref(&choice), HOSTILE),
        rollouts::ended(&hostile_rollout()),
    ];
    let dialogs = [
        dialogs::menu(snapshot, HOSTILE),
        dialogs::tests(snapshot, None, &[result], HOSTILE),
        dialogs::rollback(snapshot, &[], &[], HOSTILE),
        dialogs::dry_run(snapshot, None, HOSTILE),
        dialogs::reboot(snapshot, true, HOSTILE),
        dialogs::remove(snapshot, HOSTILE),
        dialogs::settings(snapshot, HOSTILE),
        dialogs::add_host(HOSTILE, HOSTILE, Some(HOSTILE)),
        dialogs::added(&added),
        dialogs::keys(),
        rollouts::confirm(&choice, std::slice::from_ref(&snapshot.id), HOSTILE),
    ];
    all.extend(dialogs.iter().flat_map(|dialog| [dialog.fragment(), dialog.page(HOSTILE)]));
    for which in Compartment::ALL {
        all.push(dialogs::compartment(entry, which, source, HOSTILE).fragment());
    }
    all
}

/// The row as HTML in every situation of the acceptance table: what changes on the page is seen in
/// a review.
#[test]
fn rows_look_as_they_did_in_every_situation_of_the_acceptance_table() {
    for (situation, state) in crate::domain::host::tests::rows::situations() {
        let snapshot = Arc::new(state.snapshot());
        let entry = HostEntry::new(snapshot, state.pulse());
        let html = host::row(&entry).into_string();
        let lines = html.replace("><", ">\n<");
        // A release is no change of the page.
        let lines = lines.replace(crate::domain::compartment::DASHBOARD_VERSION, "VERSION");
        let words: Vec<&str> = situation
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|w| !w.is_empty())
            .collect();
        insta::assert_snapshot!(format!("row__{}", words.join("_")), lines);
    }
}

#[test]
fn text_from_outside_never_becomes_markup() {
    for html in everything() {
        let html = html.into_string();
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(!html.contains("<img"), "{html}");
    }
}

#[test]
fn no_page_has_anything_inline() {
    for html in everything() {
        let html = html.into_string();
        let inline =
            html.contains(" style=") || html.contains(" onclick") || html.contains("<style");
        assert!(!inline, "{html}");
    }
}

#[test]
fn every_form_that_changes_something_carries_the_sessions_token() {
    for html in everything() {
        let html = html.into_string();
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap();
            let empty = form.contains("id=\"bar\"") && !form.contains("<b>");
            let posts = form.split('>').next().unwrap().contains("method=\"post\"");
            assert!(!posts || empty || form.contains("name=\"csrf_token\""), "{form}");
        }
    }
}

#[test]
fn the_page_holds_each_element_as_an_update_would_send_it() {
    for desired in
        [hostile_remote(), Desired::NotYetFetched, Desired::NotConfigured { setting: "S".into() }]
    {
        let view = view(desired);
        let page = fleet::page(&view, None, "t").into_string();
        let row = host::row(&view.hosts[&HostId::parse("h").unwrap()]);
        for element in [
            row,
            fleet::summary(view.hosts.values()),
            fleet::target(&view.remotes, &view.hosts),
            fleet::bulk(&view.remotes),
            fleet::hosts(&view),
            rollouts::panel(&view.rollouts),
            log::tabs(view.hosts.values()),
        ] {
            let element = element.into_string();
            assert!(page.contains(&element), "{element}");
        }
    }
}

#[test]
fn a_heartbeat_shows_in_a_row_that_was_rendered_before() {
    let mut entry = hostile_host();
    let before = host::row(&entry).into_string();
    assert!(before.contains("never seen"), "{before}");
    assert!(!before.contains("<!pulse>"), "{before}");
    entry.pulse.last_seen = Some(Timestamp::from_secs(1));
    let after = host::row(&entry).into_string();
    assert!(!after.contains("never seen"), "{after}");
    let fresh = HostEntry::new(std::sync::Arc::clone(&entry.snapshot), entry.pulse);
    assert_eq!(after, host::row(&fresh).into_string());
}
