//! A message to browsers.

use bytestring::ByteString;
use serde::Serialize;

/// A piece of the page, by its id.
#[derive(Debug, Serialize)]
pub(super) struct Fragment {
    pub(super) id: String,
    /// Empty: the element goes away.
    pub(super) html: String,
    /// For an element that may be new: the id of the one before it; empty: it is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
}

/// One message to browsers.
#[derive(Debug, Serialize)]
pub(super) struct Frame {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) version: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) fragments: Vec<Fragment>,
    /// The host that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) html: Option<String>,
    /// Of a note: one with the same key is changed, and without `count` only that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<&'static str>,
}

impl Frame {
    pub(super) fn new(kind: &'static str, version: u64) -> Self {
        Frame {
            kind,
            version,
            fragments: Vec::new(),
            host: None,
            command_id: None,
            first_seq: None,
            count: None,
            html: None,
            key: None,
        }
    }

    pub(super) fn text(&self) -> ByteString {
        // Strings and numbers only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default().into()
    }
}
