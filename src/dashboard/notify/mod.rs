//! Tells people what happens: rules in `core/`, ways to tell in `send/`.
//!
//! The actor looks at the fleet and at what has happened since, lets the core decide, stores what
//! follows, and only then sends. What cannot be stored is not sent, and what was sent is stored as
//! sent, so that a restart loses nothing. Between a delivery and its being stored a kill repeats one
//! message: it has the same number then.

pub(crate) mod core;
mod observe;
mod send;
mod wanted;

pub(crate) use self::core::{Channel, ChannelStatus, Kind, Overview};
pub(crate) use wanted::{NewChannel, NewSettings};

use self::core::{GIVEN_UP_AFTER, Heart, Message as Told, Quiet, Settings, State};
use super::clock::Clock;
use super::live::Broadcast;
use super::live::model::FleetView;
use super::live::news::ReadFleet;
use super::request_error::RequestError;
use super::store::notices::{self, Notice};
use super::store::{self, Store, StoreError};
use crate::base::secret;
use crate::domain::audit::AuditCategory;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::timestamp::Timestamp;
use actix::prelude::*;
use actix_web::web;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often the fleet is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many notices are taken in at once.
const NOTICES: u32 = 500;
const CHANNELS: &str = "notify_channels";
const SETTINGS: &str = "notify_settings";
const STATE: &str = "notify_state";
const SENDER: &str = "notify_sender";

/// What was stored.
#[derive(Default)]
pub(crate) struct Stored {
    channels: Vec<Channel>,
    settings: Settings,
    state: Remembered,
    sender: String,
}

/// What is remembered, and how far the notices were taken in: stored as one.
#[derive(Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Remembered {
    state: State,
    seen_to: i64,
}

