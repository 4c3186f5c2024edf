//! Who calls: the only way from a request into the house.
//!
//! Invariant: who may call is a type. [`App`] keeps to itself what it reaches. A handler gets at
//! hosts, rollouts, the account and the database only through a [`Reader`], a [`Changer`], an
//! [`Admin`], a [`Person`], a [`User`] or an [`Acting`] in its signature, and these are made
//! nowhere but here, after what their names say was checked. A program's token makes a reader, a
//! changer or an admin, as its [`Scope`] says. A handler that forgets to ask who calls, or asks for
//! too little, does not compile:
//!
//! ```text
//! async fn remove(app: web::Data<App>, HostPath(host): HostPath) -> Answer {
//!     app.rooms.fleet.send(RemoveHost { host, by }).await??;
//!         ^^^^^ error[E0616]: field `rooms` of struct `App` is private
//!
//! async fn remove(By(reader, HostPath(host)): By<Reader, HostPath>) -> Answer {
//!     actions::remove_host(&reader, host).await?;
//!                          ^^^^^^^ error[E0308]: expected `&Admin`, found `&Reader`
//! ```
//!
//! Order matters too: whoever may not call is told so before anything that was sent is looked
//! at. [`By`] and [`Submitted`] prove the caller first and read ids, queries and bodies then;
//! a [`Reader`] or [`Changer`] alone cannot be an argument (E0277: no `FromRequest`).

mod body;
mod form;
mod ids;
mod visitor;

pub(super) use body::{Body, Query, try_both};
pub(super) use form::{NoFields, Submitted};
pub(super) use ids::{
    CommandPath, HostPath, NamePath, PullRequestPath, RolloutPath, WhatPath, command_id, host_id,
};
pub(super) use visitor::{Pushed, StrangersForm, Visitor, Watcher};

use super::agent_door::AgentDoor;
use super::cookies;
use super::error::HttpError;
use crate::dashboard::auth::{Auth, Caller, LoginError};
use crate::dashboard::clock::Clock;
use crate::dashboard::config::DashboardConfig;
use crate::dashboard::fleet::FleetActor;
use crate::dashboard::live::Broadcast;
use crate::dashboard::live::model::{FleetView, HostEntry};
use crate::dashboard::live::news::{ReadFleet, ReadHost};
use crate::dashboard::notify::{self, Notifier};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::rollouts::Rollouts;
use crate::dashboard::store::api_tokens::ApiTokenRecord;
use crate::dashboard::store::sessions::SessionRecord;
use crate::dashboard::store::{self, Store, StoreError};
use crate::domain::audit::{self, Asker, AuditCategory, Author};
use crate::domain::ids::HostId;
use crate::domain::moment::Moment;
use crate::domain::refusal::RefusalCode;
use crate::domain::scope::Scope;
use actix::Addr;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use rusqlite::Connection;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

/// What the rooms behind the doors are.
pub(crate) struct Rooms {
    /// The settings.
    pub(crate) config: Arc<DashboardConfig>,
    /// SQLite.
    pub(crate) store: Store,
    /// The time.
    pub(crate) clock: Clock,
    /// Who may do what.
    pub(crate) auth: Auth,
    /// Asks and tells about hosts.
    pub(crate) fleet: Addr<FleetActor>,
    /// Starts rollouts and goes on with them.
    pub(crate) rollouts: Addr<Rollouts>,
    /// Tells people what happens.
    pub(crate) notifier: Addr<Notifier>,
    /// Reads the fleet and joins its live updates.
    pub(crate) broadcaster: Broadcast,
}

/// What HTTP handlers reach, once it is proved who calls.
pub(crate) struct App {
    rooms: Rooms,
}

impl App {
    /// Closes the doors.
    pub(crate) fn new(rooms: Rooms) -> Self {
        Self { rooms }
    }
}

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, actix_web::Error>>>>;

fn app_of(request: &HttpRequest) -> Result<web::Data<App>, HttpError> {
    let app = request.app_data::<web::Data<App>>().cloned();
    app.ok_or_else(|| HttpError::new(RefusalCode::Unavailable, "The dashboard is starting."))
}

async fn caller(app: &App, request: &HttpRequest) -> Result<Caller, HttpError> {
    let auth = &app.rooms.auth;
    let caller = match (cookies::bearer(request), cookies::session(request)) {
        (Some(token), _) => auth.token_caller(&token).await?,
        (None, Some(cookie)) => auth.session_caller(&cookie).await?,
        (None, None) => None,
    };
    caller.ok_or_else(HttpError::log_in)
}

/// Whether a request is of somebody who is let in: a session, an API token, the token of an agent.
pub(super) async fn is_of_somebody(request: &HttpRequest) -> bool {
    let (cookie, token) = (cookies::session(request), cookies::bearer(request));
    if cookie.is_none() && token.is_none() {
        return false;
    }
    if let Some(door) = request.app_data::<web::Data<AgentDoor>>()
        && matches!(door.token_of(request).await, Ok(Some(_)))
    {
        return true;
    }
    match app_of(request) {
        Ok(app) => caller(&app, request).await.is_ok(),
        Err(_) => false,
    }
}

