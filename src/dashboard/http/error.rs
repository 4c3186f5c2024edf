//! Why something was not answered with what was asked for: one code, one status, one text.
//!
//! The text is safe to show. What a cause says (SQLite, the system) is for the log alone. The
//! API and the pages are two skins of it: [`ApiError`] as JSON, [`PageError`] as a page.

use super::wanted;
use crate::dashboard::auth::{LoginError, NotChanged};
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::StoreError;
use crate::dashboard::views::layout;
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::scope::Scope;
use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// Text of a request that is said back has at most so many characters.
const SAID_BACK: usize = 100;
/// What is said of a parser's complaint has at most so many characters.
const COMPLAINT: usize = 300;

/// Why something was not answered with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpError {
    code: RefusalCode,
    status: StatusCode,
    text: String,
    retry_after: Option<Duration>,
    /// The page that was asked for, for after the login.
    wanted: Option<String>,
}

impl HttpError {
    /// An error with the status that its code has.
    pub(super) fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        Self { code, status: status_of(code), text: text.into(), retry_after: None, wanted: None }
    }

    /// 400: names the field and says what was expected of it.
    pub(super) fn bad(field: &str, expected: impl fmt::Display) -> Self {
        Self::new(RefusalCode::BadInput, format!("`{field}`: {expected}"))
    }

    /// 400: what a parser says of a body, a form or a query.
    pub(super) fn complaint(field: &str, complaint: &dyn fmt::Display) -> Self {
        let text: String = complaint.to_string().chars().take(COMPLAINT).collect();
        Self::bad(field, text)
    }

    /// 401: nobody is logged in, and no token was sent.
    pub(super) fn log_in() -> Self {
        Self::new(RefusalCode::Unauthorized, "Log in, or send an API token.")
    }

    /// 403: the request may have been made by another site.
    pub(super) fn csrf() -> Self {
        let text = "The page's token is missing or too old: reload the page and try again. \
                    A program sends it as X-CSRF-Token, or uses an API token.";
        Self::new(RefusalCode::Csrf, text)
    }

    /// 403: a page of somebody else sent it, or a page of ours under another address.
    pub(super) fn other_origin(base_url: Option<&str>) -> Self {
        let ours = base_url.map_or(String::new(), |url| format!(" This dashboard is {url}."));
        let text =
            format!("Only a page of this dashboard may do that: the origin is another.{ours}");
        Self::new(RefusalCode::Forbidden, text)
    }

    /// 403: the token may do less than that.
    pub(super) fn scope_needed(has: Scope, needed: Scope) -> Self {
        let text = format!("This API token has the scope {has}; this call needs {needed}.");
        Self::new(RefusalCode::Forbidden, text)
    }

    /// 403: no token may do that.
    pub(super) fn people_only() -> Self {
        Self::new(RefusalCode::Forbidden, "A token cannot make tokens: log in.")
    }

    /// 404: no rollout has this id.
    pub(super) fn no_such_rollout(id: &str) -> Self {
        Self::new(RefusalCode::NoSuchRollout, format!("there is no rollout `{}`", said_back(id)))
    }

    /// 404: no handler has this address.
    pub(super) fn not_found() -> Self {
        Self::new(RefusalCode::NotFound, "There is no such call or page.")
    }

    /// 403: an operation was not confirmed with the one-time code.
    pub(super) fn code_needed(text: String) -> Self {
        let status = StatusCode::FORBIDDEN;
        Self { status, ..Self::new(RefusalCode::ConfirmationRequired, text) }
    }

    /// 408: a body did not come in time.
    pub(super) fn too_slow() -> Self {
        let seconds = crate::domain::bounds::BODY_WITHIN_S;
        let status = StatusCode::REQUEST_TIMEOUT;
        Self { status, ..Self::bad("body", format!("expected all of it within {seconds} s")) }
    }

    /// 429: too many wrong passwords or codes. Tells when to try again.
    pub(super) fn too_many_tries(wait: Duration) -> Self {
        let seconds = wait.as_secs() + 1;
        let text = format!("Too many tries. Wait {seconds} seconds.");
        let retry_after = Some(Duration::from_secs(seconds));
        Self { retry_after, ..Self::new(RefusalCode::TooManyTries, text) }
    }

    /// What programs go by.
    pub(super) fn code(&self) -> RefusalCode {
        self.code
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The object of the API, without its envelope.
    pub(super) fn object(&self) -> Value {
        json!({ "code": self.code, "message": self.text })
    }

    fn answer(&self) -> HttpResponseBuilder {
        let mut answer = HttpResponse::build(self.status);
        if let Some(wait) = self.retry_after {
            answer.insert_header((RETRY_AFTER, wait.as_secs()));
        }
        answer
    }

    /// The error for actix, in the skin that the address asks for.
    pub(super) fn for_request(self, request: &HttpRequest) -> actix_web::Error {
        let path = request.path();
        let for_programs = ["/api/", "/hooks/", "/metrics", "/live"];
        if for_programs.iter().any(|start| path.starts_with(start)) {
            ApiError(self).into()
        } else {
            PageError(Self { wanted: wanted::asked(request), ..self }).into()
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What somebody sent, short enough to be said back.
pub(super) fn said_back(text: &str) -> String {
    text.chars().take(SAID_BACK).collect()
}

/// The status of a code (spec: http, "JSON API").
fn status_of(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::BadInput => StatusCode::BAD_REQUEST,
        RefusalCode::Unauthorized => StatusCode::UNAUTHORIZED,
        RefusalCode::Csrf | RefusalCode::Forbidden => StatusCode::FORBIDDEN,
        RefusalCode::NoSuchHost
        | RefusalCode::NoSuchCommand
        | RefusalCode::NoSuchRollout
        | RefusalCode::NoSuchChannel
        | RefusalCode::NotFound => StatusCode::NOT_FOUND,
        RefusalCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalCode::TooManyTries => StatusCode::TOO_MANY_REQUESTS,
        RefusalCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::HostOffline
        | RefusalCode::HostBusy
        | RefusalCode::HostActivating
        | RefusalCode::HostExists
        | RefusalCode::NotSupported
        | RefusalCode::ConfirmationRequired
        | RefusalCode::TestsDisabled
        | RefusalCode::NoTests
        | RefusalCode::RemoteUnavailable
        | RefusalCode::NoSuchGeneration
        | RefusalCode::Held
        | RefusalCode::Frozen
        | RefusalCode::OutsideWindow
        | RefusalCode::NotRunning
        | RefusalCode::Running
        | RefusalCode::NothingToDo
        | RefusalCode::AlreadyMerged
        | RefusalCode::Closed
        | RefusalCode::Changed
        | RefusalCode::NotMergeable
        | RefusalCode::InUse
        | RefusalCode::NotDelivered
        | RefusalCode::NotMerged => StatusCode::CONFLICT,
    }
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}

impl From<RequestError> for HttpError {
    fn from(error: RequestError) -> Self {
        let text = error.to_string();
        match error {
            RequestError::NoSuchHost(_) => Self::new(RefusalCode::NoSuchHost, text),
            RequestError::NoSuchCommand(_) => Self::new(RefusalCode::NoSuchCommand, text),
            RequestError::Refused(refusal) => refusal.into(),
            RequestError::Invalid { .. } => Self::new(RefusalCode::BadInput, text),
            RequestError::Unavailable(_) => Self::new(RefusalCode::Unavailable, text),
        }
    }
}

impl From<StoreError> for HttpError {
    fn from(error: StoreError) -> Self {
        RequestError::from(error).into()
    }
}

impl From<actix::MailboxError> for HttpError {
    fn from(_: actix::MailboxError) -> Self {
        Self::new(RefusalCode::Unavailable, "The dashboard is shutting down.")
    }
}

impl From<LoginError> for HttpError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Wrong => Self::new(RefusalCode::Unauthorized, "Wrong password or code."),
            LoginError::TooMany(wait) => Self::too_many_tries(wait),
            LoginError::Csrf => Self::csrf(),
            LoginError::Unavailable(text) => Self::new(RefusalCode::Unavailable, text),
        }
    }
}

