//! A browser's live connection: `GET /live`.

use crate::dashboard::auth::LiveSession;
use crate::dashboard::brake::{Brake, Gauge};
use crate::dashboard::http::extract::Watcher;
use crate::dashboard::live::Broadcast;
use crate::dashboard::live::broadcaster::{Browser, Join, Leave, ToBrowser, WantFullState};
use crate::dashboard::metrics;
use crate::domain::bounds;
use actix::prelude::*;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, CloseCode, CloseReason, ProtocolError, WebsocketContext};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often the dashboard pings.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A browser that was silent for so long is gone.
const SILENT_FOR: Duration = Duration::from_secs(bounds::SILENT_S);

/// Upgrades. Session and origin were checked.
pub(super) async fn connect(
    request: HttpRequest,
    body: web::Payload,
    watcher: Watcher,
) -> actix_web::Result<HttpResponse> {
    let (body, gauge) = Brake::new(body, bounds::BROWSER_FRAME);
    let socket = BrowserSocket {
        broadcaster: watcher.broadcaster,
        session: Some(watcher.session),
        gauge,
        number: None,
        waiting: Arc::new(AtomicUsize::new(0)),
        heard: Instant::now(),
    };
    ws::WsResponseBuilder::new(socket, &request, body).frame_size(bounds::BROWSER_FRAME).start()
}

/// The actor of one browser.
struct BrowserSocket {
    broadcaster: Broadcast,
    session: Option<LiveSession>,
    gauge: Rc<Gauge>,
    number: Option<usize>,
    waiting: Arc<AtomicUsize>,
    heard: Instant,
}

impl Actor for BrowserSocket {
    type Context = WebsocketContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        metrics::sockets("browser", 1);
        let browser = Browser { to: ctx.address().recipient(), waiting: Arc::clone(&self.waiting) };
        let join = self.broadcaster.send(Join(browser));
        ctx.spawn(join.into_actor(self).map(|number, act, ctx| match number {
            Ok(number) => act.number = Some(number),
            Err(_) => ctx.stop(),
        }));
        if let Some(session) = self.session.take() {
            ctx.spawn(session.over().into_actor(self).map(|(), _, ctx| {
                let description = Some("the session has ended".to_owned());
                ctx.close(Some(CloseReason { code: CloseCode::Policy, description }));
                ctx.stop();
            }));
        }
        ctx.run_interval(PING_EVERY, |act, ctx| {
            if act.heard.elapsed() >= SILENT_FOR {
                ctx.stop();
            } else {
                ctx.ping(b"");
            }
        });
    }
}

/// However a connection ends, also by a failure of this actor, the broadcaster learns of it.
impl Drop for BrowserSocket {
    fn drop(&mut self) {
        metrics::sockets("browser", -1);
        if let Some(number) = self.number {
            // Where this finds no room, the broadcaster sees by itself that nobody takes frames.
            self.broadcaster.tell(Leave(number));
        }
    }
}

impl Handler<ToBrowser> for BrowserSocket {
    type Result = ();

    fn handle(&mut self, msg: ToBrowser, ctx: &mut Self::Context) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        ctx.text(msg.0);
    }
}

impl StreamHandler<Result<ws::Message, ProtocolError>> for BrowserSocket {
    fn handle(&mut self, item: Result<ws::Message, ProtocolError>, ctx: &mut Self::Context) {
        self.heard = Instant::now();
        if item.as_ref().is_ok_and(|message| self.gauge.came_out(message)) {
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
        match item {
            Ok(ws::Message::Text(text)) if text.contains("full_state") => {
                if let Some(number) = self.number {
                    // Where this finds no room, the browser asks again at the next `sync`.
                    self.broadcaster.tell(WantFullState(number));
                }
            }
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(
                ws::Message::Text(_)
                | ws::Message::Binary(_)
                | ws::Message::Continuation(_)
                | ws::Message::Pong(_)
                | ws::Message::Nop,
            ) => {}
            Err(_) => ctx.stop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::{House, settle, taken};

    /// The guard, not a handler: so it holds also for a panic and for a socket that is only dropped.
    #[actix_rt::test]
    async fn the_broadcaster_learns_that_a_browser_is_gone_however_the_socket_ends() {
        let house = House::open();
        let (frames, number) = house.browser().await;
        drop(BrowserSocket {
            broadcaster: house.broadcaster.clone(),
            session: None,
            gauge: Rc::default(),
            number: Some(number),
            waiting: Arc::default(),
            heard: Instant::now(),
        });
        house.add("web").await.unwrap();
        house.until("it is shown", |view| view.hosts.len() == 1).await;
        settle(&house).await;
        assert!(taken(&frames.0).is_empty());
    }
}
