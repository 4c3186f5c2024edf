//! The dashboard: web interface, SQLite, one actor per host.

pub mod clock;
pub mod messages;
pub mod store;

use crate::cli::DashboardConfig;
use actix::Addr;
use std::sync::Arc;

/// What every HTTP handler and socket can reach.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<DashboardConfig>,
    /// SQLite.
    pub store: store::Store,
    /// The time.
    pub clock: clock::Clock,
    /// Asks and tells about hosts.
    pub fleet: Fleet,
    /// Reads the fleet and joins its live updates.
    pub broadcaster: Broadcast,
}

/// The fleet actor's address.
pub type Fleet = Addr<PlaceholderFleet>;
/// The broadcaster's address.
pub type Broadcast = Addr<PlaceholderBroadcaster>;

/// Stands until `actors::fleet` exists.
pub struct PlaceholderFleet;
impl actix::Actor for PlaceholderFleet {
    type Context = actix::Context<Self>;
}
/// Stands until `actors::broadcaster` exists.
pub struct PlaceholderBroadcaster;
impl actix::Actor for PlaceholderBroadcaster {
    type Context = actix::Context<Self>;
}