impl From<NotChanged> for HttpError {
    fn from(error: NotChanged) -> Self {
        match error {
            NotChanged::Refused(text) => Self::new(RefusalCode::BadInput, text),
            NotChanged::TooMany(wait) => Self::too_many_tries(wait),
            NotChanged::Unavailable(text) => Self::new(RefusalCode::Unavailable, text),
        }
    }
}

/// An error as the API says it: `{"error": {"code", "message"}}`.
#[derive(Debug)]
pub(super) struct ApiError(pub(super) HttpError);

/// An error as a page. Whoever is not logged in is led to the login form.
#[derive(Debug)]
pub(super) struct PageError(pub(super) HttpError);

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        self.0.answer().json(json!({ "error": self.0.object() }))
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self.0.code {
            RefusalCode::Unauthorized => StatusCode::SEE_OTHER,
            _ => self.0.status,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if self.0.code == RefusalCode::Unauthorized {
            let to = wanted::login(self.0.wanted.as_deref());
            return HttpResponse::SeeOther().insert_header((LOCATION, to)).finish();
        }
        let page = layout::problem("That did not work", &self.0.text, None);
        self.0.answer().content_type("text/html; charset=utf-8").body(page.0)
    }
}

/// Gives a skin its words, and everything that a handler may pass on with `?`.
macro_rules! skin {
    ($skin:ident: $($cause:ty),+) => {
        impl fmt::Display for $skin {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        $(impl From<$cause> for $skin {
            fn from(cause: $cause) -> Self {
                Self(cause.into())
            }
        })+
    };
}

skin!(ApiError: HttpError, StoreError, actix::MailboxError);
skin!(PageError: HttpError, StoreError, actix::MailboxError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_503_is_not_in_its_text() {
        let cause = "database is locked in /var/lib/secret";
        let text = HttpError::from(StoreError::NotCommitted(cause.to_owned())).to_string();
        assert_eq!(text, RequestError::DATABASE);
        for error in [
            StoreError::Corrupt(cause.to_owned()),
            StoreError::Directory { path: cause.into(), source: std::io::Error::other(cause) },
            StoreError::Closed,
        ] {
            let error = HttpError::from(error);
            assert_eq!((error.status, error.text), (StatusCode::SERVICE_UNAVAILABLE, text.clone()));
        }
    }

    #[test]
    fn both_skins_say_the_same_with_the_same_status() {
        for code in RefusalCode::ALL {
            let error = HttpError::new(*code, "because");
            let api = ApiError(error.clone());
            assert_eq!(api.to_string(), PageError(error.clone()).to_string());
            if *code != RefusalCode::Unauthorized {
                assert_eq!(api.status_code(), PageError(error).status_code());
            }
            assert!(api.status_code().is_client_error() || api.status_code().is_server_error());
        }
    }
}