impl Stored {
    /// Reads it, and makes what tells this dashboard's messages from those of others.
    pub(crate) fn load(store: &Store) -> Result<Self, StoreError> {
        fn read<T: serde::de::DeserializeOwned + Default>(
            conn: &rusqlite::Connection,
            key: &str,
        ) -> Result<T, StoreError> {
            let text = store::settings::get(conn, key)?;
            Ok(text.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
        }
        store.read_blocking(|conn| {
            let sender = store::settings::get(conn, SENDER)?;
            let sender = sender.map_or_else(|| secret::random_token(4), Ok);
            Ok(Self {
                channels: read(conn, CHANNELS)?,
                settings: read(conn, SETTINGS)?,
                state: read(conn, STATE)?,
                sender: format!("nixfleet-{}", sender.map_err(StoreError::Corrupt)?),
            })
        })
    }
}

/// The actor.
pub(crate) struct Notifier {
    store: Store,
    clock: Clock,
    broadcaster: Broadcast,
    /// The dashboard's address, for those who read a message.
    link: Option<String>,
    started: Timestamp,
    stored: Stored,
    /// What is stored of what is remembered: users are told no other.
    shown: State,
    /// Whether something is being looked at or stored.
    busy: bool,
    /// Whether all that is remembered is stored: only then something is sent.
    is_stored: bool,
    /// Channels that are sent something now.
    sending: BTreeSet<String>,
    heart: Heart,
}

impl Notifier {
    pub(crate) fn new(
        store: Store,
        clock: Clock,
        broadcaster: Broadcast,
        link: Option<String>,
        stored: Stored,
    ) -> Self {
        let started = clock.now();
        let shown = stored.state.state.clone();
        Self {
            store,
            clock,
            broadcaster,
            link,
            started,
            stored,
            shown,
            busy: false,
            is_stored: true,
            sending: BTreeSet::new(),
            heart: Heart::default(),
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        let view = self.broadcaster.send(ReadFleet);
        let news = self.store.read(|conn| notices::oldest(conn, NOTICES));
        let seen = async move { (view.await, news.await) };
        ctx.spawn(seen.into_actor(self).map(|seen, act, ctx| {
            act.busy = false;
            match seen {
                (Ok(view), Ok(news)) => act.take_in(&view, news, ctx),
                (Err(error), _) => log::error!("the fleet did not answer: {error}"),
                (_, Err(error)) => log::error!("no notices were read: {error}"),
            }
        }));
    }

    fn take_in(&mut self, view: &Arc<FleetView>, mut news: Vec<Notice>, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let remembered = self.stored.state.clone();
        news.retain(|notice| notice.id > remembered.seen_to);
        if let Some(last) = news.last() {
            self.stored.state.seen_to = last.id;
        }
        let observed = observe::observed(view, &news, self.started);
        let Stored { channels, settings, state, .. } = &mut self.stored;
        let quiet = |channel: &Channel| channel.quiet.as_ref().is_some_and(|q| is_quiet(q, now));
        state.state.tick(now, observed, channels, &settings.limits, &quiet);
        if *state != remembered {
            self.is_stored = false;
        }
        if self.is_stored {
            self.send_what_is_due(ctx);
        } else {
            self.save(ctx);
        }
        self.beat(now, ctx);
    }

    /// Stores what is remembered; then what is due is sent.
    fn save(&mut self, ctx: &mut Context<Self>) {
        let Ok(text) = serde_json::to_string(&self.stored.state) else {
            return log::error!("what is remembered of notifications cannot be written down");
        };
        let (seen_to, sender) = (self.stored.state.seen_to, self.stored.sender.clone());
        self.busy = true;
        let written = self.store.write(move |conn| {
            store::settings::set(conn, STATE, &text)?;
            store::settings::set(conn, SENDER, sender.trim_start_matches("nixfleet-"))?;
            notices::remove_to(conn, seen_to)
        });
        let saved = self.stored.state.clone();
        ctx.spawn(written.into_actor(self).map(move |written, act, ctx| {
            act.busy = false;
            match written {
                Ok(()) => {
                    act.is_stored = act.stored.state == saved;
                    act.shown = saved.state;
                    act.send_what_is_due(ctx);
                }
                // It is tried again at the next look; meanwhile nothing is sent.
                Err(error) => log::error!("notifications were not stored: {error}"),
            }
        }));
    }

    /// Sends each channel its oldest message, one at a time: whoever hangs holds up nobody else.
    fn send_what_is_due(&mut self, ctx: &mut Context<Self>) {
        if !self.is_stored {
            return;
        }
        let now = self.clock.now();
        for channel in self.stored.channels.clone() {
            let quiet = channel.quiet.as_ref().is_some_and(|quiet| is_quiet(quiet, now));
            if quiet || self.sending.contains(&channel.name) {
                continue;
            }
            let Some(message) = self.stored.state.state.due(now, &channel.name).cloned() else {
                continue;
            };
            self.sending.insert(channel.name.clone());
            let (id, name) = (message.id, channel.name.clone());
            let sent = self.deliver(channel, message);
            ctx.spawn(sent.into_actor(self).map(move |done, act, ctx| {
                act.sending.remove(&name);
                act.tried(id, done, ctx);
            }));
        }
    }

    fn deliver(
        &self,
        channel: Channel,
        mut message: Told,
    ) -> impl Future<Output = Result<(), String>> + 'static + use<> {
        message.next_try = self.clock.now();
        let (link, sender) = (self.link.clone(), self.stored.sender.clone());
        async move {
            let sent =
                web::block(move || send::deliver(&channel, &message, link.as_deref(), &sender));
            sent.await.unwrap_or_else(|_| Err("the dashboard is stopping".to_owned()))
        }
    }

    fn tried(&mut self, id: u64, done: Result<(), String>, ctx: &mut Context<Self>) {
        if let Err(why) = &done {
            log::warn!("a notification was not delivered: {why}");
        }
        let given_up = self.stored.state.state.tried(self.clock.now(), id, done);
        self.is_stored = false;
        if let Some(message) = given_up {
            let hours = GIVEN_UP_AFTER.as_secs() / 3600;
            let text = format!(
                "A notification for {} was given up after {hours} hours: {}",
                message.channel, message.title
            );
            self.record(text, ctx);
        }
        if !self.busy {
            self.save(ctx);
        }
    }

