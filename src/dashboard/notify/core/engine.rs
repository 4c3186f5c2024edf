//! Incidents: opened once, told once, ended once.

use super::note::{Note, Phase};
use super::rules::Channel;
use super::{Kind, words};
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long what happens is gathered, so that many failures at once are one message.
const GATHER: Duration = Duration::from_secs(5);
/// How long a message is tried that cannot be delivered.
pub(crate) const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The first wait after a message was not delivered; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// So many notes are kept for a channel; of more, what has no end is only counted.
const NOTES: usize = 1000;

/// How long a state must last before it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// A host without an agent.
    pub(crate) offline: Duration,
    /// A host that needs a reboot.
    pub(crate) reboot: Duration,
    /// A source that cannot be read.
    pub(crate) remote: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self { offline: minutes(10), reboot: minutes(3 * 24 * 60), remote: minutes(5) }
    }
}

impl Limits {
    fn of(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Offline => self.offline,
            Kind::RebootNeeded => self.reboot,
            Kind::RemoteUnreadable => self.remote,
            Kind::SwitchFailed
            | Kind::RolledBack
            | Kind::TestsRed
            | Kind::RolloutEnded
            | Kind::Login => Duration::ZERO,
        }
    }
}

/// Whether a state holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Level {
    /// It holds, and perhaps it is known since when.
    Holds {
        /// What is to be said. Hostile.
        text: String,
        /// Since when; `None`: since it was first seen.
        since: Option<Timestamp>,
    },
    /// It does not hold.
    Gone,
    /// Nothing is known just now: all stays as it is.
    Unsure,
}

/// Something that happened once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// An incident begins, unless it has begun.
    Fails { kind: Kind, subject: String, text: String, at: Timestamp },
    /// It is over, if there was one.
    Mended { kind: Kind, subject: String, at: Timestamp },
    /// Told as it is; it has no end.
    Point { kind: Kind, subject: String, text: String, at: Timestamp },
}

/// What is seen now, and what has happened since last time, in its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// States. A subject that is not here is gone, and nothing is said of it any more.
    pub(crate) levels: Vec<(Kind, String, Level)>,
    /// All subjects that there are, hosts and sources.
    pub(crate) subjects: BTreeSet<String>,
    /// What has happened.
    pub(crate) news: Vec<News>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Incident {
    kind: Kind,
    subject: String,
    text: String,
    since: Timestamp,
    /// The channels that hear of it: they hear of its end too.
    told: Vec<String>,
}

/// What waits for a channel.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Waiting {
    notes: Vec<Note>,
    /// Notes without an end for which there was no room.
    unsaid: BTreeMap<Kind, usize>,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Its number; none is given twice.
    pub(crate) id: u64,
    /// The channel.
    pub(crate) channel: String,
    /// What it is about; `None`: a test.
    pub(crate) kind: Option<Kind>,
    /// Whether something is wrong; else it is an end, or plain news.
    pub(crate) alarm: bool,
    /// The first line.
    pub(crate) title: String,
    /// The rest.
    pub(crate) body: String,
    /// When it was made.
    pub(crate) at: Timestamp,
    /// How often it was not delivered.
    pub(crate) attempts: u32,
    /// Not before this.
    pub(crate) next_try: Timestamp,
    /// Why it was not delivered.
    pub(crate) last_error: Option<String>,
}

/// All that is remembered, and stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    next_id: u64,
    /// States that have not lasted long enough, since when.
    since: BTreeMap<String, Timestamp>,
    open: BTreeMap<String, Incident>,
    waiting: BTreeMap<String, Waiting>,
    outbox: Vec<Message>,
    /// When a channel last took a message.
    delivered: BTreeMap<String, Timestamp>,
}

fn key(kind: Kind, subject: &str) -> String {
    format!("{} {subject}", kind.name())
}

impl State {
    /// Takes in what is seen and what has happened, and makes messages of what is due.
    /// `is_quiet` says whether a channel has to wait now.
    pub(crate) fn tick(
        &mut self,
        now: Timestamp,
        observed: Observed,
        channels: &[Channel],
        limits: &Limits,
        is_quiet: &dyn Fn(&Channel) -> bool,
    ) {
        self.forget(&observed.subjects, channels);
        for news in observed.news {
            self.hear(now, news, channels);
        }
        for (kind, subject, level) in observed.levels {
            self.see(now, kind, &subject, level, channels, limits);
        }
        for channel in channels {
            if !is_quiet(channel) {
                self.flush(now, &channel.name);
            }
        }
    }

