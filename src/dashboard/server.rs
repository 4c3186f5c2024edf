//! The web server: HTTP/1.1, plain or over TLS.

use super::config::DashboardConfig;
use super::http::{self, AgentDoor, App};
use super::tls::Certificates;
use crate::base::process;
use actix_http::HttpService;
use actix_server::Server;
use actix_service::map_config;
use actix_web::dev::AppConfig;
use actix_web::middleware::{Compress, from_fn};
use actix_web::{HttpServer, web};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Threads that answer requests.
const WORKERS: usize = 2;
/// What is being answered has so many seconds when the dashboard stops.
const STOP_WITHIN: u64 = 5;
/// A connection on which nothing is asked is kept for so long. Proxies keep theirs for a minute, and
/// take one that was just closed for a dashboard that is down.
const KEPT_IDLE: Duration = Duration::from_secs(75);

/// Listens. Answers the server and the address that it got.
pub(super) fn start(
    config: Arc<DashboardConfig>,
    certificates: Option<&Arc<Certificates>>,
    app: web::Data<App>,
    door: web::Data<AgentDoor>,
) -> io::Result<(Server, SocketAddr)> {
    let listen = config.listen;
    let connections = http::Connections::within(process::raise_descriptor_limit());
    let (counted, most) = (connections.clone(), connections.most() / WORKERS);
    let make = move || {
        let connections = connections.clone();
        let answer = move |request, next| connections.clone().answer(request, next);
        actix_web::App::new()
            .app_data(app.clone())
            .app_data(door.clone())
            .wrap(Compress::default())
            .wrap(http::headers(&config))
            .wrap(from_fn(answer))
            .configure(http::configure)
    };
    let Some(certificates) = certificates else {
        let server = HttpServer::new(make).on_connect(move |_, data| counted.opened(data));
        let server = server.workers(WORKERS).max_connections(most).shutdown_timeout(STOP_WITHIN);
        let server = server.keep_alive(KEPT_IDLE).disable_signals().bind(listen)?;
        let bound = server.addrs().first().copied().unwrap_or(listen);
        return Ok((server.run(), bound));
    };
    // Not by way of HttpServer: it would offer HTTP/2 too.
    let tls = certificates.server_config().map_err(io::Error::other)?;
    // As many may be in their handshake as there may be connections. It ends after 3 s.
    actix_tls::accept::max_concurrent_tls_connect(most);
    let listener = TcpListener::bind(listen)?;
    let bound = listener.local_addr()?;
    let server = Server::build()
        .workers(WORKERS)
        .max_concurrent_connections(most)
        .shutdown_timeout(STOP_WITHIN)
        .disable_signals()
        .listen("nixfleet-tls", listener, move || {
            let counted = counted.clone();
            let app = map_config(make(), |()| AppConfig::default());
            let service = HttpService::build().on_connect_ext(move |_, data| counted.opened(data));
            service.keep_alive(KEPT_IDLE).h1(app).rustls_0_23(tls.clone())
        })?;
    Ok((server.run(), bound))
}