    fn record(&self, message: String, ctx: &mut Context<Self>) {
        let (at, category) = (self.clock.now(), AuditCategory::Dashboard);
        let event = store::events::NewEvent {
            at,
            host: None,
            category,
            message,
            by: None,
            from: None,
            result: None,
            command: None,
        };
        let written = self.store.write(move |conn| store::events::append(conn, &event).map(|_| ()));
        ctx.spawn(written.into_actor(self).map(|written, _, _| {
            if let Err(error) = written {
                log::error!("an event was not stored: {error}");
            }
        }));
    }

    /// Calls the heartbeat's address: only ever after a look that went well.
    fn beat(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        let Settings { heartbeat_url: Some(url), heartbeat_every, .. } = &self.stored.settings
        else {
            return;
        };
        let waits = |called: Timestamp| called <= now && now.since(called) < *heartbeat_every;
        if self.heart.calling || self.heart.called.is_some_and(waits) {
            return;
        }
        (self.heart.calling, self.heart.called) = (true, Some(now));
        let url = url.clone();
        let beaten = web::block(move || send::beat(&url));
        ctx.spawn(beaten.into_actor(self).map(move |beaten, act, _| {
            act.heart.calling = false;
            match beaten {
                Ok(Ok(())) => (act.heart.beaten, act.heart.error) = (Some(now), None),
                Ok(Err(why)) => act.heart.error = Some(why),
                Err(_) => {}
            }
        }));
    }

    fn known(&self, name: &str) -> Result<&Channel, RequestError> {
        let found = self.stored.channels.iter().find(|channel| channel.name == name);
        let shown: String = name.chars().take(100).collect();
        let text = format!("there is no channel `{shown}`");
        found.ok_or(RequestError::Refused(Refusal::new(RefusalCode::NoSuchChannel, text)))
    }

    /// Stores something under a key; then it is true. Nothing else is done meanwhile.
    fn change<T: serde::Serialize>(
        &self,
        key: &'static str,
        value: &T,
        then: impl FnOnce(&mut Self) + 'static,
    ) -> AtomicResponse<Self, Result<(), RequestError>> {
        let text = serde_json::to_string(value).map_err(StoreError::from);
        let store = self.store.clone();
        let written = async move {
            let text = text?;
            store.write(move |conn| store::settings::set(conn, key, &text)).await
        };
        AtomicResponse::new(Box::pin(written.into_actor(self).map(|written, act, _| {
            written?;
            then(act);
            Ok(())
        })))
    }
}

impl Actor for Notifier {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}

/// Whether it is quiet now. A time zone that is gone since is taken for UTC.
fn is_quiet(quiet: &Quiet, now: Timestamp) -> bool {
    let minute = minute_of_day(now, &quiet.time_zone).or_else(|| minute_of_day(now, "UTC"));
    minute.is_some_and(|minute| quiet.holds(minute))
}

/// The minute of the day at a place; `None` if this machine does not know the place.
fn minute_of_day(now: Timestamp, time_zone: &str) -> Option<u16> {
    let there = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.in_tz(time_zone).ok()?;
    let (hour, minute) = (u16::try_from(there.hour()).ok()?, u16::try_from(there.minute()).ok()?);
    Some(hour * 60 + minute)
}

// ---- what users ask ----

/// Reads all about notifications.
#[derive(Message)]
#[rtype(result = "Box<Overview>")]
pub(crate) struct Look;

impl Handler<Look> for Notifier {
    type Result = MessageResult<Look>;

    fn handle(&mut self, _: Look, _: &mut Self::Context) -> Self::Result {
        let status = |channel: &Channel| {
            let (waiting, error, delivered) = self.shown.of_channel(&channel.name);
            let error = error.map(str::to_owned);
            ChannelStatus { channel: channel.clone(), waiting, error, delivered }
        };
        MessageResult(Box::new(Overview {
            channels: self.stored.channels.iter().map(status).collect(),
            settings: self.stored.settings.clone(),
            heart: self.heart.clone(),
            open: self.shown.open(),
        }))
    }
}

/// Adds a channel, or changes the one of this name.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct PutChannel {
    /// Its name.
    pub(crate) name: String,
    /// What it is to be.
    pub(crate) wanted: NewChannel,
}

