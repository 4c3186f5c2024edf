//! The actors: one per host, one for the fleet, one that tells browsers, one that reads
//! the remote. They carry messages and effects; rules live in the domain.

pub mod broadcaster;
pub mod fleet;
mod frame;
pub mod host;
mod journal;
pub mod link;
pub mod rollouts;
pub mod sources;
#[cfg(test)]
mod tests;
pub mod version_fetcher;
