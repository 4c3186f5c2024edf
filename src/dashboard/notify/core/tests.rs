//! What becomes of what happens: tables, and properties over random days.

use super::engine::{Level, Limits, Message, News, Observed, State};
use super::rules::{Channel, Quiet, Target};
use super::{GIVEN_UP_AFTER, Kind};
use crate::domain::timestamp::Timestamp;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + second)
}

fn channel(name: &str) -> Channel {
    Channel {
        name: name.to_owned(),
        target: Target::Slack { url: String::new() },
        events: BTreeSet::new(),
        hosts: Vec::new(),
        quiet: None,
        since: at(0),
    }
}

const HOSTS: [&str; 3] = ["db", "mail", "web"];

/// A small world: which hosts are offline since when, and what has happened.
struct World {
    state: State,
    channels: Vec<Channel>,
    hosts: Vec<String>,
    offline: BTreeMap<&'static str, i64>,
    quiet: bool,
    sent: Vec<Message>,
}

impl World {
    fn new(channels: &[Channel]) -> Self {
        Self {
            state: State::default(),
            channels: channels.to_vec(),
            hosts: HOSTS.map(str::to_owned).to_vec(),
            offline: BTreeMap::new(),
            quiet: false,
            sent: Vec::new(),
        }
    }

    fn tick_with(&mut self, second: i64, news: Vec<News>) {
        let level = |host: &String| match self.offline.get(host.as_str()) {
            Some(since) => Level::Holds { text: "no agent".into(), since: Some(at(*since)) },
            None => Level::Gone,
        };
        let levels = self.hosts.iter().map(|h| (Kind::Offline, h.clone(), level(h))).collect();
        let subjects = self.hosts.iter().cloned().collect();
        let observed = Observed { levels, subjects, news };
        let quiet = self.quiet;
        self.state.tick(at(second), observed, &self.channels, &Limits::default(), &|_| quiet);
    }

    fn tick(&mut self, second: i64) {
        self.tick_with(second, Vec::new());
    }

    /// Delivers all that is due; answers the titles, with the channel where there are several.
    fn deliver(&mut self, second: i64) -> Vec<String> {
        let mut titles = Vec::new();
        for channel in &self.channels {
            while let Some(message) = self.state.due(at(second), &channel.name).cloned() {
                self.state.tried(at(second), message.id, Ok(()));
                let name = if self.channels.len() > 1 { &channel.name } else { "" };
                titles.push(format!("{name}{}", message.title));
                self.sent.push(message);
            }
        }
        titles
    }
}

fn failed(host: &str, second: i64) -> News {
    News::Fails {
        kind: Kind::SwitchFailed,
        subject: host.into(),
        text: "exit code 1".into(),
        at: at(second),
    }
}

fn mended(host: &str, second: i64) -> News {
    News::Mended { kind: Kind::SwitchFailed, subject: host.into(), at: at(second) }
}

fn login(second: i64) -> News {
    News::Point {
        kind: Kind::Login,
        subject: "admin".into(),
        text: "Logged in from ::1.".into(),
        at: at(second),
    }
}

#[test]
fn an_incident_is_told_once_with_its_end() {
    let mut world = World::new(&[channel("a")]);
    world.tick_with(0, vec![failed("web", 0)]);
    assert_eq!(world.deliver(0), [""; 0]);
    world.tick(10);
    assert_eq!(world.deliver(10), ["web: switch failed"]);
    // A second failure of the same host is the same incident.
    world.tick_with(20, vec![failed("web", 20)]);
    world.tick(40);
    assert_eq!(world.deliver(40), [""; 0]);
    world.tick_with(50, vec![mended("web", 50)]);
    world.tick(60);
    assert_eq!(world.deliver(60), ["Over: web: switch failed"]);
    world.tick_with(70, vec![mended("web", 70)]);
    world.tick(90);
    assert_eq!(world.deliver(90), [""; 0]);
    assert_eq!(world.state.open(), 0);
}

#[test]
fn many_failures_at_once_are_one_message() {
    let mut world = World::new(&[channel("a")]);
    world.tick_with(0, HOSTS.iter().map(|host| failed(host, 0)).collect());
    world.tick_with(5, vec![login(5)]);
    world.tick(10);
    assert_eq!(world.deliver(10), ["3 × switch failed", "login"]);
    let body = &world.sent[0].body;
    assert!(body.contains("web: exit code 1 (since "), "{body}");
}

#[test]
fn offline_is_told_when_it_has_lasted_and_not_for_a_host_that_only_blinked() {
    let mut world = World::new(&[channel("a")]);
    world.offline.insert("web", 0);
    world.offline.insert("db", 0);
    world.tick(599);
    world.offline.remove("db");
    world.tick(600);
    world.tick(610);
    assert_eq!(world.deliver(610), ["web: offline"]);
    world.offline.clear();
    world.tick(700);
    world.tick(710);
    assert_eq!(world.deliver(710), ["Over: web: offline"]);
}

