//! Mail: a real SMTP dialogue over TCP, in clear and with TLS.

use super::Fleet;
use crate::support::wait_until;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// How a mail server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Clear,
    Starttls,
    Tls,
    /// It says that it cannot do TLS.
    NoTls,
    /// It takes no mail.
    Refuses,
}

/// A mail server that keeps what it was given.
struct Smtp {
    port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    /// The certificate that its TLS is proved with.
    certificate: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Mail {
    said: Vec<String>,
    text: String,
    encrypted: bool,
}

impl Smtp {
    fn new(way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .unwrap();
        let (kept, config) = (Arc::clone(&mails), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, config) = (Arc::clone(&kept), Arc::clone(&config));
                thread::spawn(move || {
                    let mut mail = Mail::default();
                    talk(stream, way, &config, &mut mail);
                    kept.lock().unwrap().push(mail);
                });
            }
        });
        Self { port, mails, certificate: Some(made.cert.pem()) }
    }

    #[track_caller]
    fn took(&self) -> Mail {
        wait_until("a mail comes", || {
            let mails = self.mails.lock().unwrap();
            mails.iter().find(|mail| !mail.text.is_empty()).cloned().ok_or_else(|| mails.clone())
        })
    }
}

fn talk(stream: TcpStream, way: Way, config: &Arc<ServerConfig>, mail: &mut Mail) {
    let secure = |stream| {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        StreamOwned::new(connection, stream)
    };
    if way == Way::Tls {
        mail.encrypted = true;
        say_hello(&mut BufReader::new(secure(stream)), way, mail);
        return;
    }
    let copy = stream.try_clone().unwrap();
    if say_hello(&mut BufReader::new(stream), way, mail) == Some(true) {
        mail.encrypted = true;
        dialogue(&mut BufReader::new(secure(copy)), Way::Tls, mail);
    }
}

fn say_hello<S: Read + Write>(
    stream: &mut BufReader<S>,
    way: Way,
    mail: &mut Mail,
) -> Option<bool> {
    stream.get_mut().write_all(b"220 localhost\r\n").ok()?;
    dialogue(stream, way, mail)
}

/// Answers whether TLS is to begin.
fn dialogue<S: Read + Write>(stream: &mut BufReader<S>, way: Way, mail: &mut Mail) -> Option<bool> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return Some(false);
        }
        let line = line.trim_end().to_owned();
        mail.said.push(line.clone());
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" if way == Way::Starttls => "250-localhost\r\n250 STARTTLS\r\n",
            "EHLO" => "250-localhost\r\n250 AUTH PLAIN\r\n",
            "STARTTLS" => "220 go\r\n",
            "AUTH" => "235 welcome\r\n",
            "MAIL" if way == Way::Refuses => "550 not from you\r\n",
            "DATA" => "354 go\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
        match line.as_str() {
            "STARTTLS" => return Some(true),
            "QUIT" => return Some(false),
            "DATA" => {
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).ok()?;
                    if line == ".\r\n" {
                        break;
                    }
                    mail.text += &line;
                }
                stream.get_mut().write_all(b"250 taken\r\n").ok()?;
                stream.get_mut().flush().ok()?;
            }
            _ => {}
        }
    }
}

/// A dashboard that trusts the certificates of these servers, and nobody else's.
fn fleet_that_trusts(servers: &[&Smtp], dir: &Path) -> Fleet {
    let file = dir.join("ca.pem");
    let all: String = servers.iter().filter_map(|server| server.certificate.clone()).collect();
    std::fs::write(&file, all).unwrap();
    Fleet::with(&[("SSL_CERT_FILE", file.to_str().unwrap())])
}

fn mail_to(server: &Smtp, security: &str) -> serde_json::Value {
    let mut body = json!({
        "kind": "mail", "server": "localhost", "port": server.port, "security": security,
        "from": "nixfleet <fleet@example.org>", "to": ["ops@example.org", "b@example.org"],
    });
    if security != "none" {
        body["user"] = json!("ops");
        body["secret"] = json!("sesame");
    }
    body
}

#[test]
fn mail_goes_out_over_starttls_and_tls_and_the_password_never_in_clear() {
    let (starttls, tls) = (Smtp::new(Way::Starttls), Smtp::new(Way::Tls));
    let dir = tempfile::tempdir().unwrap();
    let fleet = fleet_that_trusts(&[&starttls, &tls], dir.path());
    fleet.channel("a", &mail_to(&starttls, "starttls"));
    fleet.channel("b", &mail_to(&tls, "tls"));
    fleet.fail_a_switch();
    for server in [&starttls, &tls] {
        let mail = server.took();
        assert!(mail.encrypted, "{mail:?}");
        for part in [
            "Subject: web: switch failed",
            "From: nixfleet <fleet@example.org>",
            "Message-ID: <nixfleet-",
        ] {
            assert!(mail.text.contains(part), "no {part}: {mail:?}");
        }
        assert!(mail.said.iter().any(|line| line == "RCPT TO:<b@example.org>"), "{mail:?}");
        let auth = mail.said.iter().position(|line| line.starts_with("AUTH ")).unwrap();
        let begun = mail.said.iter().position(|line| line == "STARTTLS");
        assert!(begun.is_none_or(|begun| begun < auth), "{mail:?}");
    }
}

#[test]
fn a_server_without_tls_or_with_a_wrong_certificate_gets_no_mail_and_no_password() {
    let (none, stranger, refuses) =
        (Smtp::new(Way::NoTls), Smtp::new(Way::Tls), Smtp::new(Way::Refuses));
    let dir = tempfile::tempdir().unwrap();
    let fleet = fleet_that_trusts(&[&none], dir.path());
    fleet.channel("none", &mail_to(&none, "starttls"));
    fleet.channel("stranger", &mail_to(&stranger, "tls"));
    fleet.channel("refuses", &mail_to(&refuses, "none"));
    for (name, part) in
        [("none", "STARTTLS"), ("stranger", "certificate"), ("refuses", "not from you")]
    {
        let test = format!("/api/notifications/channels/{name}/test");
        let failed = fleet.user.post(&test, &json!({}));
        assert_eq!(failed.status, 409, "{failed:?}");
        assert!(failed.message().contains(part), "{name}: {failed:?}");
    }
    for server in [&none, &stranger] {
        let said = server.mails.lock().unwrap().clone();
        let told = said.iter().any(|mail| mail.said.iter().any(|line| line.starts_with("AUTH")));
        assert!(!told, "{said:?}");
    }
}

#[test]
fn a_relay_on_this_machine_takes_mail_in_clear() {
    let relay = Smtp::new(Way::Clear);
    let fleet = Fleet::new();
    fleet.channel("relay", &mail_to(&relay, "none"));
    fleet.fail_a_switch();
    let mail = relay.took();
    assert!(mail.text.contains("Switch failed: "), "{mail:?}");
}
