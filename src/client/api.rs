//! The documented JSON API, from outside.

use super::config::ClientConfig;
use super::ending::Trouble;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;
use ureq::http::{Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(60);
/// How long an answer may take to come whole. Logs may be long.
const WHOLE: Duration = Duration::from_secs(1800);
/// An answer that is held in memory may have so many bytes.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;
/// A line of a log may have so many bytes.
const MAX_LINE: u64 = 4 * 1024 * 1024;

/// A dashboard, as programs reach it.
pub(super) struct Api {
    agent: ureq::Agent,
    base: String,
    authorization: String,
}

#[derive(Deserialize)]
struct Said {
    error: SaidError,
}

#[derive(Deserialize)]
struct SaidError {
    code: String,
    message: String,
}

impl Api {
    pub(super) fn new(config: &ClientConfig) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // The token goes to the address that was given, and to no other.
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_recv_body(Some(WHOLE))
            .user_agent(concat!("nixfleet/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Self {
            agent: agent.into(),
            base: config.url.clone(),
            authorization: format!("Bearer {}", config.token.expose()),
        }
    }

    /// The dashboard's address.
    pub(super) fn address(&self) -> &str {
        &self.base
    }

    /// Reads an object or a list.
    pub(super) fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.whole(self.ask(path)?)
    }

    /// Changes something, once: what is not answered is not sent again.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("Authorization", &self.authorization);
        let sent = request.content_type("application/json").send(body.to_string());
        let response = sent.map_err(|error| {
            Trouble::Away(format!(
                "no answer from {}: {error}. Whether it was taken is not known: look with \
                 `nixfleet events`",
                self.base
            ))
        })?;
        self.whole(self.accepted(response)?)
    }

    /// Lines of JSON, and the number that the dashboard gives the last of them.
    pub(super) fn lines(&self, path: &str) -> Result<(u64, Lines), Trouble> {
        let response = self.ask(path)?;
        let last = response.headers().get("x-last-seq").and_then(|value| value.to_str().ok());
        let last = last.and_then(|text| text.parse().ok()).unwrap_or(0);
        let reader: Box<dyn Read> = Box::new(response.into_body().into_reader());
        Ok((last, Lines { reader: BufReader::new(reader), address: self.base.clone() }))
    }

    fn ask(&self, path: &str) -> Result<Response<ureq::Body>, Trouble> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = request.header("Authorization", &self.authorization).call();
        let response = answer
            .map_err(|error| Trouble::Away(format!("no answer from {}: {error}", self.base)))?;
        self.accepted(response)
    }

    /// An answer that is no error.
    fn accepted(
        &self,
        mut response: Response<ureq::Body>,
    ) -> Result<Response<ureq::Body>, Trouble> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.body_mut().with_config().limit(MAX_LINE).read_to_string();
        match text.ok().and_then(|text| serde_json::from_str::<Said>(&text).ok()) {
            Some(Said { error }) if status == StatusCode::SERVICE_UNAVAILABLE => {
                Err(Trouble::Away(error.message))
            }
            Some(Said { error }) => {
                Err(Trouble::Refused { code: error.code, message: error.message })
            }
            None => {
                let base = &self.base;
                Err(Trouble::Away(format!("{base} answers {status}, and not as a dashboard does")))
            }
        }
    }

    fn whole(&self, mut response: Response<ureq::Body>) -> Result<Value, Trouble> {
        let away = |why: &dyn std::fmt::Display| {
            format!("what {} answers is not understood: {why}", self.base)
        };
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
        let text = text.map_err(|error| Trouble::Away(away(&error)))?;
        serde_json::from_str(&text).map_err(|error| Trouble::Away(away(&error)))
    }
}

/// Lines of JSON that come one by one.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    address: String,
}

impl Lines {
    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Value>, Trouble> {
        let mut line = Vec::new();
        let away = |why: &dyn std::fmt::Display| {
            Trouble::Away(format!("the log from {} broke off: {why}", self.address))
        };
        let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut line);
        if read.map_err(|error| away(&error))? == 0 {
            return Ok(None);
        }
        serde_json::from_slice(&line).map(Some).map_err(|error| away(&error))
    }
}

/// An object of the API as the type that is worked with.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Trouble> {
    T::deserialize(value).map_err(|error| {
        Trouble::Away(format!("what the dashboard answers is not understood: {error}"))
    })
}

/// A part of an address. What is no plain letter is written by its number.
pub(super) fn segment(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    // A lone dot, or two, would be a step in the path.
    if path.chars().all(|c| c == '.') { path.replace('.', "%2E") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_the_address() {
        for (name, path) in [
            ("web-1.lan", "web-1.lan"),
            ("a/../b", "a%2F..%2Fb"),
            ("a?b#c", "a%3Fb%23c"),
            ("ä", "%C3%A4"),
            ("..", "%2E%2E"),
        ] {
            assert_eq!(segment(name), path);
        }
    }
}
