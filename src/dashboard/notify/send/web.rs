//! Messages over HTTP: ntfy, a signed webhook, Slack, Discord, Matrix.

use super::super::core::{Kind, Message, Target};
use super::{TIMEOUT, with_link};
use crate::base::hex;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use ureq::http::Method;
use ureq::tls::{RootCerts, TlsConfig};

/// Discord takes no more letters than this.
const DISCORD: usize = 1900;
/// So much of an answer that says no is told.
const ANSWER: u64 = 4096;

/// What is sent to a server.
#[derive(Debug, PartialEq)]
struct Call {
    method: Method,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

pub(super) fn deliver(
    target: &Target,
    message: &Message,
    link: Option<&str>,
    sender: &str,
) -> Result<(), String> {
    let call = call(target, message, link, sender)?;
    let mut request = ureq::http::Request::builder().method(call.method).uri(&call.url);
    request = request.header("content-type", "application/json");
    for (name, value) in &call.headers {
        request = request.header(*name, value);
    }
    let request = request.body(call.body).map_err(|_| "the address is not understood")?;
    accepted(agent().run(request))
}

pub(super) fn beat(url: &str) -> Result<(), String> {
    accepted(agent().get(url).call())
}

fn agent() -> ureq::Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // Tokens go to the address that was given, and to no other.
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .user_agent(concat!("nixfleet/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build();
    config.into()
}

fn accepted(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(), String> {
    // The library names no address in its errors, but a server may be asked for by one.
    let mut response = answer.map_err(|error| format!("no answer: {error}"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let text = response.body_mut().with_config().limit(ANSWER).read_to_string();
    let text = text.unwrap_or_default();
    let first: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    Err(format!("answers {status} {first}").trim_end().to_owned())
}

/// What a server is sent.
fn call(
    target: &Target,
    message: &Message,
    link: Option<&str>,
    sender: &str,
) -> Result<Call, String> {
    let bearer = |token: &String| ("authorization", format!("Bearer {token}"));
    let id = format!("{sender}-{}", message.id);
    let post = |url: &str, headers, body: Value| Call {
        method: Method::POST,
        url: url.to_owned(),
        headers,
        body: body.to_string(),
    };
    Ok(match target {
        Target::Ntfy { url, token } => {
            let (base, topic) = url.rsplit_once('/').ok_or("the address names no topic")?;
            let body = json!({
                "topic": topic, "title": message.title, "message": message.body,
                "priority": if message.alarm { 4 } else { 3 },
                "tags": [if message.alarm { "warning" } else { "information_source" }],
                "click": link,
            });
            post(base, token.iter().map(bearer).collect(), without_null(body))
        }
        Target::Webhook { url, secret } => signed(url, secret, message, link, &id)?,
        Target::Slack { url } => {
            // What Slack takes for markup is written as it says.
            let plain =
                |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let text = format!("*{}*\n{}", plain(&message.title), plain(&with_link(message, link)));
            post(url, Vec::new(), json!({ "text": text }))
        }
        Target::Discord { url } => {
            let text = format!("**{}**\n{}", message.title, with_link(message, link));
            let text: String = text.chars().take(DISCORD).collect();
            // Nobody is called by what a host's text says.
            let nobody = json!({ "parse": [] });
            post(url, Vec::new(), json!({ "content": text, "allowed_mentions": nobody }))
        }
        Target::Matrix { url, room, token } => {
            let body = format!("{}\n{}", message.title, with_link(message, link));
            // The same number is the same message there: what is sent twice is shown once.
            let id = format!("{id}-{}", message.at.as_millis());
            let path =
                format!("_matrix/client/v3/rooms/{}/send/m.room.message/{id}", segment(room));
            Call {
                method: Method::PUT,
                url: format!("{url}/{path}"),
                headers: vec![bearer(token)],
                body: json!({ "msgtype": "m.text", "body": body }).to_string(),
            }
        }
        Target::Mail { .. } => return Err("mail does not go over HTTP".to_owned()),
    })
}

/// The generic webhook. The signature is over `TIMESTAMP.BODY`, so that an old message cannot be
/// said again later: whoever checks it looks at the time too.
fn signed(
    url: &str,
    secret: &str,
    message: &Message,
    link: Option<&str>,
    id: &str,
) -> Result<Call, String> {
    let body = json!({
        "id": id, "event": message.kind.map_or("test", Kind::name), "alarm": message.alarm, "title": message.title,
        "body": message.body, "at": message.at, "attempt": message.attempts + 1, "url": link,
    });
    let body = body.to_string();
    let seconds = (message.next_try.as_millis() / 1000).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|_| "the secret cannot be used to sign")?;
    mac.update(format!("{seconds}.{body}").as_bytes());
    let signature = format!("sha256={}", hex::encode(&mac.finalize().into_bytes()));
    let headers = vec![
        ("x-nixfleet-delivery", id.to_owned()),
        ("x-nixfleet-timestamp", seconds),
        ("x-nixfleet-signature", signature),
    ];
    Ok(Call { method: Method::POST, url: url.to_owned(), headers, body })
}

fn without_null(mut body: Value) -> Value {
    if let Some(object) = body.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    body
}

/// A part of an address. What is no plain letter is written by its number.
fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let letter = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::timestamp::Timestamp;

    fn message() -> Message {
        Message {
            id: 7,
            channel: "a".into(),
            kind: Some(Kind::SwitchFailed),
            alarm: true,
            title: "web: switch failed".into(),
            body: "<!channel> & @everyone".into(),
            at: Timestamp::from_secs(1_800_000_000),
            attempts: 0,
            next_try: Timestamp::from_secs(1_800_000_000),
            last_error: None,
        }
    }

    #[test]
    fn the_signature_of_a_webhook_is_over_time_and_body() {
        let target = Target::Webhook { url: "http://h/x".into(), secret: "key".into() };
        let call = call(&target, &message(), None, "n").unwrap();
        // Worked out by another program: printf '%s' "1800000000.BODY" | openssl dgst -sha256 -hmac key
        let header = |name: &str| call.headers.iter().find(|(n, _)| *n == name).unwrap().1.clone();
        assert_eq!(header("x-nixfleet-timestamp"), "1800000000");
        let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
        mac.update(format!("1800000000.{}", call.body).as_bytes());
        let expected = hex::encode(&mac.finalize().into_bytes());
        assert_eq!(header("x-nixfleet-signature"), format!("sha256={expected}"));
        let body: Value = serde_json::from_str(&call.body).unwrap();
        assert_eq!((&body["event"], &body["id"]), (&json!("switch_failed"), &json!("n-7")));
    }

    #[test]
    fn text_of_a_host_is_no_markup_and_calls_nobody() {
        let slack = call(&Target::Slack { url: "http://h".into() }, &message(), None, "n").unwrap();
        assert!(slack.body.contains("&lt;!channel&gt; &amp; @everyone"), "{}", slack.body);
        let target = Target::Discord { url: "http://h".into() };
        let discord = call(&target, &message(), None, "n").unwrap();
        assert!(discord.body.contains(r#""allowed_mentions":{"parse":[]}"#), "{}", discord.body);
    }

    #[test]
    fn a_room_stays_one_part_of_the_address() {
        let target =
            Target::Matrix { url: "https://m".into(), room: "!a/b:m".into(), token: "t".into() };
        let call = call(&target, &message(), Some("https://fleet"), "n").unwrap();
        let path = "_matrix/client/v3/rooms/%21a%2Fb%3Am/send/m.room.message/n-7-1800000000000";
        assert_eq!((call.method, call.url), (Method::PUT, format!("https://m/{path}")));
        assert!(call.body.contains("https://fleet"));
    }
}
