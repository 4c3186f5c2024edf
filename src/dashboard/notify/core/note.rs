//! What waits to be told.

use super::Kind;
use crate::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// What a note says of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It began.
    Opened,
    /// It is over.
    Ended,
    /// It began and is over before anybody was told.
    Over,
    /// It has no end.
    Point,
}

/// Something that waits to be told to a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) kind: Kind,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) phase: Phase,
    pub(super) since: Timestamp,
    pub(super) ended: Option<Timestamp>,
    pub(super) noted_at: Timestamp,
}
