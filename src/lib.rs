//! nixfleet: one row per machine that says whether it is current, and never lies.
//!
//! docs/ARCHITECTURE.md has the map of the house, and the direction in which its rooms know
//! each other.

pub mod agent;
pub mod base;
pub mod cli;
pub mod client;
pub mod dashboard;
pub mod demo;
pub mod domain;
pub mod protocol;
