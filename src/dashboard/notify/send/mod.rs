//! Brings a message to where it should be. Blocks: it has a thread of its own, and a time.

mod mail;
mod web;

use super::core::{Channel, Message, Target};
use std::time::Duration;

/// How long one delivery may take in all.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Delivers a message. The error says why not, without a secret in it. `link` is the dashboard's
/// address, and `sender` what tells this dashboard's messages from those of others.
pub(super) fn deliver(
    channel: &Channel,
    message: &Message,
    link: Option<&str>,
    sender: &str,
) -> Result<(), String> {
    match &channel.target {
        Target::Mail { .. } => mail::deliver(&channel.target, message, link, sender),
        Target::Ntfy { .. }
        | Target::Webhook { .. }
        | Target::Slack { .. }
        | Target::Discord { .. }
        | Target::Matrix { .. } => web::deliver(&channel.target, message, link, sender),
    }
}

/// Whether this is a mail address, as people write it.
pub(super) fn is_mailbox(text: &str) -> bool {
    mail::is_mailbox(text)
}

/// Calls the address of a heartbeat.
pub(super) fn beat(url: &str) -> Result<(), String> {
    web::beat(url)
}

/// The body, with the dashboard's address below it.
fn with_link(message: &Message, link: Option<&str>) -> String {
    match link {
        Some(link) => format!("{}\n{link}", message.body),
        None => message.body.clone(),
    }
}
