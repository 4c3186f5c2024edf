//! The floor: a bare actix and WebSocket server that parses what agents say, and does nothing.
//!
//! It is the least that any dashboard on these libraries costs. What NixFleet costs is told
//! as a multiple of it, measured in the same run.

use actix::{Actor, StreamHandler};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_web_actors::ws::{self, ProtocolError, WebsocketContext};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// As the dashboard's.
const MAX_FRAME: usize = 1024 * 1024;
/// As the dashboard's.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Serves until it is killed.
pub(crate) fn serve() -> anyhow::Result<()> {
    actix_rt::System::new().block_on(async {
        let server = HttpServer::new(|| App::new().route("/ws", web::get().to(connect)))
            .workers(2)
            .bind("127.0.0.1:0")?;
        if let Some(address) = server.addrs().first() {
            println!("floor: http://{address}");
        }
        server.run().await?;
        Ok(())
    })
}

async fn connect(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    ws::WsResponseBuilder::new(Floor { parsed: 0 }, &request, body).frame_size(MAX_FRAME).start()
}

struct Floor {
    parsed: u64,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "that they are read out of the frame is what is measured")]
struct Heartbeat {
    generation: String,
    nixpkgs_version: String,
    pending_command: Option<String>,
    command_pid: Option<i64>,
    metrics: Option<Metrics>,
    lock_hash: Option<String>,
    source_commit: Option<String>,
    store_path: Option<String>,
    binary_hash: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "that they are read out of the frame is what is measured")]
struct Metrics {
    cpu: f64,
    ram: f64,
    swap: f64,
    load: f64,
}

impl Actor for Floor {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        use actix::AsyncContext as _;
        ctx.run_interval(PING_EVERY, |_, ctx| ctx.ping(b""));
    }
}

impl Floor {
    fn text(&mut self, frame: &str, ctx: &mut WebsocketContext<Self>) {
        let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(frame) else {
            return;
        };
        if envelope.r#type == "register" {
            ctx.text(r#"{"type":"registered","payload":{"host_id":"any"}}"#);
            return;
        }
        if serde_json::from_str::<Heartbeat>(envelope.payload.get()).is_ok() {
            self.parsed += 1;
        }
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for Floor {
    fn handle(&mut self, item: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        use actix::ActorContext as _;
        match item {
            Ok(ws::Message::Text(frame)) => self.text(&frame, ctx),
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Close(_)) | Err(_) => ctx.stop(),
            Ok(_) => {}
        }
    }
}
