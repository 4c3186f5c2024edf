//! Errors of the API: `{"error": {"code", "message"}}` with the right status.

use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::StoreError;
use crate::domain::operation::Operation;
use crate::domain::refusal::RefusalCode;
use actix_web::error::JsonPayloadError;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;
use std::fmt;

/// An error as the API says it.
#[derive(Debug)]
pub struct ApiError {
    code: RefusalCode,
    message: String,
    status: StatusCode,
}

impl ApiError {
    pub(super) fn new(code: RefusalCode, message: impl Into<String>, status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { code, message: message.into(), status }
    }

    /// 400, naming the field.
    pub(super) fn bad(field: &str, expected: impl fmt::Display) -> Self {
        Self::new(RefusalCode::BadInput, format!("`{field}`: {expected}"), 400)
    }

    /// The error object.
    pub(super) fn body(&self) -> serde_json::Value {
        json!({ "code": self.code, "message": self.message })
    }

    pub(super) fn log_in() -> Self {
        Self::new(RefusalCode::Unauthorized, "Log in, or send an API token.", 401)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(json!({ "error": self.body() }))
    }
}

impl actix_web::Responder for ApiError {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &actix_web::HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

/// The status that a request's failure is answered with.
pub fn status_of(error: &RequestError) -> StatusCode {
    match error {
        RequestError::NoSuchHost(_) | RequestError::NoSuchCommand(_) => StatusCode::NOT_FOUND,
        RequestError::Refused(_) => StatusCode::CONFLICT,
        RequestError::Invalid { .. } => StatusCode::BAD_REQUEST,
        RequestError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let code = match &error {
            RequestError::NoSuchHost(_) => RefusalCode::NoSuchHost,
            RequestError::NoSuchCommand(_) => RefusalCode::NoSuchCommand,
            RequestError::Refused(refusal) => refusal.code,
            RequestError::Invalid { .. } => RefusalCode::BadInput,
            RequestError::Unavailable(_) => RefusalCode::Unavailable,
        };
        Self { code, message: error.to_string(), status: status_of(&error) }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        log::error!("{error}");
        Self::new(RefusalCode::Unavailable, format!("The database cannot be used: {error}"), 503)
    }
}

impl From<actix::MailboxError> for ApiError {
    fn from(_: actix::MailboxError) -> Self {
        Self::new(RefusalCode::Unavailable, "The dashboard is shutting down.", 503)
    }
}

/// What is said of a body that is not the JSON that was expected.
pub(super) fn bad_json(error: &JsonPayloadError) -> ApiError {
    match error {
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
            ApiError::new(RefusalCode::TooLarge, "A body may have 64 KiB.", 413)
        }
        other => ApiError::bad("body", other),
    }
}

/// An operation that is not in the table.
pub fn unknown_operation(name: &str) -> RequestError {
    let known: Vec<&str> = Operation::ALL.iter().map(|op| op.name()).collect();
    let name: String = name.chars().take(60).collect();
    RequestError::Invalid {
        field: "op",
        expected: format!("there is no operation {name:?}; expected one of {}", known.join(", ")),
    }
}
