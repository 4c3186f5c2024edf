//! Who may call: tokens of programs, tokens of hosts, sessions.

use super::super::error::{HttpError, said_back};
use super::super::extract::{Admin, Person};
use crate::base::hex;
pub(in crate::dashboard::http) use crate::dashboard::auth::MadeToken;
use crate::dashboard::auth::RenewedToken;
use crate::dashboard::request_error::RequestError;
use crate::domain::audit::AuditCategory;
use crate::domain::ids::HostId;
use crate::domain::refusal::RefusalCode;
use crate::domain::scope::Scope;

/// So many hexadecimal digits of its hash name a token or a session.
const ID: usize = 16;

/// What names a token or a session: the beginning of the hash that is stored of it.
pub(in crate::dashboard::http) fn id_of(hash: &[u8; 32]) -> String {
    let mut id = hex::encode(hash);
    id.truncate(ID);
    id
}

/// Makes an API token, which is shown this once. It may read, where nothing else is said.
pub(in crate::dashboard::http) async fn new_api_token(
    person: &Person,
    name: &str,
    scope: Option<&str>,
    days: Option<u32>,
) -> Result<MadeToken, HttpError> {
    let scope = match scope {
        Some(name) => Scope::parse(name).ok_or_else(|| {
            let known = Scope::ALL.map(Scope::name).join(", ");
            HttpError::bad("scope", format!("got {:?}; expected {known}", said_back(name)))
        })?,
        None => Scope::Read,
    };
    let made = person.auth().new_api_token(name, scope, days).await?;
    person.record(AuditCategory::Settings, told_of(&made)).await;
    Ok(made)
}

/// What is said of a token that was made.
pub(in crate::dashboard::http) fn told_of(made: &MadeToken) -> String {
    let until = made.expires_at.map_or("for good".to_owned(), |end| format!("until {end}"));
    format!("API token {:?} was made: {}, {until}.", made.name, made.scope)
}

/// Removes an API token. Answers its name.
pub(in crate::dashboard::http) async fn remove_api_token(
    admin: &Admin,
    id: &str,
) -> Result<String, HttpError> {
    let tokens = admin.account().await?.tokens;
    let token = tokens.into_iter().find(|token| id_of(&token.token_hash) == id);
    let token = token.ok_or_else(|| none("token", id))?;
    admin.auth().remove_api_token(token.token_hash).await?;
    admin.record(AuditCategory::Settings, format!("API token {:?} was removed.", token.name)).await;
    Ok(token.name)
}

/// Ends a session: its pages lead to the login form, within a second.
pub(in crate::dashboard::http) async fn end_session(
    admin: &Admin,
    id: &str,
) -> Result<(), HttpError> {
    let sessions = admin.account().await?.sessions;
    let session = sessions.into_iter().find(|session| id_of(&session.token_hash) == id);
    let session = session.ok_or_else(|| none("session", id))?;
    admin.auth().logout(session.token_hash).await?;
    let from = if session.address.is_empty() { "an unknown address" } else { &session.address };
    let text = format!("A session from {from}, begun {}, was ended.", session.created_at);
    admin.record(AuditCategory::Settings, text).await;
    Ok(())
}

fn none(what: &str, id: &str) -> HttpError {
    let text = format!("There is no {what} `{}`.", said_back(id));
    HttpError::new(RefusalCode::NotFound, text)
}

/// Makes a new token for a host, which is shown this once; the one before works for an hour more.
pub(in crate::dashboard::http) async fn renew_host_token(
    admin: &Admin,
    host: HostId,
) -> Result<RenewedToken, HttpError> {
    let renewed = admin.auth().renew_host_token(host.clone(), admin.asker()).await?;
    Ok(renewed.ok_or_else(|| RequestError::NoSuchHost(host.to_string()))?)
}
