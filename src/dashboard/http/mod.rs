//! What the dashboard serves: parse, ask an actor, answer.
//!
//! Who calls is proved by an extractor (`extract`), what a user can do is written once
//! (`actions`), and why something is refused is said once (`error`). `api` and `pages` are two
//! skins of these.

mod actions;
mod agent_door;
mod agent_socket;
mod api;
mod app;
mod assets;
mod browser_socket;
mod connections;
mod cookies;
mod error;
mod exposition;
mod extract;
mod handing_on;
mod hooks;
mod pages;
mod wanted;

pub(crate) use agent_door::AgentDoor;
pub(crate) use api::host_list;
pub(crate) use app::{configure, headers};
pub(crate) use connections::Connections;
pub(crate) use extract::{App, Rooms};

/// For fuzzing: reads bytes as everything that a request may carry.
pub(crate) fn read_anything(bytes: &[u8]) {
    api::read_anything(bytes);
    cookies::read_anything(&String::from_utf8_lossy(bytes));
}
