//! One host's state, and how events change it.
//!
//! Invariant: [`HostState::apply`] is the only way to change a host. It is pure: what must be
//! stored, sent or shown goes out as [`HostEffect`]s. The host's actor carries them out.

mod agent_says;
mod apply;
mod away;
mod commands;
mod echoes;
mod event;
mod goal;
mod held;
mod merge;
mod old_agent;
mod outcome;
mod outcome_of_deploy;
mod outcome_of_tests;
mod overrides;
mod preconditions;
mod restrained;
mod state;
mod takeovers;
#[cfg(test)]
pub(crate) mod tests;
mod user_asks;
mod what_runs;

pub use event::{About, HostEffect, HostEvent, Job, Registration, Report, TestSetup, Told, Work};
pub use overrides::{Change, NotAWord, Set, SetTags};
pub use state::{HostState, NewId, Restored};
