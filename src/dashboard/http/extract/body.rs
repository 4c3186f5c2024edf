//! Bodies and queries, read into types. What does not fit is 400 and named.

use super::Extracted;
use crate::dashboard::http::error::HttpError;
use crate::domain::refusal::RefusalCode;
use actix_web::dev::Payload;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};

/// A body of JSON. One that is empty is an object without fields.
pub(in crate::dashboard::http) struct Body<T>(pub(in crate::dashboard::http) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = Bytes::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let bytes = read.await.map_err(|error| unread(&error).for_request(&request))?;
            parse(&bytes).map(Self).map_err(|error| error.for_request(&request))
        })
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| HttpError::complaint("body", &error))
}

/// Why a body could not be read.
pub(super) fn unread(error: &actix_web::Error) -> HttpError {
    let status = error.as_response_error().status_code();
    if status == actix_web::http::StatusCode::PAYLOAD_TOO_LARGE {
        HttpError::new(RefusalCode::TooLarge, "A body may have 64 KiB.")
    } else {
        HttpError::bad("body", "expected a whole body")
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
}
