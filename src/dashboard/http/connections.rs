//! How many connections there may be: some are kept for those who are logged in (finding 3 of the
//! security review).

use super::error::HttpError;
use super::extract;
use crate::domain::refusal::RefusalCode;
use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONNECTION, HeaderValue};
use actix_web::middleware::Next;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Descriptors for everything but connections: SQLite, remotes, their children, logs.
const KEPT_FOR_FILES: usize = 128;
/// Fewer connections than these there never may be.
const FEWEST: usize = 64;

/// The connections of this process.
#[derive(Clone)]
pub(crate) struct Connections {
    open: Arc<AtomicUsize>,
    most: usize,
}

/// One of them, for as long as it is open.
struct Connection(Arc<AtomicUsize>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    /// None yet, where the process may have so many descriptors.
    pub(crate) fn within(descriptors: u64) -> Self {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let most = descriptors.saturating_sub(KEPT_FOR_FILES).max(FEWEST);
        Self { open: Arc::default(), most }
    }

    /// How many there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// One was opened: it counts until its `data` goes.
    pub(crate) fn opened(&self, data: &mut Extensions) {
        self.open.fetch_add(1, Ordering::Relaxed);
        data.insert(Connection(Arc::clone(&self.open)));
    }

    /// Whether the rest is kept for those who are logged in: an eighth.
    fn is_tight(&self) -> bool {
        self.open.load(Ordering::Relaxed) > self.most - self.most / 8
    }

    /// Answers a request, or, where the room is kept for others, says so and closes.
    pub(crate) async fn answer(
        self,
        request: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
        self.answer_to(request, next, extract::is_of_somebody).await
    }

    /// The same; `is_known` says whether a request is of somebody for whom the room is kept.
    async fn answer_to(
        self,
        request: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
        is_known: impl AsyncFn(&HttpRequest) -> bool,
    ) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
        let http = request.request();
        if !self.is_tight() || is_known(http).await {
            return Ok(next.call(request).await?.map_into_boxed_body());
        }
        let text = "Too many connections are open. Try again in some seconds.";
        let error = HttpError::new(RefusalCode::Unavailable, text).for_request(http);
        let mut response = request.error_response(error);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::auth::SESSION_COOKIE;
    use actix_web::http::ConnectionType;
    use actix_web::middleware::from_fn;
    use actix_web::test::{self, TestRequest};
    use actix_web::{App, HttpResponse, web};

    #[test]
    fn an_eighth_of_the_connections_is_kept_for_those_who_are_logged_in_3() {
        let connections = Connections::within(1024);
        assert_eq!(connections.most(), 896);
        let mut data = Vec::new();
        for _ in 0..784 {
            let mut one = Extensions::new();
            connections.opened(&mut one);
            data.push(one);
        }
        assert!(!connections.is_tight());
        let mut one = Extensions::new();
        connections.opened(&mut one);
        assert!(connections.is_tight());
        drop(data);
        assert!(!connections.is_tight());
    }

    #[actix_rt::test]
    async fn where_connections_are_few_whoever_is_nobody_is_sent_away_3() {
        let connections = Connections::within(1024);
        let counted = connections.clone();
        let answer = move |request, next| {
            let is_known = async |http: &HttpRequest| http.headers().get("x-known").is_some();
            counted.clone().answer_to(request, next, is_known)
        };
        let service = App::new().wrap(from_fn(answer)).default_service(web::to(HttpResponse::Ok));
        let service = test::init_service(service).await;
        let asks = async |header: Option<(&str, &str)>| {
            let mut request = TestRequest::get().uri("/");
            if let Some(header) = header {
                request = request.insert_header(header);
            }
            let answer = test::call_service(&service, request.to_request()).await;
            let closes = answer.response().head().connection_type() == ConnectionType::Close
                || answer.headers().get(CONNECTION).is_some_and(|value| value == "close");
            (answer.status().as_u16(), closes)
        };
        assert_eq!(asks(None).await, (200, false));
        let mut data = Vec::new();
        for _ in 0..connections.most() {
            let mut one = Extensions::new();
            connections.opened(&mut one);
            data.push(one);
        }
        assert_eq!(asks(None).await, (503, true));
        // A cookie that nobody handed out says nothing.
        let cookie = format!("{SESSION_COOKIE}=x");
        for header in [("Cookie", cookie.as_str()), ("Authorization", "Bearer x")] {
            assert_eq!(asks(Some(header)).await, (503, true), "{header:?}");
        }
        assert_eq!(asks(Some(("x-known", "yes"))).await, (200, false));
        drop(data);
        assert_eq!(asks(None).await, (200, false));
    }
}
