//! Asking a web server, in bounded time and memory, and saying what went wrong.

use super::{Allowance, Patience, SourceError};
use std::time::{Duration, Instant};
use ureq::tls::{RootCerts, TlsConfig};

/// How long one request may take, from the name's resolution to the body's end.
const TIMEOUT: Duration = Duration::from_secs(10);
/// So many redirects are followed.
const REDIRECTS: u32 = 5;
/// No server makes us wait longer than that.
const WAIT_AT_MOST: Duration = Duration::from_secs(3600);
/// How long a server is left alone that says that a limit is reached and not for how long. GitHub
/// asks for a minute at least.
const UNSAID_WAIT: Duration = Duration::from_secs(60);

/// A web client for one server.
pub(super) struct Web {
    agent: ureq::Agent,
    authorization: Option<String>,
    patience: Option<Patience>,
    allowance: Option<Allowance>,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
}

/// What an answer's headers say.
#[derive(Default)]
pub(super) struct Head {
    pub(super) etag: Option<String>,
    /// The address of the next page, where there is one.
    pub(super) next: Option<String>,
    /// Seconds that the server wants to be left alone.
    retry_after: Option<u64>,
    /// The rate limit, how much of it is left, and in how many seconds it is renewed.
    limit: Option<u64>,
    remaining: Option<u64>,
    resets_in: Option<u64>,
}

impl Head {
    fn read(headers: &ureq::http::HeaderMap) -> Self {
        let text =
            |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let number = |name: &str| text(name)?.trim().parse::<u64>().ok();
        // GitHub has limits for other things too; those do not concern what is asked here.
        let is_ours = text("x-ratelimit-resource").is_none_or(|resource| resource == "core");
        // When it is renewed is said in seconds since 1970, by the server's own clock.
        let now = text("date").and_then(|date| http_date(&date));
        let resets_in = match (number("x-ratelimit-reset"), now) {
            (Some(reset), Some(now)) => Some(reset.saturating_sub(now).max(1)),
            (Some(_), None) | (None, _) => None,
        };
        Self {
            etag: text("etag"),
            next: text("link").and_then(|links| next_page(&links)),
            retry_after: number("retry-after"),
            limit: number("x-ratelimit-limit").filter(|_| is_ours),
            remaining: number("x-ratelimit-remaining").filter(|_| is_ours),
            resets_in,
        }
    }

    fn allowance(&self, now: Instant) -> Option<Allowance> {
        let resets_in = Duration::from_secs(self.resets_in?).min(WAIT_AT_MOST);
        let (limit, remaining) = (self.limit?, self.remaining?);
        Some(Allowance { limit, remaining, resets_at: now + resets_in })
    }
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
        Self { agent: config.into(), authorization, patience: None, allowance: None }
    }

    /// The requests from now on are waited for so long, together.
    pub(super) fn begin(&mut self, patience: Patience) {
        self.patience = Some(patience);
    }

    /// What the server's rate limit allows, as it last said.
    pub(super) fn allowance(&self) -> Option<Allowance> {
        self.allowance
    }

    /// Asks. An error means that there was no whole answer; a status is none.
    pub(super) fn ask(&mut self, request: &Request<'_>) -> Result<Answer, SourceError> {
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
        let head = Head::read(response.headers());
        if let Some(allowance) = head.allowance(Instant::now()) {
            self.allowance = Some(allowance);
        }
        let answer = Answer { status: response.status().as_u16(), head, body: Vec::new() };
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
    /// How long the server wants to be left alone, if this answer says that a limit is reached.
    fn limited_for(&self) -> Option<Duration> {
        let says_limit = String::from_utf8_lossy(&self.body).contains("rate limit");
        let is_used_up = self.head.remaining == Some(0);
        let is_limited = match self.status {
            429 => true,
            // GitHub's secondary limits are only named in the text.
            403 => is_used_up || self.head.retry_after.is_some() || says_limit,
            _ => self.head.retry_after.is_some() && self.status >= 400,
        };
        if !is_limited {
            return None;
        }
        let until_reset = if is_used_up { self.head.resets_in } else { None };
        let seconds = self.head.retry_after.or(until_reset);
        Some(seconds.map_or(UNSAID_WAIT, Duration::from_secs).min(WAIT_AT_MOST))
    }

    /// Why this answer is none, in words. `what` was asked for.
    pub(super) fn refusal(&self, what: &str) -> SourceError {
        let retry_after = self.limited_for();
        let reason = match (self.status, retry_after) {
            (401, _) => "the token is not accepted (401)".to_owned(),
            (403 | 429, Some(wait)) => {
                let wait = wait.as_secs();
                format!("the rate limit is used up ({}), free again in {wait} s", self.status)
            }
            (403, None) => format!("access to {what} is denied (403)"),
            (404, _) => format!("{what} is not there, or the token may not see it (404)"),
            (500.., _) => format!("the server failed ({})", self.status),
            (status, _) => format!("{what} was answered with status {status}"),
        };
        SourceError { reason, retry_after }
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
/// For fuzzing: reads a text as every header.
pub(super) fn read_anything(text: &str) {
    log::trace!("{:?} {:?}", http_date(text), next_page(text));
}

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

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut map = ureq::http::HeaderMap::new();
        for (name, value) in headers {
            let name = ureq::http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, value.parse().unwrap());
        }
        Answer { status, head: Head::read(&map), body: body.as_bytes().to_vec() }
    }

    const USED_UP: &[(&str, &str)] = &[
        ("x-ratelimit-limit", "60"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1768732320"),
        ("date", "Sun, 18 Jan 2026 10:30:00 GMT"),
    ];

    #[test]
    fn every_way_to_say_that_a_limit_is_reached_is_understood() {
        let secondary = "{\"message\": \"You have exceeded a secondary rate limit.\"}";
        for (status, headers, body, wait) in [
            (403, USED_UP, "", Some(120)),
            (429, USED_UP, "", Some(120)),
            (403, &[("retry-after", "7")], "", Some(7)),
            (429, &[], "", Some(60)),
            (403, &[], secondary, Some(60)),
            (503, &[("retry-after", "9")], "", Some(9)),
            (429, &[("retry-after", "999999")], "", Some(3600)),
            (403, &[], "{\"message\": \"Resource not accessible\"}", None),
            (404, USED_UP, "", None),
        ] {
            let refusal = answer(status, headers, body).refusal("it");
            let expected = wait.map(Duration::from_secs);
            assert_eq!(refusal.retry_after, expected, "{status} {headers:?} {body}");
        }
    }

    #[test]
    fn what_the_limit_allows_is_read_and_other_limits_are_not() {
        let now = Instant::now();
        let allowance = answer(200, USED_UP, "").head.allowance(now).unwrap();
        let expected =
            Allowance { limit: 60, remaining: 0, resets_at: now + Duration::from_secs(120) };
        assert_eq!(allowance, expected);
        let other = [USED_UP, &[("x-ratelimit-resource", "graphql")]].concat();
        assert_eq!(answer(200, &other, "").head.allowance(now), None);
        assert_eq!(answer(200, &[], "").head.allowance(now), None);
    }
}