impl Handler<PutChannel> for Notifier {
    type Result = AtomicResponse<Self, Result<(), RequestError>>;

    fn handle(&mut self, asked: PutChannel, _: &mut Self::Context) -> Self::Result {
        let PutChannel { name, wanted } = asked;
        let known = self.stored.channels.iter().find(|channel| channel.name == name);
        let is_zone = |zone: &str| minute_of_day(self.clock.now(), zone).is_some();
        let channel = match wanted.read(&name, self.clock.now(), known, is_zone) {
            Ok(channel) => channel,
            Err(bad) => return refused(self, invalid(bad)),
        };
        let mut channels = self.stored.channels.clone();
        channels.retain(|known| known.name != name);
        channels.push(channel);
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        let written = channels.clone();
        self.change(CHANNELS, &written, move |act| {
            act.stored.channels = channels;
            let now = act.clock.now();
            act.stored.state.state.try_now(now, &name);
        })
    }
}

/// Removes a channel, and what it was to be told.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct RemoveChannel(pub(crate) String);

impl Handler<RemoveChannel> for Notifier {
    type Result = AtomicResponse<Self, Result<(), RequestError>>;

    fn handle(&mut self, asked: RemoveChannel, _: &mut Self::Context) -> Self::Result {
        if let Err(error) = self.known(&asked.0) {
            return refused(self, error);
        }
        let mut channels = self.stored.channels.clone();
        channels.retain(|channel| channel.name != asked.0);
        let written = channels.clone();
        self.change(CHANNELS, &written, move |act| act.stored.channels = channels)
    }
}

/// Changes what all channels have in common.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct PutSettings(pub(crate) NewSettings);

impl Handler<PutSettings> for Notifier {
    type Result = AtomicResponse<Self, Result<(), RequestError>>;

    fn handle(&mut self, asked: PutSettings, _: &mut Self::Context) -> Self::Result {
        match asked.0.read(self.stored.settings.clone()) {
            Ok(settings) => {
                let written = settings.clone();
                self.change(SETTINGS, &written, move |act| {
                    act.stored.settings = settings;
                    act.heart = Heart::default();
                })
            }
            Err(bad) => refused(self, invalid(bad)),
        }
    }
}

/// Sends a channel a message, now, also in quiet hours.
#[derive(Message)]
#[rtype(result = "Result<(), RequestError>")]
pub(crate) struct TestChannel(pub(crate) String);

impl Handler<TestChannel> for Notifier {
    type Result = ResponseFuture<Result<(), RequestError>>;

    fn handle(&mut self, asked: TestChannel, _: &mut Self::Context) -> Self::Result {
        let channel = match self.known(&asked.0) {
            Ok(channel) => channel.clone(),
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let now = self.clock.now();
        let message = State::test(now, &channel.name);
        let sent = self.deliver(channel, message);
        Box::pin(async move {
            let not_delivered = |why| Refusal::new(RefusalCode::NotDelivered, why);
            let why = |error| format!("The test message was not delivered: {error}");
            sent.await.map_err(|error| RequestError::Refused(not_delivered(why(error))))
        })
    }
}

fn refused(
    act: &Notifier,
    error: RequestError,
) -> AtomicResponse<Notifier, Result<(), RequestError>> {
    AtomicResponse::new(Box::pin(std::future::ready(Err(error)).into_actor(act)))
}

fn invalid(bad: wanted::Bad) -> RequestError {
    RequestError::Invalid { field: bad.field, expected: bad.expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_are_those_of_a_place_in_summer_and_in_winter() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        for (instant, zone, minute) in [
            ("2026-01-10T21:30:00Z", "UTC", 21 * 60 + 30),
            ("2026-01-10T21:30:00Z", "Europe/Vienna", 22 * 60 + 30),
            ("2026-07-10T21:30:00Z", "Europe/Vienna", 23 * 60 + 30),
        ] {
            assert_eq!(minute_of_day(at(instant), zone), Some(minute), "{instant} {zone}");
        }
        assert_eq!(minute_of_day(at("2026-01-10T21:30:00Z"), "Nowhere/City"), None);
    }
}
