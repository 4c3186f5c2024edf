//! What a dashboard says, field by field.

use super::facts::GuardWord;
use crate::domain::ids::CommandId;
use crate::domain::operation::{Args, Regardless};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `registered`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Registered {
    /// Id under which the dashboard knows the host.
    pub host_id: String,
    /// Version of the protocol that the dashboard speaks; absent: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// The dashboard's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard_version: Option<String>,
    /// Per job of the agent, the last number the dashboard has stored.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resume: BTreeMap<CommandId, u64>,
    /// What the dashboard can do, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// What `register` said of a guarded switch, repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardWord>,
}

/// `command`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandMessage {
    /// Name of the operation, or `stop`.
    pub command: String,
    /// Protocol 4: the command's id; of `stop`: the one to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
    /// Protocol 4: what the operation is asked with.
    #[serde(default, deserialize_with = "known_args", skip_serializing_if = "Option::is_none")]
    pub args: Option<Args>,
    /// Of what builds: paths that the host went back from. A build that comes to one of them is
    /// `blocked` by `held`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
}

/// Arguments that this version does not know are ignored, as all fields on the wire are.
fn known_args<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Args>, D::Error> {
    let Some(mut told) = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(from)?
    else {
        return Ok(None);
    };
    told.retain(|name, value| Args::NAMES.contains(&name.as_str()) && !value.is_null());
    if let Some(serde_json::Value::Array(keys)) = told.get_mut("regardless") {
        keys.retain(|key| serde_json::from_value::<Regardless>(key.clone()).is_ok());
    }
    let args = serde_json::from_value(serde_json::Value::Object(told));
    args.map(Some).map_err(serde::de::Error::custom)
}

/// `ack`, protocol 4: everything up to and including `seq` is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The command's id.
    pub command_id: CommandId,
    /// The highest number of which all up to it is stored.
    pub seq: u64,
}

/// `released`, protocol 4: what these commands left, or brought, is held no more. Sent when that
/// happens, and after `registered` as often as the agent repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Their ids.
    pub command_ids: Vec<CommandId>,
}
