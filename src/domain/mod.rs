//! What is true: the rules of the product, as data and pure functions.
//!
//! This room knows no I/O, no actors, no clock and no async. Time comes in as an
//! argument, facts come in as values, and what should be done goes out as values.

pub mod audit;
pub mod closure_diff;
pub mod command;
pub mod compartment;
pub mod desired;
pub mod facts;
pub mod generation;
pub mod host;
pub mod ids;
pub mod looks;
pub mod message;
pub mod operation;
pub mod profile;
pub mod protocol;
pub mod refusal;
pub mod rollout;
pub mod snapshot;
pub mod terminal;
pub mod test_report;
pub mod timestamp;
