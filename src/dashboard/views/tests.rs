use super::*;
use crate::dashboard::messages::{FleetView, HostEntry, Remotes, SourceState};
use crate::domain::desired::{Desired, PendingPr, Remote};
use crate::domain::facts::LockState;
use crate::domain::host::HostState;
use crate::domain::ids::{Commit, HostId};
use crate::protocol::{Line, Stream};
use std::sync::Arc;

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

fn remotes(desired: Desired) -> Remotes {
    Arc::new(vec![SourceState { name: HOSTILE.into(), desired: Arc::new(desired) }])
}

fn hostile_remote() -> Desired {
    Desired::Known(Remote {
        source: HOSTILE.into(),
        branch: HOSTILE.into(),
        commit: Commit::parse("abc1234").unwrap(),
        lock: LockState::Absent,
        subject: HOSTILE.into(),
        committed_at: Timestamp::from_secs(1),
        fetched_at: Timestamp::from_secs(1),
        pending_pr: Some(PendingPr {
            number: 42,
            title: HOSTILE.into(),
            url: HOSTILE.into(),
            mergeable: true,
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
    let mut state = HostState::new(HostId::parse("h").unwrap(), HOSTILE, desired);
    for text in [
        &mut state.profile.platform,
        &mut state.profile.os_version,
        &mut state.profile.location,
        &mut state.profile.device_type,
        &mut state.profile.repo_url,
    ] {
        HOSTILE.clone_into(text);
    }
    state.facts.agent.version = Some(HOSTILE.into());
    state.facts.system.store_path = Some(HOSTILE.into());
    host::entry_of(&state)
}

#[test]
fn text_of_hosts_never_becomes_markup() {
    let entry = hostile_host();
    let story = host_page::Story {
        commands: Vec::new(),
        runs: Vec::new(),
        generations: Vec::new(),
        deploys: Vec::new(),
    };
    let line = Line { stream: Stream::Stderr, text: HOSTILE.into() };
    let view = FleetView {
        version: 1,
        remotes: remotes(hostile_remote()),
        hosts: [(entry.snapshot.id.clone(), entry.clone())].into(),
    };
    for html in [
        host::row(&entry),
        host_page::page(&entry, &story, HOSTILE, 1, true),
        fleet::page(&view, &fleet::no_log(), HOSTILE, None),
        log::lines(std::iter::once((1, &line))),
        layout::login(HOSTILE, true, Some(HOSTILE)),
    ] {
        let html = html.into_string();
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(!html.contains("<img"), "{html}");
    }
}

#[test]
fn the_page_holds_each_row_as_an_update_would_send_it() {
    let entry = hostile_host();
    let view = FleetView {
        version: 7,
        hosts: [(entry.snapshot.id.clone(), entry.clone())].into(),
        remotes: remotes(Desired::NotYetFetched),
    };
    let page = fleet::page(&view, &fleet::no_log(), "t", None).into_string();
    for element in [
        host::row(&entry),
        fleet::summary(view.hosts.values()),
        fleet::target(&view.remotes, &view.hosts),
        fleet::hosts(&view),
    ] {
        assert!(page.contains(&element.into_string()));
    }
}

#[test]
fn the_page_has_nothing_inline() {
    let entry = hostile_host();
    let row = host::row(&entry).into_string();
    assert!(!row.contains("style=") && !row.contains(" onclick"), "{row}");
}
