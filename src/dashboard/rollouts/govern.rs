//! Another freeze, other windows: checked, stored, and then so.

use super::Rollouts;
use super::begin::invalid;
use super::maintenance::{AddWindow, FreezeFleet, KEY, RemoveWindow, Thaw};
use crate::dashboard::maintenance::zone;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::{self, StoreError};
use crate::domain::audit::{self, Asker, AuditCategory};
use crate::domain::maintenance::{
    Day, FREEZE_AT_MOST, Freeze, MIDNIGHT, Maintenance, Window, WindowId, minute_of,
};
use crate::domain::refusal::{Refusal, RefusalCode};
use actix::prelude::*;
use std::collections::BTreeSet;

/// So many characters may say why the fleet is frozen.
const REASON: usize = 200;
/// So many windows there may be.
const WINDOWS: usize = 100;

impl Rollouts {
    /// Stores another freeze or other windows, with what the audit log says of it; then it is so.
    fn govern<T: 'static>(
        &self,
        next: Maintenance,
        message: String,
        by: Asker,
        answer: T,
    ) -> AtomicResponse<Self, Result<T, RequestError>> {
        let now = self.clock.now();
        let text = serde_json::to_string(&next).map_err(StoreError::from);
        let store = self.store.clone();
        let written = async move {
            let text = text?;
            let event = store::events::NewEvent {
                at: now,
                host: None,
                category: AuditCategory::Rollout,
                message,
                from: by.from,
                by: Some(by.author),
                result: Some(audit::DONE),
                command: None,
            };
            let write = store.write(move |conn| {
                store::settings::set(conn, KEY, &text)?;
                store::events::append(conn, &event).map(|_| ())
            });
            write.await
        };
        AtomicResponse::new(Box::pin(written.into_actor(self).map(|written, act, ctx| {
            written?;
            act.kept.set(next.clone());
            act.maintenance = next;
            act.publish();
            act.look(ctx);
            Ok(answer)
        })))
    }

    fn refuse<T: 'static>(error: RequestError) -> AtomicResponse<Self, Result<T, RequestError>> {
        AtomicResponse::new(Box::pin(fut::ready(Err(error))))
    }
}

impl Handler<FreezeFleet> for Rollouts {
    type Result = AtomicResponse<Self, Result<Freeze, RequestError>>;

    fn handle(&mut self, msg: FreezeFleet, _: &mut Self::Context) -> Self::Result {
        let FreezeFleet { reason, until, by } = msg;
        let (reason, now) = (reason.trim().to_owned(), self.clock.now());
        if reason.is_empty() || reason.chars().count() > REASON {
            let expected = format!("expected why, in at most {REASON} characters");
            return Self::refuse(invalid("reason", &expected));
        }
        if until <= now || until > now + FREEZE_AT_MOST {
            return Self::refuse(invalid("until", "expected a time to come, within a year"));
        }
        let freeze = Freeze { reason, by: by.author.clone(), since: now, until };
        let message = format!("The fleet was {}.", freeze.told());
        let next = Maintenance { freeze: Some(freeze.clone()), ..self.maintenance.clone() };
        self.govern(next, message, by, freeze)
    }
}

impl Handler<Thaw> for Rollouts {
    type Result = AtomicResponse<Self, Result<(), RequestError>>;

    fn handle(&mut self, Thaw(by): Thaw, _: &mut Self::Context) -> Self::Result {
        if self.maintenance.freeze_at(self.clock.now()).is_none() {
            return AtomicResponse::new(Box::pin(fut::ready(Ok(()))));
        }
        let next = Maintenance { freeze: None, ..self.maintenance.clone() };
        self.govern(next, "The freeze was ended.".to_owned(), by, ())
    }
}

/// A window that opens; or which field keeps it from that.
fn window(msg: AddWindow) -> Result<Window, RequestError> {
    let AddWindow { tag, days, from, to, time_zone, by: _ } = msg;
    let known = Day::ALL.map(Day::name).join(", ");
    let day = |name: &String| {
        Day::parse(name).ok_or_else(|| invalid("days", &format!("expected some of {known}")))
    };
    let days = days.iter().map(day).collect::<Result<BTreeSet<_>, _>>()?;
    if days.is_empty() {
        let expected = format!("expected some of {known}: on no day it never opens");
        return Err(invalid("days", &expected));
    }
    let at = |field, text: &str, most: u16| {
        let minute = minute_of(text).filter(|minute| *minute <= most);
        minute.ok_or_else(|| invalid(field, "expected a time of day such as 22:00"))
    };
    let (from, to) = (at("from", &from, MIDNIGHT - 1)?, at("to", &to, MIDNIGHT)?);
    if from == to {
        let expected =
            "expected another time than `from`: it would never open. All day is 00:00 to 24:00";
        return Err(invalid("to", expected));
    }
    if zone(&time_zone).is_none() {
        let expected = "expected a time zone such as Europe/Vienna that this machine knows";
        return Err(invalid("time_zone", expected));
    }
    Ok(Window { id: WindowId(uuid::Uuid::now_v7()), tag, days, from, to, time_zone })
}

impl Handler<AddWindow> for Rollouts {
    type Result = AtomicResponse<Self, Result<Window, RequestError>>;

    fn handle(&mut self, msg: AddWindow, _: &mut Self::Context) -> Self::Result {
        let by = msg.by.clone();
        let window = match window(msg) {
            Ok(window) => window,
            Err(error) => return Self::refuse(error),
        };
        if self.maintenance.windows.len() >= WINDOWS {
            let message = format!("There are {WINDOWS} windows already. Remove one first.");
            let refusal = Refusal::new(RefusalCode::InUse, message);
            return Self::refuse(RequestError::Refused(refusal));
        }
        let mut next = self.maintenance.clone();
        next.windows.push(window.clone());
        let message = format!("A window was added: {}.", told(&window));
        self.govern(next, message, by, window)
    }
}

/// "tag db, Sat 02:00 to 04:00 (Europe/Vienna)"
fn told(window: &Window) -> String {
    let whose =
        window.tag.as_ref().map_or_else(|| "all hosts".to_owned(), |tag| format!("tag {tag}"));
    format!("{whose}, {}", window.told())
}

impl Handler<RemoveWindow> for Rollouts {
    type Result = AtomicResponse<Self, Result<(), RequestError>>;

    fn handle(&mut self, msg: RemoveWindow, _: &mut Self::Context) -> Self::Result {
        let mut next = self.maintenance.clone();
        let Some(at) = next.windows.iter().position(|window| window.id == msg.id) else {
            let refusal = Refusal::new(RefusalCode::NotFound, "There is no such window.");
            return Self::refuse(RequestError::Refused(refusal));
        };
        let removed = next.windows.remove(at);
        let message = format!("A window was removed: {}.", told(&removed));
        self.govern(next, message, msg.by, ())
    }
}