#[test]
fn quiet_hours_delay_and_do_not_drop() {
    let mut world = World::new(&[channel("a")]);
    world.quiet = true;
    world.tick_with(0, vec![failed("web", 0), failed("db", 0), login(0)]);
    world.tick_with(3600, vec![mended("db", 3600)]);
    world.tick(7200);
    assert_eq!(world.deliver(7200), [""; 0]);
    world.quiet = false;
    world.tick(7201);
    let told = world.deliver(7201);
    assert_eq!(told, ["web: switch failed", "Was, and is over: db: switch failed", "login"]);
    assert!(world.sent[1].body.contains(" until "), "{:?}", world.sent[1]);
}

#[test]
fn a_channel_hears_what_it_asked_for_and_the_end_of_what_it_heard() {
    let mut a = channel("a ");
    a.hosts = vec!["w*".into()];
    let mut b = channel("b ");
    b.events = [Kind::Login].into();
    let mut world = World::new(&[a, b]);
    world.tick_with(0, vec![failed("web", 0), failed("db", 0), login(0)]);
    world.tick(10);
    assert_eq!(world.deliver(10), ["a web: switch failed", "a login", "b login"]);
    // One that is added later hears of what begins then, not of the end of what it was not told.
    world.channels.push(channel("c "));
    world.tick_with(20, vec![mended("web", 20), mended("db", 20)]);
    world.tick(30);
    assert_eq!(world.deliver(30), ["a Over: web: switch failed"]);
}

#[test]
fn what_nobody_knows_ends_nothing_and_what_is_gone_is_told_no_more() {
    let mut world = World::new(&[channel("a")]);
    world.offline.insert("web", -1000);
    world.tick(0);
    world.tick(10);
    assert_eq!(world.deliver(10), ["web: offline"]);
    let unsure = vec![(Kind::Offline, "web".to_owned(), Level::Unsure)];
    let observed = Observed {
        levels: unsure,
        subjects: world.hosts.iter().cloned().collect(),
        news: Vec::new(),
    };
    let (channels, limits) = (world.channels.clone(), Limits::default());
    world.state.tick(at(20), observed, &channels, &limits, &|_| false);
    assert_eq!(world.state.open(), 1);
    // The host is removed: nothing is left to be said of it.
    world.hosts.retain(|host| host != "web");
    world.tick(30);
    world.tick(50);
    assert_eq!(world.deliver(50), [""; 0]);
    assert_eq!(world.state.open(), 0);
}

#[test]
fn what_is_not_delivered_is_tried_again_less_and_less_often_and_given_up_after_a_day() {
    let mut world = World::new(&[channel("a")]);
    world.tick_with(0, vec![login(0)]);
    world.tick(10);
    let (mut second, mut waits) = (10, Vec::new());
    let given_up = loop {
        let message = world.state.due(at(second), "a").expect("it is due").clone();
        assert_eq!(world.state.of_channel("a").0, 1);
        if let Some(given_up) = world.state.tried(at(second), message.id, Err("503".into())) {
            break given_up;
        }
        assert_eq!(world.state.of_channel("a").1, Some("503"));
        let next = (second..).find(|s| world.state.due(at(*s), "a").is_some()).unwrap();
        waits.push(next - second);
        second = next;
    };
    assert_eq!(waits[..6], [10, 20, 40, 80, 160, 320]);
    assert!(waits.iter().all(|wait| *wait <= 3600) && waits.contains(&3600), "{waits:?}");
    assert_eq!(given_up.title, "login");
    let day = i64::try_from(GIVEN_UP_AFTER.as_secs()).unwrap();
    assert!((day..day + 3700).contains(&second), "{second}");
    assert_eq!(world.state.of_channel("a").0, 0);
}

#[test]
fn a_mended_channel_is_tried_at_once() {
    let mut world = World::new(&[channel("a")]);
    world.tick_with(0, vec![login(0)]);
    world.tick(10);
    let id = world.state.due(at(10), "a").unwrap().id;
    world.state.tried(at(10), id, Err("no".into()));
    assert!(world.state.due(at(11), "a").is_none());
    world.state.try_now(at(11), "a");
    assert_eq!(world.deliver(11), ["login"]);
}

#[test]
fn a_flood_of_logins_is_bounded_and_counted() {
    let mut world = World::new(&[channel("a")]);
    world.quiet = true;
    for second in 0..3000 {
        world.tick_with(second, vec![login(second)]);
    }
    world.quiet = false;
    world.tick(4000);
    assert_eq!(world.deliver(4000), ["3000 × login"]);
    assert!(world.sent[0].body.ends_with("and 2980 more"), "{}", world.sent[0].body);
}