/// Whoever says from which page something is sent must say one of ours.
fn not_of_others(app: &App, request: &HttpRequest) -> Result<(), HttpError> {
    let config = &app.rooms.config;
    match cookies::page(config, request) {
        cookies::From::Us | cookies::From::Nobody => Ok(()),
        cookies::From::Others => Err(HttpError::other_origin(config.base_url.as_deref())),
    }
}

/// Somebody who is made only by a check of the request.
pub(super) trait Prove: Sized + 'static {
    /// Checks the request. The error says what is missing.
    fn prove(request: &HttpRequest) -> impl Future<Output = Result<Self, HttpError>>;
}

/// A caller who was proved, and then what was sent along.
pub(super) struct By<Who, Sent = ()>(pub(super) Who, pub(super) Sent);

impl<Who: Prove, Sent: FromRequest + 'static> FromRequest for By<Who, Sent> {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let proved = Who::prove(&request).await;
            let who = proved.map_err(|error| error.for_request(&request))?;
            let sent = Sent::from_request(&request, &mut payload).await.map_err(Into::into)?;
            Ok(Self(who, sent))
        })
    }
}

/// Somebody who may read: a session, or a program with an API token.
#[derive(Clone)]
pub(super) struct Reader {
    app: web::Data<App>,
}

impl Prove for Reader {
    async fn prove(request: &HttpRequest) -> Result<Self, HttpError> {
        let app = app_of(request)?;
        caller(&app, request).await?;
        Ok(Self { app })
    }
}

/// How people and hosts get in.
pub(super) struct Account {
    /// API tokens, oldest first.
    pub(super) tokens: Vec<ApiTokenRecord>,
    /// Sessions, the one that was used last first.
    pub(super) sessions: Vec<SessionRecord>,
    /// How many recovery codes are left.
    pub(super) recovery_codes: usize,
    /// Whether a shared token was made on the page.
    pub(super) has_enrolment_token: bool,
}

impl Reader {
    /// The settings.
    pub(super) fn config(&self) -> &DashboardConfig {
        &self.app.rooms.config
    }

    /// The whole fleet as it is now.
    pub(super) async fn fleet_view(&self) -> Result<Arc<FleetView>, HttpError> {
        Ok(self.app.rooms.broadcaster.send(ReadFleet).await?)
    }

    /// One host as it is now.
    pub(super) async fn host(&self, id: &HostId) -> Result<HostEntry, HttpError> {
        let entry = self.app.rooms.broadcaster.send(ReadHost(id.clone())).await?;
        Ok(entry.ok_or_else(|| RequestError::NoSuchHost(id.to_string()))?)
    }

    /// What is stored.
    pub(super) fn stored<T, F>(
        &self,
        read: F,
    ) -> impl Future<Output = Result<T, StoreError>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.app.rooms.store.read(read)
    }

    /// This moment.
    pub(super) fn moment(&self) -> Moment {
        self.app.rooms.clock.moment()
    }

    /// As [`Self::stored`], for what may take long: those who ask for it wait for one another.
    pub(super) async fn searched<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.app.rooms.store.search(read).await
    }

    /// Who is told what, and how that goes.
    pub(super) async fn notifications(&self) -> Result<Box<notify::Overview>, HttpError> {
        Ok(self.app.rooms.notifier.send(notify::Look).await?)
    }

    /// Whether a one-time code is asked for.
    pub(super) fn wants_totp(&self) -> bool {
        self.app.rooms.auth.wants_totp()
    }

    /// Whether one-time codes are set up by a variable.
    pub(super) fn totp_is_fixed(&self) -> bool {
        self.app.rooms.auth.totp_is_fixed()
    }

    /// Whether the password is set by a variable.
    pub(super) fn password_is_fixed(&self) -> bool {
        self.app.rooms.auth.password_is_fixed()
    }
}

/// Somebody who may operate: a program with an API token of that scope, or a session whose
/// request carries the page's token, which no other site knows.
pub(super) struct Changer {
    reader: Reader,
    caller: Caller,
    /// From where.
    peer: String,
}

impl Prove for Changer {
    async fn prove(request: &HttpRequest) -> Result<Self, HttpError> {
        changer(request, Scope::Operate).await
    }
}

/// Whoever calls, if that may do what needs this scope.
async fn changer(request: &HttpRequest, needed: Scope) -> Result<Changer, HttpError> {
    let app = app_of(request)?;
    let caller = caller(&app, request).await?;
    // Whoever only looks changes nothing, whichever page it was that led here.
    if !request.method().is_safe() {
        let sent = request.headers().get("x-csrf-token").and_then(|value| value.to_str().ok());
        if !Auth::may_change(&caller, sent) {
            return Err(HttpError::csrf());
        }
        if let Caller::Session { .. } = &caller {
            not_of_others(&app, request)?;
        }
    }
    if !caller.scope().allows(needed) {
        return Err(HttpError::scope_needed(caller.scope(), needed));
    }
    let peer = cookies::peer(&app.rooms.config, request).to_string();
    Ok(Changer { reader: Reader { app }, caller, peer })
}

