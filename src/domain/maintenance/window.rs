//! A window: while a clock on the wall shows a time between two others, on some days of the week.
//!
//! It goes by what the clock shows. In the night in which it is set back, a time that it shows twice is
//! in the window twice; in the night in which it is set forward, a time that it never shows is not.

use super::Zones;
use crate::domain::tag::{Tag, Tags};
use crate::domain::timestamp::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use uuid::Uuid;

/// The end of a day, in minutes.
pub const MIDNIGHT: u16 = 24 * 60;
/// So many days are looked ahead: a window of one day a week may be left out by a clock that is set.
const AHEAD: i32 = 15;

/// A window's id, made by the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowId(pub Uuid);

impl WindowId {
    /// Parses a UUID; `None` if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for WindowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All days, Monday first.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    /// The short name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Mon => "Mon",
            Self::Tue => "Tue",
            Self::Wed => "Wed",
            Self::Thu => "Thu",
            Self::Fri => "Fri",
            Self::Sat => "Sat",
            Self::Sun => "Sun",
        }
    }

    /// Reads a name; `None` if there is no such day.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.name() == name)
    }

    const fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// Minutes of a day from `7:30`, `07:30` or, for its end, `24:00`; `None` for any other text.
pub fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str, most: usize| {
        let fits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if fits { text.parse::<u16>().ok() } else { None }
    };
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2).filter(|_| minute.len() == 2)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= MIDNIGHT).then_some(minutes)
}

/// When hosts may be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its id.
    pub id: WindowId,
    /// The hosts with this tag; `None`: all.
    pub tag: Option<Tag>,
    /// The days on which it opens. Not empty.
    pub days: BTreeSet<Day>,
    /// When it opens, in minutes of the day.
    pub from: u16,
    /// When it closes, in minutes of the day, and not when it opens: on the next day where that is
    /// earlier.
    pub to: u16,
    /// Whose clock that is, such as `Europe/Vienna`.
    pub time_zone: String,
}

impl Window {
    /// Whether it is for a host with these tags.
    pub fn is_for(&self, tags: &Tags) -> bool {
        self.tag.as_ref().is_none_or(|tag| tags.contains(tag))
    }

    /// A zone that is gone since is taken for UTC.
    fn zone(&self, zones: Zones<'_>) -> TimeZone {
        zones(&self.time_zone).unwrap_or(TimeZone::UTC)
    }

    /// Whether it is open now.
    pub fn is_open(&self, now: Timestamp, zones: Zones<'_>) -> bool {
        instant(now).is_some_and(|now| self.holds(self.zone(zones).to_datetime(now)))
    }

    /// Whether what a clock shows is in it.
    fn holds(&self, shown: DateTime) -> bool {
        let (hour, minute) = (u16::try_from(shown.hour()), u16::try_from(shown.minute()));
        let minute = hour.unwrap_or(0) * 60 + minute.unwrap_or(0);
        let opens_on = |date: Option<Date>| {
            date.is_some_and(|date| self.days.contains(&Day::of(date.weekday())))
        };
        if self.from < self.to {
            return opens_on(Some(shown.date())) && (self.from..self.to).contains(&minute);
        }
        (minute >= self.from && opens_on(Some(shown.date())))
            || (minute < self.to && opens_on(shown.date().yesterday().ok()))
    }

    /// When it opens, if it is not open now; `None` if not within two weeks.
    fn opens(&self, now: Timestamp, zones: Zones<'_>) -> Option<Timestamp> {
        let (zone, start) = (self.zone(zones), instant(now)?);
        let today = zone.to_datetime(start).date();
        let (hour, minute) = (i8::try_from(self.from / 60), i8::try_from(self.from % 60));
        let from = Time::new(hour.ok()?, minute.ok()?, 0, 0).ok()?;
        let horizon = start.checked_add(Span::new().hours(AHEAD * 24)).ok()?;
        // It opens when the clock shows its time, or is set to a time in it.
        let days = (0..AHEAD).filter_map(|day| today.checked_add(day.days()).ok());
        let shown = days.flat_map(|date| {
            let at = zone.to_ambiguous_timestamp(date.to_datetime(from));
            [at.earlier().ok(), at.later().ok()]
        });
        let set = zone.following(start).map(|set| set.timestamp());
        let set: Vec<jiff::Timestamp> = set.take_while(|at| *at <= horizon).collect();
        let all = shown.flatten().chain(set).filter(|at| *at > start);
        let open = all.filter(|at| self.holds(zone.to_datetime(*at))).min()?;
        Some(Timestamp::from_millis(open.as_millisecond()))
    }

    /// "Sat 2026-11-28 02:00 (Europe/Vienna)"
    pub(super) fn told_instant(&self, at: Timestamp, zones: Zones<'_>) -> String {
        let Some(at) = instant(at) else {
            return String::new();
        };
        let there = self.zone(zones).to_datetime(at);
        let day = Day::of(there.date().weekday()).label();
        let (hour, minute) = (there.hour(), there.minute());
        format!("{day} {} {hour:02}:{minute:02} ({})", there.date(), self.time_zone)
    }

    /// "Sat, Sun 22:00 to 04:00 (Europe/Vienna)"
    pub fn told(&self) -> String {
        let days: Vec<&str> = self.days.iter().map(|day| day.label()).collect();
        let days =
            if days.len() == Day::ALL.len() { "every day".to_owned() } else { days.join(", ") };
        format!("{days} {} to {} ({})", clock(self.from), clock(self.to), self.time_zone)
    }
}

/// "07:30"
fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(at.as_millis()).ok()
}

/// When the first of these opens, none of which is open now, and which that is.
pub fn opens<'a>(
    windows: impl Iterator<Item = &'a Window>,
    now: Timestamp,
    zones: Zones<'_>,
) -> Option<(Timestamp, &'a Window)> {
    let next = windows.filter_map(|window| Some((window.opens(now, zones)?, window)));
    next.min_by_key(|(at, _)| *at)
}
