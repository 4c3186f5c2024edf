//! Asking a web server, in bounded time and memory, and saying what went wrong.

use super::{Patience, SourceError};
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig};

/// How long one request may take, from the name's resolution to the body's end.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So many redirects are followed.
const REDIRECTS: u32 = 5;
/// No server makes us wait longer than that.
const WAIT_AT_MOST: Duration = Duration::from_secs(3600);

/// A web client for one server.
pub(super) struct Web {
    agent: ureq::Agent,
    authorization: Option<String>,
    patience: Option<Patience>,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) body: Vec<u8>,
    /// The address of the next page, where there is one.
    pub(super) next: Option<String>,
    wait: Option<Duration>,
    limited: bool,
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) url: &'a str,
    pub(super) accept: &'static str,
    pub(super) etag: Option<&'a str>,
    pub(super) body: Option<&'a serde_json::Value>,
    /// The largest body that is read, in bytes.
    pub(super) limit: usize,
}

impl Web {
    /// A client that sends `token`, if there is one, to the first server only.
    pub(super) fn new(token: Option<&str>) -> Self {
        let roots = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("nixfleet/", env!("CARGO_PKG_VERSION")))
            .tls_config(roots)
            .build();
        let authorization = token.map(|token| format!("Bearer {token}"));
        Self { agent: config.into(), authorization, patience: None }
    }

    /// The requests from now on are waited for so long, together.
    pub(super) fn begin(&mut self, patience: Patience) {
        self.patience = Some(patience);
    }

    /// Asks. An error means that there was no whole answer; a status is none.
    pub(super) fn ask(&self, request: &Request<'_>) -> Result<Answer, SourceError> {
        let time = match &self.patience {
            Some(patience) => patience.left(TIMEOUT)?,
            None => TIMEOUT,
        };
        let mut head = ureq::http::Request::builder()
            .method(request.method)
            .uri(request.url)
            .header("Accept", request.accept)
            .header("X-GitHub-Api-Version", "2022-11-28");
        if let Some(authorization) = &self.authorization {
            head = head.header("Authorization", authorization);
        }
        if let Some(etag) = request.etag {
            head = head.header("If-None-Match", etag);
        }
        let failed = |error: ureq::Error| explain(request.url, request.limit, &error);
        let invalid = |error| failed(ureq::Error::Http(error));
        let answered = match request.body {
            Some(body) => {
                let head = head.header("Content-Type", "application/json");
                let whole = head.body(body.to_string()).map_err(invalid)?;
                self.run(whole, time)
            }
            None => self.run(head.body(()).map_err(invalid)?, time),
        };
        let mut response = answered.map_err(failed)?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let seconds = |name: &str| header(name)?.trim().parse().ok();
        let limited = seconds("x-ratelimit-remaining") == Some(0_u64);
        // GitHub says when the limit is lifted in seconds since 1970, by its own clock.
        let (reset, date) = (seconds("x-ratelimit-reset"), header("date"));
        let until_reset = reset.zip(date.and_then(|date| http_date(&date)));
        let until_reset = until_reset.map(|(reset, now)| reset.saturating_sub(now).max(1));
        let wait = seconds("retry-after").or(until_reset.filter(|_| limited));
        let answer = Answer {
            status: response.status().as_u16(),
            etag: header("etag"),
            next: header("link").and_then(|links| next_page(&links)),
            wait: wait.map(|s| Duration::from_secs(s).min(WAIT_AT_MOST)),
            limited,
            body: Vec::new(),
        };
        let body = response.body_mut().with_config().limit(request.limit as u64).read_to_vec();
        Ok(Answer { body: body.map_err(failed)?, ..answer })
    }

    fn run<S: ureq::AsSendBody>(
        &self,
        request: ureq::http::Request<S>,
        time: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let bounded = self.agent.configure_request(request);
        self.agent.run(bounded.timeout_global(Some(time)).build())
    }
}

impl Answer {
    /// Why this answer is none, in words. `what` was asked for.
    pub(super) fn refusal(&self, what: &str) -> SourceError {
        let reason = match self.status {
            401 => "the token is not accepted (401)".to_owned(),
            403 | 429 if self.limited || self.status == 429 || self.wait.is_some() => {
                let wait = self.wait.unwrap_or(Duration::from_secs(60)).as_secs();
                format!("the rate limit is used up ({}), free again in {wait} s", self.status)
            }
            403 => format!("access to {what} is denied (403)"),
            404 => format!("{what} is not there, or the token may not see it (404)"),
            500.. => format!("the server failed ({})", self.status),
            status => format!("{what} was answered with status {status}"),
        };
        SourceError { reason, retry_after: self.wait }
    }

    /// The body as JSON of a shape.
    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
    ) -> Result<T, SourceError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            SourceError::new(format!("the answer about {what} is not what was expected: {error}"))
        })
    }
}

/// Seconds since 1970 of a date as HTTP writes it.
fn http_date(text: &str) -> Option<u64> {
    let format = time::format_description::well_known::Rfc2822;
    let text = text.replace("GMT", "+0000");
    let date = time::OffsetDateTime::parse(&text, &format).ok()?;
    u64::try_from(date.unix_timestamp()).ok()
}

/// The address of the next page in a `Link` header.
fn next_page(links: &str) -> Option<String> {
    let link = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, rest) = link.split_once('<')?;
    Some(rest.split_once('>')?.0.to_owned())
}

fn explain(url: &str, limit: usize, error: &ureq::Error) -> SourceError {
    let server = url.split_once("://").map_or(url, |(_, rest)| rest);
    let server = server.split(['/', '?']).next().unwrap_or(server);
    let server = server.rsplit('@').next().unwrap_or(server);
    SourceError::new(match error {
        ureq::Error::Timeout(_) => {
            format!("{server} did not answer within {} s", TIMEOUT.as_secs())
        }
        ureq::Error::HostNotFound => format!("the name {server} cannot be resolved (DNS)"),
        ureq::Error::Io(error) if error.to_string().contains("lookup address") => {
            format!("the name {server} cannot be resolved (DNS)")
        }
        ureq::Error::ConnectionFailed => format!("no connection to {server}"),
        ureq::Error::Io(error) => format!("the connection to {server} failed: {error}"),
        ureq::Error::TooManyRedirects => format!("{server} redirects in circles"),
        ureq::Error::BodyExceedsLimit(_) => {
            format!("the answer of {server} is larger than {} KiB", limit / 1024)
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => format!("TLS with {server}: {error}"),
        other => format!("{server}: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_read_from_the_link_header() {
        let links = "<https://x/1>; rel=\"prev\", <https://x/3?page=3>; rel=\"next\"";
        assert_eq!(next_page(links).as_deref(), Some("https://x/3?page=3"));
        assert_eq!(next_page("<https://x/1>; rel=\"last\""), None);
        assert_eq!(next_page("rubbish, rel=\"next\""), None);
    }

    #[test]
    fn dates_of_servers_are_read() {
        assert_eq!(http_date("Sun, 18 Jan 2026 10:30:00 GMT"), Some(1_768_732_200));
        assert_eq!(http_date("yesterday"), None);
    }
}
