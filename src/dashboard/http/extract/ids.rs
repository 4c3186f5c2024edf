//! What an address names: ids are types before a handler sees them.

use crate::dashboard::http::error::{HttpError, said_back};
use crate::dashboard::request_error::RequestError;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::rollout::RolloutId;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};

/// The host of `{id}`.
pub(in crate::dashboard::http) struct HostPath(pub(in crate::dashboard::http) HostId);
/// The command of `{id}`.
pub(in crate::dashboard::http) struct CommandPath(pub(in crate::dashboard::http) CommandId);
/// The rollout of `{id}`.
pub(in crate::dashboard::http) struct RolloutPath(pub(in crate::dashboard::http) RolloutId);
/// The pull request of `{number}`.
pub(in crate::dashboard::http) struct PullRequestPath(pub(in crate::dashboard::http) u64);
/// The name of `{name}`, as it was sent.
pub(in crate::dashboard::http) struct NamePath(pub(in crate::dashboard::http) String);
/// The word of `{what}`: what shall be done, or shown.
pub(in crate::dashboard::http) struct WhatPath(pub(in crate::dashboard::http) String);

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Number {
    number: u64,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct What {
    what: String,
}

fn named<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, HttpError> {
    request.match_info().load().map_err(|_| HttpError::not_found())
}

fn host(request: &HttpRequest) -> Result<HostPath, HttpError> {
    host_id(&named::<Id>(request)?.id).map(HostPath)
}

fn command(request: &HttpRequest) -> Result<CommandPath, HttpError> {
    command_id(&named::<Id>(request)?.id).map(CommandPath)
}

fn rollout(request: &HttpRequest) -> Result<RolloutPath, HttpError> {
    let Id { id } = named(request)?;
    RolloutId::parse(&id).map(RolloutPath).ok_or_else(|| HttpError::no_such_rollout(&id))
}

fn pull_request(request: &HttpRequest) -> Result<PullRequestPath, HttpError> {
    named::<Number>(request).map(|named| PullRequestPath(named.number))
}

fn name(request: &HttpRequest) -> Result<NamePath, HttpError> {
    named::<Name>(request).map(|named| NamePath(named.name))
}

fn what(request: &HttpRequest) -> Result<WhatPath, HttpError> {
    named::<What>(request).map(|named| WhatPath(named.what))
}

/// A command's id, as a form names it.
pub(in crate::dashboard::http) fn command_id(text: &str) -> Result<CommandId, HttpError> {
    let unknown = || RequestError::NoSuchCommand(said_back(text));
    Ok(CommandId::parse(text).ok_or_else(unknown)?)
}

/// A host's id, as a body or a form names it.
pub(in crate::dashboard::http) fn host_id(text: &str) -> Result<HostId, HttpError> {
    let unknown = |_| RequestError::NoSuchHost(said_back(text));
    Ok(HostId::parse(text).map_err(unknown)?)
}

macro_rules! extractors {
    ($($path:ident: $parse:ident;)+) => {
        $(impl FromRequest for $path {
            type Error = actix_web::Error;
            type Future = Ready<Result<Self, Self::Error>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready($parse(request).map_err(|error| error.for_request(request)))
            }
        })+
    };
}

extractors! {
    HostPath: host;
    CommandPath: command;
    RolloutPath: rollout;
    PullRequestPath: pull_request;
    NamePath: name;
    WhatPath: what;
}
