//! One host's state, and how events change it.
//!
//! Invariant: [`HostState::apply`] is the only way to change a host. It is pure: what must be
//! stored, sent or shown goes out as [`HostEffect`]s. The host's actor carries them out.

mod agent_says;
mod apply;
mod commands;
mod echoes;
mod event;
mod goal;
mod merge;
mod old_agent;
mod outcome;
mod overrides;
mod preconditions;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod user_asks;

pub use event::{About, HostEffect, HostEvent, Job, Registration, Report, TestSetup, Work};
pub use overrides::{Change, NotAWord, Set};
pub use state::{HostState, NewId, Restored};