impl Changer {
    /// Who that is, and from where, for the audit log.
    pub(super) fn asker(&self) -> Asker {
        Asker { author: self.caller.author(), from: Some(self.peer.clone()) }
    }

    /// Whether a one-time code confirms something that needs one.
    pub(super) async fn confirms(&self, code: Option<&str>) -> Result<bool, LoginError> {
        self.app.rooms.auth.confirms(self.caller.proof(), code).await
    }

    /// Asks and tells about hosts.
    pub(super) fn fleet(&self) -> &Addr<FleetActor> {
        &self.app.rooms.fleet
    }

    /// Starts rollouts and goes on with them.
    pub(super) fn rollouts(&self) -> &Addr<Rollouts> {
        &self.app.rooms.rollouts
    }

    /// Writes to the audit log. A failure is only logged: what it is about has happened.
    pub(super) async fn record(&self, category: AuditCategory, message: String) {
        let Asker { author, from } = self.asker();
        let result = Some(audit::DONE);
        record(&self.app, Noted { category, message, by: Some(author), from, result }).await;
    }
}

impl Deref for Changer {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

/// Somebody who may change what hosts there are, how they are set up, and who may call.
pub(super) struct Admin {
    changer: Changer,
}

impl Prove for Admin {
    async fn prove(request: &HttpRequest) -> Result<Self, HttpError> {
        Ok(Self { changer: changer(request, Scope::Admin).await? })
    }
}

impl Admin {
    /// Who is told what.
    pub(super) fn notifier(&self) -> &Addr<Notifier> {
        &self.app.rooms.notifier
    }

    /// Password, one-time codes, tokens, sessions.
    pub(super) fn auth(&self) -> &Auth {
        &self.app.rooms.auth
    }

    /// How people and hosts get in.
    pub(super) async fn account(&self) -> Result<Account, HttpError> {
        self.reader.account().await
    }
}

impl Deref for Admin {
    type Target = Changer;

    fn deref(&self) -> &Changer {
        &self.changer
    }
}

/// Somebody who is logged in, and no program.
pub(super) struct Person {
    admin: Admin,
}

impl Prove for Person {
    async fn prove(request: &HttpRequest) -> Result<Self, HttpError> {
        let admin = Admin::prove(request).await?;
        match admin.caller {
            Caller::Session { .. } => Ok(Self { admin }),
            Caller::ApiToken { .. } => Err(HttpError::people_only()),
        }
    }
}

impl Deref for Person {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}

impl Reader {
    async fn account(&self) -> Result<Account, HttpError> {
        let auth = &self.app.rooms.auth;
        let (tokens, sessions) = (auth.api_tokens().await?, auth.sessions().await?);
        let has_enrolment_token = auth.has_enrolment_token().await?;
        let recovery_codes = auth.recovery_codes_left().await?;
        Ok(Account { tokens, sessions, recovery_codes, has_enrolment_token })
    }
}

/// The user of a browser, who looks at pages. Everybody else is led to the login form.
pub(super) struct User {
    reader: Reader,
    /// SHA-256 of the session's cookie.
    pub(super) token_hash: [u8; 32],
    /// What every form of the page sends along.
    pub(super) csrf: String,
}

impl Prove for User {
    async fn prove(request: &HttpRequest) -> Result<Self, HttpError> {
        let app = app_of(request)?;
        match caller(&app, request).await? {
            Caller::Session { token_hash, csrf } => {
                Ok(Self { reader: Reader { app }, token_hash, csrf })
            }
            Caller::ApiToken { .. } => Err(HttpError::log_in()),
        }
    }
}

impl User {
    /// How people and hosts get in.
    pub(super) async fn account(&self) -> Result<Account, HttpError> {
        self.reader.account().await
    }
}

impl Deref for User {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

/// A user of a browser whose form was made by us. Only a [`Submitted`] form proves that.
pub(super) struct Acting {
    person: Person,
    /// SHA-256 of the session's cookie.
    pub(super) token_hash: [u8; 32],
    /// What every form of the page sends along.
    pub(super) csrf: String,
}

impl Deref for Acting {
    type Target = Person;

    fn deref(&self) -> &Person {
        &self.person
    }
}

/// Something for the audit log.
struct Noted {
    category: AuditCategory,
    message: String,
    by: Option<Author>,
    from: Option<String>,
    result: Option<&'static str>,
}

async fn record(app: &App, noted: Noted) {
    let rooms = &app.rooms;
    let at = rooms.clock.now();
    let Noted { category, message, by, from, result } = noted;
    let event = store::events::NewEvent {
        at,
        host: None,
        category,
        message,
        by,
        from,
        result,
        command: None,
    };
    let written = rooms.store.write(move |conn| store::events::append(conn, &event)).await;
    if let Err(error) = written {
        log::error!("an event was not stored: {error}");
    }
}

#[cfg(test)]
mod tests;
