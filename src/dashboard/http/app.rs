//! What every HTTP handler can reach, and which rooms answer which addresses.

use super::{agent_socket, api, assets, browser_socket, pages};
use crate::dashboard::auth::Auth;
use crate::dashboard::clock::Clock;
use crate::dashboard::config::DashboardConfig;
use crate::dashboard::fleet::FleetActor;
use crate::dashboard::live::Broadcast;
use crate::dashboard::rollouts::Rollouts;
use crate::dashboard::store::Store;
use actix::Addr;
use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::web;
use std::sync::Arc;

/// What every HTTP handler can reach.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<DashboardConfig>,
    /// SQLite.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Who may do what.
    pub auth: Arc<Auth>,
    /// Asks and tells about hosts.
    pub fleet: Addr<FleetActor>,
    /// Starts rollouts and goes on with them.
    pub rollouts: Addr<Rollouts>,
    /// Reads the fleet and joins its live updates.
    pub broadcaster: Broadcast,
}

/// Mounts everything that is served.
pub fn configure(service: &mut web::ServiceConfig) {
    service
        .route("/ws", web::get().to(agent_socket::connect))
        .route("/live", web::get().to(browser_socket::connect))
        .route("/assets/{name}", web::get().to(assets::serve))
        .configure(api::configure)
        .configure(api::configure_hooks)
        .configure(pages::configure);
}

/// Security headers of every answer.
pub fn headers() -> DefaultHeaders {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                  connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, policy))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "same-origin"))
        .add((header::CACHE_CONTROL, "no-store"))
}
