//! nixfleet: one row per machine that says whether it is current, and never lies.
//!
//! The map of the house, and the direction in which its rooms know each other:
//!
//! ```text
//! domain  <-  store, sources, views, protocol  <-  actors, sockets  <-  api, pages
//! domain, protocol  <-  agent          agent and dashboard never import each other
//! ```

pub mod agent;
pub mod base;
pub mod cli;
pub mod dashboard;
pub mod demo;
pub mod domain;
mod process;
pub mod protocol;
