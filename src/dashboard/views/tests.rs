use super::*;
use crate::dashboard::live::model::{FleetView, HostEntry, Remotes, SourceState};
use crate::dashboard::store::api_tokens::ApiTokenRecord;
use crate::dashboard::store::events::EventRecord;
use crate::domain::audit::Author;
use crate::domain::compartment::Compartment;
use crate::domain::deploy::{Deploy, DeployKind, DeployOutcome, Paths, Starts};
use crate::domain::desired::{Checks, Desired, MergedPr, PendingPr, Remote, UpdateDetails};
use crate::domain::facts::{HostFacts, LockState};
use crate::domain::flake_lock::{InputChange, LockChanges, Locked};
use crate::domain::forge::Forge;
use crate::domain::generation::{Generation, TestedGeneration};
use crate::domain::host::{HostState, Restored};
use crate::domain::ids::{CommandId, Commit, HostId};
use crate::domain::maintenance::{Day, Freeze, HeldBack, Maintenance, Restraint, Window, WindowId};
use crate::domain::moment::Uptime;
use crate::domain::operation::{Args, Operation};
use crate::domain::profile::HostProfile;
use crate::domain::rollout::{Back, Plan, Progress, Rollout, RolloutId, WayBack};
use crate::domain::test_report::{TestCaseOutcome, TestResult};
use crate::protocol::{Line, Stream};
use list::{Heads, Look};
use rollouts::Choice;
use std::collections::BTreeMap;
use std::sync::Arc;
use story::Story;
use uuid::Uuid;

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
        pending_details: Some(UpdateDetails {
            inputs: Some(LockChanges {
                inputs: vec![InputChange {
                    name: HOSTILE.into(),
                    from: Some(Locked { version: HOSTILE.into(), at: None }),
                    to: None,
                }],
                nested: 1,
            }),
            checks: Checks::Failed(vec![HOSTILE.into()]),
        }),
        hosts: vec![HOSTILE.into()],
        forge: None,
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
    let state = HostState::restore(restored, desired, Uptime::default());
    let snapshot = Arc::new(state.snapshot());
    HostEntry::new(snapshot, state.pulse())
}

fn hostile_rollout() -> Rollout {
    let id = |name| HostId::parse(name).unwrap();
    Rollout {
        id: RolloutId(uuid::Uuid::from_u128(1)),
        steps: vec![Operation::Pull],
        at_once: 1,
        one_first: false,
        waves: Vec::new(),
        soak: 0,
        wave: 0,
        began: BTreeMap::new(),
        soaks: None,
        paused: None,
        regardless: [Restraint::Windows].into(),
        of_freeze: None,
        held_back: [(id("f"), HOSTILE.into())].into(),
        held_since: BTreeMap::new(),
        stop_after: None,
        requested_by: Author::Token(HOSTILE.into()),
        created_at: Timestamp::from_secs(1),
        halted: Some(HOSTILE.into()),
        finished_at: None,
        dismissed: false,
        hosts: [
            (id("a"), Progress::Failed { step: 0, why: HOSTILE.into() }),
            (id("b"), Progress::LeftOut { why: HOSTILE.into() }),
            (
                id("c"),
                Progress::Waiting {
                    step: 0,
                    since: None,
                    until: None,
                    away: false,
                    why: Some(HOSTILE.into()),
                },
            ),
            (id("d"), Progress::Done { note: Some(HOSTILE.into()) }),
            (id("e"), Progress::Done { note: None }),
            (id("f"), Progress::next(0)),
        ]
        .into(),
        boots: [id("c")].into(),
        way_back: WayBack {
            hosts: [
                (id("d"), Back::Failed { why: HOSTILE.into() }),
                (id("e"), Back::Waiting { why: HOSTILE.into(), until: None }),
            ]
            .into(),
            ..WayBack::default()
        },
    }
}

fn ended_rollout() -> Rollout {
    Rollout { finished_at: Some(Timestamp::from_secs(2)), ..hostile_rollout() }
}

