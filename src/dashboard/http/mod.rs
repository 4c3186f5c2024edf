//! What the dashboard serves: parse, ask an actor, answer.

mod agent_socket;
mod api;
mod app;
mod assets;
mod browser_socket;
mod cookies;
mod exposition;
mod pages;

pub use agent_socket::AgentDoor;
pub use app::{App, configure, headers};
