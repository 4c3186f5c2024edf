//! The link to the dashboard: connect, and come back for ever.

use super::session::{Ended, Quit, Session, Socket};
use super::{Agent, tls};
use crate::base::resident;
use crate::protocol::MAX_FRAME_BYTES;
use std::time::{Duration, Instant};

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// First and longest wait before the next try.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The wait before the next try while a guarded switch is to be confirmed.
const CONFIRM_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked for one in a pause.
const LOOK: Duration = Duration::from_millis(500);
/// How long an agent pauses that another one has replaced: two machines use one name.
const REPLACED: Duration = Duration::from_secs(60);

/// Connects, and connects again, until the agent is told to restart or to end.
pub(crate) async fn run(agent: &mut Agent, mut quit: Quit) {
    let mut wait = BACKOFF.0;
    let mut complained = String::new();
    loop {
        let mut session_began = false;
        if let Some(word) = agent.jobs.unconfirmed() {
            agent.jobs.tries_to_confirm(&word);
        }
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
            Ended::DashboardRestarts | Ended::Confirming => continue,
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
                if wait == BACKOFF.1 {
                    resident::give_back();
                }
                pause
            }
        };
        tokio::select! {
            () = rest(agent, pause) => {}
            () = &mut quit => return,
        }
    }
}

/// Waits for the next try. A guarded switch that is to be confirmed has no time for a long pause.
async fn rest(agent: &Agent, pause: Duration) {
    let began = Instant::now();
    while began.elapsed() < pause {
        if began.elapsed() >= CONFIRM_EVERY && agent.jobs.unconfirmed().is_some() {
            return;
        }
        actix_rt::time::sleep(LOOK.min(pause.saturating_sub(began.elapsed()))).await;
    }
}

async fn connect(agent: &Agent) -> Result<Socket, String> {
    let token = format!("Bearer {}", agent.config.token.expose());
    let config = &agent.config;
    let request = tls::client(&config.url, config.ca.as_deref(), CONNECT_WITHIN)?
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
        Ok(Err(error)) => Err(format!("cannot connect: {}", tls::why(&error))),
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