    /// Drops what is about hosts, sources and channels that are gone.
    fn forget(&mut self, subjects: &BTreeSet<String>, channels: &[Channel]) {
        let known = |subject: &str| subjects.contains(subject);
        self.open.retain(|_, incident| known(&incident.subject));
        self.since.retain(|key, _| key.split_once(' ').is_some_and(|(_, subject)| known(subject)));
        let is_channel = |name: &str| channels.iter().any(|channel| channel.name == name);
        self.waiting.retain(|name, _| is_channel(name));
        self.outbox.retain(|message| is_channel(&message.channel));
        self.delivered.retain(|name, _| is_channel(name));
    }

    fn hear(&mut self, now: Timestamp, news: News, channels: &[Channel]) {
        match news {
            News::Fails { kind, subject, text, at } => {
                let channels: Vec<Channel> =
                    channels.iter().filter(|channel| channel.since <= at).cloned().collect();
                self.begin(now, kind, &subject, text, at, &channels);
            }
            News::Mended { kind, subject, at } => self.end(now, kind, &subject, at),
            News::Point { kind, subject, text, at } => {
                let note = Note {
                    kind,
                    subject,
                    text,
                    phase: Phase::Point,
                    since: at,
                    ended: None,
                    noted_at: now,
                };
                let hears = |c: &&Channel| c.since <= at && c.wants(kind, &note.subject);
                for channel in channels.iter().filter(hears) {
                    self.note(&channel.name, note.clone());
                }
            }
        }
    }

    fn see(
        &mut self,
        now: Timestamp,
        kind: Kind,
        subject: &str,
        level: Level,
        channels: &[Channel],
        limits: &Limits,
    ) {
        let key = key(kind, subject);
        match level {
            Level::Unsure => {}
            Level::Gone => {
                self.since.remove(&key);
                self.end(now, kind, subject, now);
            }
            Level::Holds { .. } if self.open.contains_key(&key) => {}
            Level::Holds { text, since } => {
                let since = since.unwrap_or_else(|| *self.since.entry(key.clone()).or_insert(now));
                let since = since.min(now);
                if now.since(since) >= limits.of(kind) {
                    self.since.remove(&key);
                    self.begin(now, kind, subject, text, since, channels);
                }
            }
        }
    }

    fn begin(
        &mut self,
        now: Timestamp,
        kind: Kind,
        subject: &str,
        text: String,
        since: Timestamp,
        channels: &[Channel],
    ) {
        let key = key(kind, subject);
        if self.open.contains_key(&key) {
            return;
        }
        let told: Vec<String> = channels
            .iter()
            .filter(|channel| channel.wants(kind, subject))
            .map(|channel| channel.name.clone())
            .collect();
        let note = Note {
            kind,
            subject: subject.to_owned(),
            text: text.clone(),
            phase: Phase::Opened,
            since,
            ended: None,
            noted_at: now,
        };
        for channel in &told {
            self.note(channel, note.clone());
        }
        let incident = Incident { kind, subject: subject.to_owned(), text, since, told };
        self.open.insert(key, incident);
    }

    fn end(&mut self, now: Timestamp, kind: Kind, subject: &str, at: Timestamp) {
        let Some(incident) = self.open.remove(&key(kind, subject)) else {
            return;
        };
        for channel in &incident.told {
            let waiting = self.waiting.entry(channel.clone()).or_default();
            let opened = waiting.notes.iter_mut().find(|note| {
                note.kind == kind && note.subject == subject && note.phase == Phase::Opened
            });
            if let Some(note) = opened {
                // Nobody was told yet: both are told at once.
                (note.phase, note.ended) = (Phase::Over, Some(at));
                continue;
            }
            let note = Note {
                kind,
                subject: subject.to_owned(),
                text: incident.text.clone(),
                phase: Phase::Ended,
                since: incident.since,
                ended: Some(at),
                noted_at: now,
            };
            self.note(channel, note);
        }
    }

    fn note(&mut self, channel: &str, note: Note) {
        let waiting = self.waiting.entry(channel.to_owned()).or_default();
        if note.phase == Phase::Point && waiting.notes.len() >= NOTES {
            *waiting.unsaid.entry(note.kind).or_default() += 1;
        } else {
            waiting.notes.push(note);
        }
    }

