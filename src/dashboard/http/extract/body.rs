//! Bodies and queries, read into types. What does not fit is 400 and named.
//!
//! A body is read here and nowhere else: as it is sent, within a time, and never more of it than
//! there may be (finding 3 of the security review).

use super::Extracted;
use crate::dashboard::auth::Peer;
use crate::dashboard::http::error::HttpError;
use crate::domain::bounds;
use crate::domain::refusal::RefusalCode;
use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A body of JSON. One that is empty is an object without fields.
pub(in crate::dashboard::http) struct Body<T>(pub(in crate::dashboard::http) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let read = whole(&request, &mut payload, bounds::BODY).await;
            let parsed = read.and_then(|bytes| parse(&bytes));
            parsed.map(Self).map_err(|error| error.for_request(&request))
        })
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| HttpError::complaint("body", &error))
}

/// For fuzzing: reads bytes as a body and as a query.
pub(in crate::dashboard::http) fn try_both<T: DeserializeOwned>(bytes: &[u8]) {
    let body = parse::<T>(bytes).map(|_| ());
    let query = serde_urlencoded::from_bytes::<T>(bytes).map(|_| ());
    log::trace!("{body:?} {query:?}");
}

/// A whole body of at most `most` bytes.
pub(super) async fn whole(
    request: &HttpRequest,
    payload: &mut Payload,
    most: usize,
) -> Result<Bytes, HttpError> {
    let mut body = BytesMut::new();
    read(request, payload, most, |part| body.extend_from_slice(part)).await?;
    Ok(body.freeze())
}

/// Reads a body of at most `most` bytes, part by part, and keeps nothing of it.
pub(super) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    most: usize,
    mut part: impl FnMut(&[u8]),
) -> Result<(), HttpError> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if header(&CONTENT_ENCODING).is_some_and(|encoding| encoding.trim() != "identity") {
        let expected = "expected none: bodies are read as they are sent";
        return Err(HttpError::bad("Content-Encoding", expected));
    }
    let too_large = || {
        let text = format!("A body may have {} KiB.", most / 1024);
        HttpError::new(RefusalCode::TooLarge, text)
    };
    let announced = header(&CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let reading = async {
        let mut bytes = 0;
        while let Some(next) = payload.next().await {
            let next = next.map_err(|_| HttpError::bad("body", "expected a whole body"))?;
            bytes += next.len();
            if bytes > most {
                return Err(too_large());
            }
            part(&next);
        }
        Ok(())
    };
    let limit = Duration::from_secs(bounds::BODY_WITHIN_S);
    actix_rt::time::timeout(limit, reading).await.unwrap_or_else(|_| Err(HttpError::too_slow()))
}

/// Bodies that are being read though it is not proved who sends them, by where they come from.
static STRANGERS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// The place of one of them, until this is dropped.
pub(super) struct Place(String);

impl Place {
    /// Takes a place, if there is one.
    pub(super) fn take(peer: &Peer) -> Result<Self, HttpError> {
        let from = peer.counted().to_string();
        let mut taken = STRANGERS.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = taken.get(&from).copied().unwrap_or(0);
        if mine >= bounds::STRANGERS_OF_ONE || taken.values().sum::<usize>() >= bounds::STRANGERS {
            let text = "Too many requests of strangers wait. Try again in some seconds.";
            return Err(HttpError::new(RefusalCode::Unavailable, text));
        }
        taken.insert(from.clone(), mine + 1);
        Ok(Self(from))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = STRANGERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = taken.get_mut(&self.0) {
            *mine -= 1;
            if *mine == 0 {
                taken.remove(&self.0);
            }
        }
    }
}

/// What stands after the `?` of the address.
pub(in crate::dashboard::http) struct Query<T>(pub(in crate::dashboard::http) T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = serde_urlencoded::from_str(request.query_string());
        let read = read.map_err(|error| HttpError::complaint("query", &error));
        ready(read.map(Self).map_err(|error| error.for_request(request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Optional {
        source: Option<String>,
    }

    #[test]
    fn an_empty_body_is_an_object_without_fields() {
        for empty in ["", "  \n"] {
            assert_eq!(parse::<Optional>(empty.as_bytes()).unwrap().source, None);
        }
    }

    #[test]
    fn a_body_that_does_not_fit_is_told_with_the_name_of_its_field() {
        let told = |body: &str| parse::<Optional>(body.as_bytes()).unwrap_err().to_string();
        assert!(told(r#"{"sauce": 1}"#).contains("unknown field `sauce`"));
        assert!(told("[").starts_with("`body`: "));
        let long = format!(r#"{{"{}": 1}}"#, "x".repeat(5000));
        assert!(told(&long).len() < 400);
    }

    #[test]
    fn one_address_takes_not_all_places_of_strangers_3() {
        let address = |n: u8| Peer::Address([192, 0, 2, n].into());
        let mine: Vec<_> = (0..100).map_while(|_| Place::take(&address(1)).ok()).collect();
        assert_eq!(mine.len(), bounds::STRANGERS_OF_ONE);
        let other = Place::take(&address(2));
        assert!(other.is_ok());
        drop(mine);
        assert!(Place::take(&address(1)).is_ok());
        drop(other);
        let of_all = (0..100).flat_map(|n| {
            let taken = (0..bounds::STRANGERS_OF_ONE).map(move |_| Place::take(&address(n)));
            taken.filter_map(Result::ok)
        });
        let all: Vec<_> = of_all.collect();
        assert_eq!(all.len(), bounds::STRANGERS, "all addresses together");
        drop(all);
        assert!(Place::take(&address(1)).is_ok());
    }
}