fn hostile_freeze() -> Freeze {
    let (since, until) = (Timestamp::from_secs(1), Timestamp::from_secs(2));
    Freeze { reason: HOSTILE.into(), by: Author::Token(HOSTILE.into()), since, until }
}

fn hostile_maintenance() -> Maintenance {
    let window = Window {
        id: WindowId(Uuid::from_u128(1)),
        tag: None,
        days: [Day::Sat].into(),
        from: 0,
        to: 60,
        time_zone: HOSTILE.into(),
    };
    Maintenance { freeze: Some(hostile_freeze()), windows: vec![window] }
}

fn view(desired: Desired) -> FleetView {
    let entry = hostile_host();
    FleetView {
        version: 7,
        remotes: remotes(desired),
        hosts: [(entry.snapshot.id.clone(), entry)].into(),
        rollouts: Arc::new(vec![hostile_rollout()]),
        maintenance: Arc::new(hostile_maintenance()),
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
        events: Vec::new(),
        only: story::Only::All,
    };
    let line = Line { stream: Stream::Stderr, text: format!("\u{1b}[31m{HOSTILE}\u{1b}[0m") };
    let beside = [None, None];
    let page = host_page::HostPage {
        entry,
        beside,
        story: &story,
        shown: None,
        open: false,
        going: 1,
        version: 1,
    };
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
            away: vec![snapshot.id.clone()],
            left_out: vec![(HOSTILE.into(), vec![snapshot.id.clone()])],
        },
        only_reboot: Some(vec![snapshot.id.clone()]),
        frozen: Some(hostile_freeze()),
        outside: vec![(HOSTILE.into(), vec![snapshot.id.clone()])],
    };
    let event = EventRecord {
        id: 1,
        at: Timestamp::from_secs(1),
        host: None,
        category: HOSTILE.into(),
        message: HOSTILE.into(),
        by: Some(HOSTILE.into()),
        from: Some(HOSTILE.into()),
        result: Some(HOSTILE.into()),
        command: None,
        hash: [0; 32],
    };
    let filter = events::Filter {
        host: HOSTILE.into(),
        words: HOSTILE.into(),
        category: HOSTILE.into(),
        failed: true,
        from: HOSTILE.into(),
        to: HOSTILE.into(),
        export: [HOSTILE.into(), HOSTILE.into()],
    };
    let token = ApiTokenRecord {
        token_hash: [1; 32],
        name: HOSTILE.into(),
        scope: crate::domain::scope::Scope::Read,
        created_at: Timestamp::from_secs(1),
        expires_at: None,
        last_used_at: None,
    };
    let session = crate::dashboard::store::sessions::SessionRecord {
        token_hash: [1; 32],
        created_at: Timestamp::from_secs(1),
        expires_at: Timestamp::from_secs(2),
        last_used_at: Timestamp::from_secs(1),
        address: HOSTILE.into(),
        browser: HOSTILE.into(),
    };
    let settings = account::Settings {
        view: &view,
        tokens: &[token],
        sessions: &[session],
        own_session: [1; 32],
        id_of: |_| HOSTILE.to_owned(),
        recovery_codes: 1,
        fixed_password: false,
        totp: account::Totp::Offered { secret: HOSTILE.into(), url: HOSTILE.into() },
        enrolment: account::Enrolment::On,
        news: Some(account::News {
            text: HOSTILE.into(),
            failed: true,
            secret: Some(HOSTILE.into()),
        }),
    };
    let added = || add_host::Added { hostname: HOSTILE.into(), token: HOSTILE.into() };
    let failed = [(HOSTILE.to_owned(), HOSTILE.to_owned())];
    let offered = [HOSTILE.to_owned()];
    let asked = add_host::Asked { offered: &offered, typed: HOSTILE, problem: Some(HOSTILE) };
    let source = view.remotes.first();
    let mut all = vec![
        fleet::page(&view, &Look::default(), None, HOSTILE),
        host_page::page(&page, HOSTILE),
        events::page(&[event], &filter, &[HOSTILE.to_owned()], Some("/events"), HOSTILE),
        account::page(&settings, HOSTILE),
        rollouts_page::page(&view, &[hostile_rollout(), ended_rollout()], HOSTILE),
        layout::login(HOSTILE, true, Some(HOSTILE), Some(HOSTILE)),
        layout::note(HOSTILE),
        log::lines(std::iter::once((1, &line)), Some(1)),
        rollouts::bar(std::slice::from_ref(&snapshot.id), std::slice::from_ref(&choice), HOSTILE),
        layout::undo(HOSTILE, "/commands/x/stop"),
        find::found(&view, ""),
        find::page(&view, HOSTILE, HOSTILE),
        layout::tests_failed(HOSTILE, 0),
        layout::tests_failed(HOSTILE, 3),
    ];
    let back = [HeldBack { by: Restraint::Freeze, why: HOSTILE.into() }];
    let args = Args { reason: Some(HOSTILE.into()), ..Args::default() };
    let asks = maintenance::Asks {
        host: &snapshot.id,
        op: Operation::Switch,
        args: &args,
        queue: true,
        back: &back,
        totp: true,
    };
    let said = maintenance::Said { text: HOSTILE.into(), failed: true };
    all.push(maintenance::page(&view, Some(&said), HOSTILE));
    let dialogs = [
        menu::dialog(snapshot),
        dialogs::tests(snapshot, None, &[result], HOSTILE),
        dialogs::rollback(snapshot, &[], &[], HOSTILE),
        dialogs::dry_run(snapshot, None, HOSTILE),
        dialogs::reboot(snapshot, true, HOSTILE),
        dialogs::remove(snapshot, HOSTILE),
        dialogs::token(snapshot, HOSTILE),
        dialogs::renewed(snapshot, HOSTILE, Timestamp::from_secs(1)),
        dialogs::settings(snapshot, HOSTILE),
        add_host::form(HOSTILE, &asked),
        add_host::added(&[added()], &failed, HOSTILE, Some(HOSTILE)),
        add_host::added(&[added(), added()], &failed, HOSTILE, Some(HOSTILE)),
        keys::dialog(),
        rollouts::confirm(&choice, &[(HOSTILE.into(), vec![snapshot.id.clone()])], true, HOSTILE),
        maintenance::held_back(&asks, HOSTILE),
    ];
    all.extend(dialogs.iter().flat_map(|dialog| [dialog.fragment(), dialog.page(HOSTILE)]));
    for which in Compartment::ALL {
        all.push(compartment::dialog(entry, which, source, HOSTILE).fragment());
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
        let page = fleet::page(&view, &Look::default(), None, "t").into_string();
        let row = host::row(&view.hosts[&HostId::parse("h").unwrap()]);
        for element in [
            row,
            fleet::summary(&Heads::of(view.hosts.values()), 1, &Look::default()),
            fleet::target(&view.remotes, &view.hosts),
            rollouts::panel(&view.rollouts, &view.maintenance),
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
    assert!(after.contains("1970-01-01T00:00:01Z"), "{after}");
    // One that was rendered anew is the same.
    let mut entry = situation("everything current, tests passed (3.x too)");
    host::row(&entry);
    entry.pulse.last_seen = Some(Timestamp::from_secs(2));
    let fresh = HostEntry::new(std::sync::Arc::clone(&entry.snapshot), entry.pulse);
    assert_eq!(host::row(&entry).into_string(), host::row(&fresh).into_string());
}

/// A host in a situation of the acceptance table.
fn situation(name: &str) -> HostEntry {
    let all = crate::domain::host::tests::rows::situations();
    let (_, state) = all.into_iter().find(|(situation, _)| *situation == name).unwrap();
    HostEntry::new(Arc::new(state.snapshot()), state.pulse())
}

/// B3 of the findings about the page.
#[test]
fn cellsays_what_runs_and_the_checkout_only_where_that_is_another() {
    for (name, runs, pulled) in [
        ("everything current, tests passed (3.x too)", "1111111", None),
        ("after a pull that changed the inputs", "1111111", Some("2222222")),
        ("switch succeeded, tests not run", "2222222", None),
        ("rolled back after failed tests", "1111111", Some("2222222")),
        ("built from a dirty tree (revision `…-dirty`)", "1111111111-dirty", Some("1111111")),
    ] {
        let row = host::row(&situation(name)).into_string();
        let cell = row.split("class=\"gen\"").nth(1).unwrap().split("</div>").next().unwrap();
        assert!(cell.contains(&format!("><code>{runs}</code>")), "{name}: {cell}");
        let says = cell.split("<code>").nth(2).map(|rest| &rest[..7]);
        assert_eq!(says, pulled, "{name}: {cell}");
    }
}

/// B12.
#[test]
fn each_host_is_in_one_class_of_the_summary_and_they_add_up() {
    let hosts = [
        "everything current, tests passed (3.x too)",
        "tests failed",
        "tests running",
        "after a pull that changed the inputs",
        "dashboard started, nothing fetched yet, was green",
        "host offline, was all green",
        "... and the remote got a commit that left flake.lock alone",
        "fresh host, nothing reported, remote known",
    ]
    .map(situation);
    let heads = Heads::of(hosts.iter());
    let summary = fleet::summary(&heads, hosts.len(), &Look::default()).into_string();
    let count = |group: &str| -> usize {
        let of = summary.split(&format!("data-show=\"{group}\"")).nth(1).unwrap();
        of.split("<b>").nth(1).unwrap().split('<').next().unwrap().parse().unwrap()
    };
    let told = ["failed", "due", "run", "unsure", "new", "off", "ok"].map(count);
    assert_eq!(told, [1, 1, 1, 1, 1, 2, 1], "{summary}");
    assert_eq!(told.iter().sum::<usize>(), count(""), "{summary}");
}

/// B13.
#[test]
fn hosts_that_a_rollout_left_out_as_current_are_not_to_be_looked_at() {
    let mut rollout = hostile_rollout();
    let id = |n: usize| HostId::parse(&format!("h{n}")).unwrap();
    let current = |n| (id(n), Progress::LeftOut { why: "current already".into() });
    let failed = |n| (id(n), Progress::Failed { step: 0, why: "no disk".into() });
    rollout.hosts = (0..18).map(current).chain((18..20).map(failed)).collect();
    let panel =
        rollouts::panel(std::slice::from_ref(&rollout), &Maintenance::default()).into_string();
    assert!(panel.contains(">2 hosts to look at</p>"), "{panel}");
    rollout.hosts = (0..18).map(current).collect();
    let panel =
        rollouts::panel(std::slice::from_ref(&rollout), &Maintenance::default()).into_string();
    assert!(panel.contains(">18 hosts left out: current already</p>"), "{panel}");
}

/// The forge that these tests know.
fn forge() -> Option<Forge> {
    Forge::of("git@github.com:owner/nixcfg.git")
}

#[test]
fn a_commit_is_a_link_to_its_page_where_the_forge_has_one_d17() {
    let mut entry = situation("remote merged a flake.lock update");
    Arc::make_mut(&mut entry.snapshot).forge = forge();
    let source =
        Desired::Known(Remote { forge: forge(), ..hostile_remote().known().cloned().unwrap() });
    let dialogs = [Compartment::Git, Compartment::System];
    let shown = dialogs.map(|which| compartment::dialog(&entry, which, None, "csrf").body);
    let target = fleet::target(&remotes(source), &BTreeMap::new());
    let shown = shown.into_iter().chain([target]);
    for html in shown.map(Markup::into_string) {
        let commits: Vec<&str> = html.split("<code title=\"").skip(1).collect();
        assert!(!commits.is_empty(), "{html}");
        for shown in commits {
            let (commit, rest) = shown.split_once('"').unwrap();
            let page = format!("https://github.com/owner/nixcfg/commit/{commit}");
            let link = format!("><a href=\"{page}\" rel=\"noreferrer noopener\">");
            assert!(rest.starts_with(&link), "{shown}");
        }
    }
    let plain = commit(&Commit::parse("abc1234").unwrap(), None).into_string();
    assert_eq!(plain, "<code title=\"abc1234\">abc1234</code>");
}

/// B4. A switch of another commit was stopped while generation 2 ran.
#[test]
fn a_generation_has_the_subject_of_the_deploy_that_brought_it() {
    let path = |n: u32| Some(format!("/nix/store/{n}-system"));
    let commit = |digit: &str| Commit::parse(&digit.repeat(40)).unwrap();
    let deploy = |of: &str, subject: &str, runs: u32, outcome: DeployOutcome| Deploy {
        command_id: CommandId(Uuid::from_u128(u128::from(runs))),
        kind: DeployKind::Switch,
        order: 1,
        commit: Some(commit(of)),
        dirty: false,
        subject: Some(subject.into()),
        lock: None,
        intended: None,
        starts: Starts::Now,
        boot_id: None,
        before: Paths { running: path(2), profile: path(2) },
        after: Paths { running: path(runs), profile: path(runs) },
        store_path: path(runs),
        generation: Some(u64::from(runs)),
        why: None,
        outcome,
        exit_code: None,
        ended_at: Timestamp::from_secs(1),
    };
    let stopped = deploy("b", "chore: update", 2, DeployOutcome::Stopped("by admin".into()));
    let good = deploy("a", "feat: a change", 2, DeployOutcome::Succeeded);
    let generation = |revision: Option<&str>| TestedGeneration {
        generation: Generation {
            generation: 2,
            store_path: path(2),
            configuration_revision: revision.map(|digit| digit.repeat(40)),
            created_at: None,
            current: true,
        },
        tests: None,
        last_working: false,
    };
    for revision in [Some("a"), None] {
        let deploys = [stopped.clone(), good.clone()];
        let told = story::generation(&generation(revision), &deploys).into_string();
        assert!(told.contains("feat: a change") && !told.contains("chore"), "{told}");
    }
    // What it names itself counts more than what was deployed.
    let told = story::generation(&generation(Some("c")), std::slice::from_ref(&good));
    assert!(!told.into_string().contains("subject"));
    assert!(!stopped.ran() && good.ran());
}

/// A16: one click neither ends an activation nor starts an agent anew, wherever that is offered.
#[test]
fn what_is_hard_to_take_back_is_asked_once_more_wherever_it_is_offered_a16() {
    let entry = situation("switched, but the old agent still runs");
    let mut stopping = situation("switch of the new commit running");
    let mut snapshot = (*stopping.snapshot).clone();
    snapshot.command.as_mut().unwrap().phase = Some(crate::domain::command::WorkPhase::Activate);
    stopping = HostEntry::new(Arc::new(snapshot), stopping.pulse);
    let mut view = view(Desired::NotYetFetched);
    view.hosts.clear();
    for (entry, op) in [(&entry, "restart-agent"), (&stopping, "stop")] {
        view.hosts = [(entry.snapshot.id.clone(), entry.clone())].into();
        let host = &*entry.snapshot;
        let mut offers = vec![
            host::row(entry),
            menu::dialog(host).fragment(),
            find::found(&view, host.id.as_str()),
        ];
        offers.extend(
            Compartment::ALL
                .map(|which| super::compartment::dialog(entry, which, None, "csrf").fragment()),
        );
        let mut found = 0;
        for offer in offers {
            let html = offer.into_string();
            let path = if op == "stop" { "/stop\"" } else { "\"restart-agent\"" };
            let tags = html
                .split('<')
                .filter(|tag| tag.contains("data-op=") || tag.contains("data-send="));
            for tag in
                tags.filter(|tag| tag.contains(&format!("data-op=\"{op}\"")) || tag.contains(path))
            {
                assert!(tag.contains("data-confirm=\""), "{tag}");
                found += 1;
            }
        }
        assert!(found >= 4, "{op} is offered {found} times");
    }
}
