//! Links that take over from one that is open: again and again, they are those of two machines.

use crate::domain::facts::Process;
use crate::domain::moment::{Moment, Uptime};
use crate::domain::timestamp::Timestamp;
use std::time::Duration;

/// So many links that take over from another one within their time are those of two machines.
const TAKEOVERS: usize = 3;
/// A link of which nobody can say that another process opened it counts for so long.
const COUNTS_FOR: Duration = Duration::from_secs(60);
/// One that another process opened counts longer: an agent of 4.x that was replaced pauses for a
/// minute before it replaces the other one.
const OF_ANOTHER_COUNTS_FOR: Duration = Duration::from_secs(300);
/// The notice goes away so long after the last takeover.
const NOTICE_FOR: Duration = Duration::from_secs(3600);

/// Links that took over from one that was open.
///
/// Invariant: everything here ends by time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Takeovers {
    /// Until when each of them counts.
    count_until: Vec<Uptime>,
    /// That two machines use the name.
    notice: Option<Notice>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Notice {
    /// Since when, for showing.
    since: Timestamp,
    until: Uptime,
}

impl Takeovers {
    /// A link of process `new` opens while one of `old` is open. Answers whether it is clear by
    /// this one that two machines use the name; it says so once, until that is over.
    pub(super) fn happens(&mut self, new: &Process, old: &Process, now: Moment) -> bool {
        let counts_for = match new.is_another(old) {
            // It has lost its link and found another one.
            Some(false) => return false,
            Some(true) => OF_ANOTHER_COUNTS_FOR,
            None => COUNTS_FOR,
        };
        if let Some(notice) = &mut self.notice {
            notice.until = now.up + NOTICE_FOR;
            return false;
        }
        self.count_until.retain(|until| *until > now.up);
        self.count_until.push(now.up + counts_for);
        if self.count_until.len() < TAKEOVERS {
            return false;
        }
        self.count_until.clear();
        self.notice = Some(Notice { since: now.at, until: now.up + NOTICE_FOR });
        true
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Uptime) {
        if self.notice.is_some_and(|notice| notice.until <= now) {
            self.notice = None;
        }
    }

    /// When the notice goes away.
    pub(super) fn until(&self) -> Option<Uptime> {
        self.notice.map(|notice| notice.until)
    }

    /// Since when it is known that two machines use the name.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.notice.map(|notice| notice.since)
    }
}
