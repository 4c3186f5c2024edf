//! The page about notifications.

use super::{Page, go, show};
use crate::dashboard::http::actions;
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{
    Acting, By, NamePath, NoFields, Query, Reader, Submitted, User,
};
use crate::dashboard::notify::{Kind, NewChannel, NewSettings};
use crate::dashboard::views::notifications::{self, Said};
use actix_web::http::StatusCode;
use actix_web::web;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const HOME: &str = "/settings/notifications";

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/settings/notifications", web::get().to(page))
        .route("/settings/notifications/channel", web::post().to(put))
        .route("/settings/notifications/settings", web::post().to(settings))
        .route("/settings/notifications/{name}/remove", web::post().to(remove))
        .route("/settings/notifications/{name}/test", web::post().to(test));
}

#[derive(Deserialize)]
struct PageQuery {
    /// The kind of a new channel.
    kind: Option<String>,
    /// A channel that is to be changed.
    edit: Option<String>,
}

async fn page(By(user, Query(query)): By<User, Query<PageQuery>>) -> Page {
    let form = notifications::Form { kind: query.kind, edit: query.edit };
    shown(&user, &user.csrf, StatusCode::OK, &form, None).await
}

async fn shown(
    reader: &Reader,
    csrf: &str,
    status: StatusCode,
    form: &notifications::Form,
    said: Option<Said>,
) -> Page {
    let all = reader.notifications().await?;
    Ok(show(status, notifications::page(&all, form, said.as_ref(), csrf)))
}

/// A form, as the body of the API.
#[derive(Deserialize)]
#[serde(transparent)]
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn read<T: serde::de::DeserializeOwned>(&self, but: &[&str]) -> Result<T, HttpError> {
        let mut object = Map::new();
        let mut events = Vec::new();
        for (name, text) in self.0.iter().filter(|(name, _)| !but.contains(&name.as_str())) {
            if let Some(event) = name.strip_prefix("event.") {
                events.push(Value::from(event));
            } else if matches!(name.as_str(), "to" | "hosts") {
                let list = text.split([',', ' ', '\n']).map(str::trim).filter(|t| !t.is_empty());
                object.insert(name.clone(), list.collect());
            } else if name == "heartbeat_url" && text == "-" {
                object.insert(name.clone(), Value::from(""));
            } else if !text.trim().is_empty() {
                object.insert(name.clone(), value_of(name, text.trim()));
            }
        }
        // All of them is what no choice means, too.
        if !events.is_empty() && events.len() < Kind::ALL.len() {
            object.insert("events".to_owned(), events.into());
        }
        let read = serde_json::from_value(object.into());
        read.map_err(|error: serde_json::Error| HttpError::complaint("form", &error))
    }
}

/// Fields that are numbers in the API are numbers here.
fn value_of(name: &str, text: &str) -> Value {
    let is_number = name == "port" || name.ends_with("_after") || name.ends_with("_every");
    match text.parse::<u64>() {
        Ok(number) if is_number => number.into(),
        Ok(_) | Err(_) => text.into(),
    }
}

async fn put(Submitted(acting, fields, ()): Submitted<Fields>) -> Page {
    let name = fields.0.get("name").cloned().unwrap_or_default();
    let form = notifications::Form { kind: fields.0.get("kind").cloned(), edit: None };
    let wanted = fields.read::<NewChannel>(&["name"]);
    let done = match wanted {
        Ok(wanted) => actions::put_channel(&acting, &name, wanted).await,
        Err(error) => Err(error),
    };
    told(&acting, done, &format!("Channel {name} is set up."), &form).await
}

async fn settings(Submitted(acting, fields, ()): Submitted<Fields>) -> Page {
    let done = match fields.read::<NewSettings>(&[]) {
        Ok(wanted) => actions::notification_settings(&acting, wanted).await,
        Err(error) => Err(error),
    };
    told(&acting, done, "The settings are changed.", &notifications::Form::default()).await
}

async fn remove(Submitted(acting, _, NamePath(name)): Submitted<NoFields, NamePath>) -> Page {
    match actions::remove_channel(&acting, &name).await {
        Ok(()) => Ok(go(HOME)),
        Err(error) => told(&acting, Err(error), "", &notifications::Form::default()).await,
    }
}

async fn test(Submitted(acting, _, NamePath(name)): Submitted<NoFields, NamePath>) -> Page {
    let done = actions::test_channel(&acting, &name).await;
    let text = format!("Channel {name} took a test message.");
    told(&acting, done, &text, &notifications::Form::default()).await
}

async fn told(
    acting: &Acting,
    done: Result<(), HttpError>,
    text: &str,
    form: &notifications::Form,
) -> Page {
    let csrf = &acting.csrf;
    match done {
        Ok(()) => {
            let said = Said { text: text.to_owned(), failed: false };
            let form = notifications::Form::default();
            shown(acting, csrf, StatusCode::OK, &form, Some(said)).await
        }
        Err(error) => {
            let status = match error.status() {
                StatusCode::BAD_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
                other => other,
            };
            let said = Said { text: error.to_string(), failed: true };
            shown(acting, csrf, status, form, Some(said)).await
        }
    }
}