#[test]
fn text_of_a_host_is_plain_in_a_message_and_short() {
    let mut world = World::new(&[channel("a")]);
    let text = format!("\u{1b}[31mred\u{1b}[0m\nnext {}", "x".repeat(1000));
    let fails = News::Fails { kind: Kind::SwitchFailed, subject: "web".into(), text, at: at(0) };
    world.tick_with(0, vec![fails]);
    world.tick(10);
    world.deliver(10);
    let body = &world.sent[0].body;
    assert!(body.starts_with("red next xxx") && body.chars().count() < 600, "{body}");
}

#[test]
fn quiet_is_only_about_the_clock_of_its_channel() {
    let quiet = Quiet { from: 60, to: 120, time_zone: "UTC".into() };
    assert!(quiet.holds(60) && !quiet.holds(120));
}

/// One step of a random day.
#[derive(Debug, Clone)]
enum Step {
    Offline(usize),
    Online(usize),
    Fails(usize),
    Mends(usize),
    Login,
    Quiet(bool),
    Restart,
    Refused,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let host = 0..HOSTS.len();
    prop_oneof![
        host.clone().prop_map(Step::Offline),
        host.clone().prop_map(Step::Online),
        host.clone().prop_map(Step::Fails),
        host.prop_map(Step::Mends),
        Just(Step::Login),
        any::<bool>().prop_map(Step::Quiet),
        Just(Step::Restart),
        Just(Step::Refused),
        (1_i64..2000).prop_map(Step::Wait),
    ]
}

/// How many were told to have begun, or to be over: a group's title says how many it is about.
fn told(sent: &[Message], kind: Kind, begins: bool) -> usize {
    let of = |message: &&Message| {
        let (ends, both) =
            (message.title.starts_with("Over: "), message.title.starts_with("Was, "));
        message.kind == Some(kind) && if begins { !ends } else { ends || both }
    };
    let count = |message: &Message| {
        let (before, _) = message.title.split_once(" × ").unwrap_or(("1", ""));
        before.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    sent.iter().filter(of).map(count).sum()
}

proptest! {
    #[test]
    fn over_any_day_every_incident_is_told_once_and_ends_once(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(&[channel("a")]);
        let (mut now, mut refused) = (0, false);
        let (mut begun, mut ended, mut logins) = (0, 0, 0);
        let mut failing = BTreeSet::new();
        for step in steps {
            now += 1;
            let mut news = Vec::new();
            match step {
                Step::Offline(host) => { world.offline.entry(HOSTS[host]).or_insert(now); }
                Step::Online(host) => { world.offline.remove(HOSTS[host]); }
                Step::Fails(host) => {
                    begun += usize::from(failing.insert(host));
                    news.push(failed(HOSTS[host], now));
                }
                Step::Mends(host) => {
                    ended += usize::from(failing.remove(&host));
                    news.push(mended(HOSTS[host], now));
                }
                Step::Login => { logins += 1; news.push(login(now)); }
                Step::Quiet(quiet) => world.quiet = quiet,
                // What is stored is all that there is.
                Step::Restart => {
                    let stored = serde_json::to_string(&world.state).unwrap();
                    world.state = serde_json::from_str(&stored).unwrap();
                }
                Step::Refused => refused = !refused,
                Step::Wait(seconds) => now += seconds,
            }
            world.tick_with(now, news);
            if refused {
                if let Some(message) = world.state.due(at(now), "a").cloned() {
                    world.state.tried(at(now), message.id, Err("refused".into()));
                }
            } else {
                world.deliver(now);
            }
        }
        // In the end it is not quiet any more, and everything is delivered.
        world.quiet = false;
        for _ in 0..3 {
            now += 4000;
            world.tick(now);
            world.deliver(now);
        }
        prop_assert_eq!(told(&world.sent, Kind::SwitchFailed, true), begun);
        prop_assert_eq!(told(&world.sent, Kind::SwitchFailed, false), ended);
        prop_assert_eq!(told(&world.sent, Kind::Login, true), logins);
        let ids: BTreeSet<u64> = world.sent.iter().map(|message| message.id).collect();
        prop_assert_eq!(ids.len(), world.sent.len());
        // Offline: as many begin as end, but for those that are offline now.
        let begun = told(&world.sent, Kind::Offline, true);
        let ended = told(&world.sent, Kind::Offline, false);
        prop_assert_eq!(begun - ended, world.offline.len());
        prop_assert_eq!(world.state.open(), world.offline.len() + failing.len());
    }
}
