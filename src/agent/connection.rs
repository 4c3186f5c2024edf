//! The link to the dashboard: connect, and come back for ever.

use super::session::{Ended, Quit, Session, Socket};
use super::{Agent, tls};
use crate::protocol::MAX_FRAME_BYTES;
use std::time::Duration;

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// First and longest wait before the next try.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long an agent pauses that another one has replaced: two machines use one name.
const REPLACED: Duration = Duration::from_secs(60);

/// Connects, and connects again, until the agent is told to restart or to end.
pub(crate) async fn run(agent: &mut Agent, mut quit: Quit) {
    let mut wait = BACKOFF.0;
    let mut complained = String::new();
    loop {
        let mut session_began = false;
        let connecting = Box::pin(connect(agent));
        let socket = tokio::select! {
            socket = connecting => socket,
            () = &mut quit => return,
        };
        let ended = match socket {
            Ok(socket) => {
                let mut session = Session::new(agent, socket);
                let ended = session.serve(&mut quit).await;
                session_began = session.is_registered();
                ended
            }
            Err(why) => Ended::Because(why),
        };
        if session_began {
            wait = BACKOFF.0;
            complained.clear();
        }
        let pause = match ended {
            Ended::Quitting => return,
            Ended::DashboardRestarts => continue,
            Ended::Replaced => {
                log::warn!("another agent uses the name of this host; pausing");
                REPLACED
            }
            Ended::Because(why) => {
                // Each trouble is told once, not with every try.
                if why != complained {
                    log::warn!("{}: {why}; trying again", agent.config.url);
                    complained = why;
                }
                let pause = jittered(wait);
                wait = (wait * 2).min(BACKOFF.1);
                pause
            }
        };
        tokio::select! {
            () = actix_rt::time::sleep(pause) => {}
            () = &mut quit => return,
        }
    }
}

async fn connect(agent: &Agent) -> Result<Socket, String> {
    let token = format!("Bearer {}", agent.config.token.expose());
    let request = tls::client(&agent.config.url, CONNECT_WITHIN)?
        .ws(&agent.config.url)
        .header(awc::http::header::AUTHORIZATION, token)
        .max_frame_size(MAX_FRAME_BYTES);
    let connecting = actix_rt::time::timeout(CONNECT_WITHIN, request.connect());
    match connecting.await {
        Ok(Ok((_, socket))) => Ok(socket),
        Ok(Err(awc::error::WsClientError::InvalidResponseStatus(status))) => {
            Err(match status.as_u16() {
                401 => "the dashboard refused the token of NIXFLEET_TOKEN".to_owned(),
                _ => format!("the dashboard answered {status}; is NIXFLEET_URL right?"),
            })
        }
        Ok(Err(error)) => Err(format!("cannot connect: {error}")),
        Err(_) => Err("cannot connect: no answer in time".to_owned()),
    }
}

/// Half to all of the time, so that a fleet does not come back all at once.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [128_u8];
    // Without random numbers it is the middle.
    let _ = getrandom::fill(&mut byte);
    wait.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
}
