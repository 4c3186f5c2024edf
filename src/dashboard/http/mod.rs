//! What the dashboard serves: parse, ask an actor, answer.
//!
//! Who calls is proved by an extractor (`extract`), what a user can do is written once
//! (`actions`), and why something is refused is said once (`error`). `api` and `pages` are two
//! skins of these.

mod actions;
mod agent_socket;
mod api;
mod app;
mod assets;
mod browser_socket;
mod cookies;
mod error;
mod exposition;
mod extract;
mod hooks;
mod pages;

pub(crate) use agent_socket::AgentDoor;
pub(crate) use api::host_list;
pub(crate) use app::{configure, headers};
pub(crate) use extract::{App, Rooms};