    /// Makes messages of what waits for a channel, once it was gathered for long enough: one for
    /// each kind and phase.
    fn flush(&mut self, now: Timestamp, channel: &str) {
        let first = self.waiting.get(channel).and_then(|waiting| waiting.notes.first());
        // A clock that was set back does not hold anything for long.
        if first.is_none_or(|note| now.since(note.noted_at) < GATHER && note.noted_at <= now) {
            return;
        }
        let Waiting { notes, mut unsaid } = self.waiting.remove(channel).unwrap_or_default();
        let mut groups: Vec<((Kind, Phase), Vec<Note>)> = Vec::new();
        for note in notes {
            let group = (note.kind, note.phase);
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, list)) => list.push(note),
                None => groups.push((group, vec![note])),
            }
        }
        for ((kind, phase), notes) in groups {
            let more = if phase == Phase::Point { unsaid.remove(&kind).unwrap_or(0) } else { 0 };
            let (title, body) = words::of(kind, phase, &notes, more);
            let bad_news = matches!(kind, Kind::RolledBack);
            let alarm = phase == Phase::Opened || bad_news;
            self.send(now, channel, kind, alarm, title, body);
        }
    }

    fn send(
        &mut self,
        now: Timestamp,
        channel: &str,
        kind: Kind,
        alarm: bool,
        title: String,
        body: String,
    ) {
        self.next_id += 1;
        self.outbox.push(Message {
            id: self.next_id,
            channel: channel.to_owned(),
            kind: Some(kind),
            alarm,
            title,
            body,
            at: now,
            attempts: 0,
            next_try: now,
            last_error: None,
        });
    }

    /// A message that only says that it came.
    pub(crate) fn test(now: Timestamp, channel: &str) -> Message {
        Message {
            id: 0,
            channel: channel.to_owned(),
            kind: None,
            alarm: false,
            title: "A test of nixfleet".to_owned(),
            body: "This test message came where it should.".to_owned(),
            at: now,
            attempts: 0,
            next_try: now,
            last_error: None,
        }
    }

    /// The message that a channel should be sent now: its oldest, if its time has come.
    pub(crate) fn due(&self, now: Timestamp, channel: &str) -> Option<&Message> {
        let first = self.outbox.iter().find(|message| message.channel == channel)?;
        // A clock that was set back does not make anybody wait for longer than the longest wait.
        let is_due = first.next_try <= now || first.next_try.since(now) > LONGEST_WAIT;
        is_due.then_some(first)
    }

    /// A message was delivered, or not, and why. Answers one that is given up.
    pub(crate) fn tried(
        &mut self,
        now: Timestamp,
        id: u64,
        done: Result<(), String>,
    ) -> Option<Message> {
        let at = self.outbox.iter().position(|message| message.id == id)?;
        match done {
            Ok(()) => {
                let message = self.outbox.remove(at);
                self.delivered.insert(message.channel, now);
                None
            }
            Err(why) => {
                let message = &mut self.outbox[at];
                message.attempts = message.attempts.saturating_add(1);
                message.last_error = Some(why);
                let doubled = FIRST_WAIT * 2_u32.pow(message.attempts.saturating_sub(1).min(16));
                message.next_try = now + doubled.min(LONGEST_WAIT);
                (now.since(message.at) >= GIVEN_UP_AFTER).then(|| self.outbox.remove(at))
            }
        }
    }

    /// What was wrong with a channel may be mended: its messages are tried now.
    pub(crate) fn try_now(&mut self, now: Timestamp, channel: &str) {
        for message in self.outbox.iter_mut().filter(|message| message.channel == channel) {
            message.next_try = now;
        }
    }

    /// How a channel does: messages that wait, why the oldest was not delivered, and when one was.
    pub(crate) fn of_channel(&self, name: &str) -> (usize, Option<&str>, Option<Timestamp>) {
        let mut mine = self.outbox.iter().filter(|message| message.channel == name);
        let first = mine.next();
        let count = usize::from(first.is_some()) + mine.count();
        let error = first.and_then(|message| message.last_error.as_deref());
        (count, error, self.delivered.get(name).copied())
    }

    /// How many incidents are open.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }
}
