//! What is true: the rules of the product, as data and pure functions.
//!
//! This room knows no I/O, no actors, no clock and no async. Time comes in as an
//! argument, facts come in as values, and what should be done goes out as values.

pub mod audit;
pub mod bounds;
pub mod closure_diff;
pub mod command;
pub mod compartment;
pub mod deploy;
pub mod deployed;
pub mod desired;
pub mod disk;
pub mod facts;
pub mod flake_lock;
pub mod forge;
pub mod generation;
pub mod group;
pub mod guard;
pub mod hold;
pub mod host;
pub mod ids;
pub mod looks;
pub mod maintenance;
pub mod message;
pub mod moment;
pub mod next_step;
pub mod operation;
pub mod profile;
pub mod protocol;
pub mod refusal;
pub mod repeated;
pub mod rollout;
pub mod scope;
pub mod signed;
pub mod snapshot;
pub mod tag;
pub mod tally;
pub mod terminal;
pub mod test_report;
pub mod timestamp;
pub mod why;
