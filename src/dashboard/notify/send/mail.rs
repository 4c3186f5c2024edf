//! Messages by mail.

use super::super::core::{Message, Security, Target};
use super::{TIMEOUT, with_link};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{SmtpTransport, Transport};

pub(super) fn deliver(
    target: &Target,
    message: &Message,
    link: Option<&str>,
    sender: &str,
) -> Result<(), String> {
    let Target::Mail { server, port, security, user, password, from, to } = target else {
        return Err("it is no mail".to_owned());
    };
    let mail = mail(from, to, message, link, sender)?;
    let parameters = || TlsParameters::new(server.clone()).map_err(|error| format!("TLS: {error}"));
    let tls = match security {
        Security::Starttls => Tls::Required(parameters()?),
        Security::Tls => Tls::Wrapper(parameters()?),
        Security::None => Tls::None,
    };
    let mut transport = SmtpTransport::builder_dangerous(server.as_str())
        .port(*port)
        .tls(tls)
        .timeout(Some(TIMEOUT));
    if let (Some(user), Some(password)) = (user, password) {
        transport = transport.credentials(Credentials::new(user.clone(), password.clone()));
    }
    let sent = transport.build().send(&mail);
    sent.map(|_| ()).map_err(|error| cause(&error))
}

/// What went wrong, with what that came from.
fn cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn mailbox(text: &str) -> Option<Mailbox> {
    text.parse().ok()
}

/// Whether this is a mail address, as people write it.
pub(super) fn is_mailbox(text: &str) -> bool {
    mailbox(text).is_some()
}

fn mail(
    from: &str,
    to: &[String],
    message: &Message,
    link: Option<&str>,
    sender: &str,
) -> Result<lettre::Message, String> {
    let bad = |what: &str| format!("{what} is no mail address");
    let from = mailbox(from).ok_or_else(|| bad(from))?;
    let domain = from.email.domain().to_owned();
    // The same number is the same mail: programs that see it twice show it once.
    let id = format!("<{sender}-{}-{}@{domain}>", message.id, message.at.as_millis());
    let mut mail =
        lettre::Message::builder().from(from).subject(&message.title).message_id(Some(id));
    for address in to {
        mail = mail.to(mailbox(address).ok_or_else(|| bad(address))?);
    }
    mail.header(ContentType::TEXT_PLAIN)
        .body(with_link(message, link))
        .map_err(|error| cause(&error))
}
