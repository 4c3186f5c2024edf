//! The links of simulated hosts: each has one of its own, as an agent has.

use super::machine::{INTERVAL, Machine, Pin};
use crate::domain::timestamp::Timestamp;
use crate::protocol::{AgentMessage, DashboardMessage, MAX_FRAME_BYTES};
use actix_rt::time::{Instant, interval_at, sleep, timeout};
use awc::BoxedSocket;
use awc::ws::{Codec, Frame, Message};
use futures_util::{SinkExt, StreamExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

type Socket = actix_codec::Framed<BoxedSocket, Codec>;

/// A file of the repository: its first line names the host whose network the commit cuts.
pub(in crate::demo) const CUTS: &str = "cuts-the-network";
/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// The wait before the next try, and until an agent that ended is started again.
const COME_BACK: Duration = Duration::from_secs(1);
/// A step of what a host does, as users see it.
const STEP: Duration = Duration::from_millis(700);
/// The same while the demo puts its hosts into their states.
const QUICK: Duration = Duration::from_millis(10);

/// What all links share.
#[derive(Clone)]
pub(super) struct World {
    /// The address for agents.
    pub url: String,
    /// The bare repository that everybody follows.
    pub remote: PathBuf,
    /// The hosts are being put into their states.
    pub hurries: Arc<AtomicBool>,
    /// True when the demo ends.
    pub over: watch::Receiver<bool>,
}

/// The time of day.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Lives until the demo ends: connects, and comes back.
pub(super) async fn live(world: World, token: String, mut machine: Machine) {
    let mut over = world.over.clone();
    loop {
        let ended = tokio::select! {
            ended = link(&world, &token, &mut machine) => ended,
            _ = over.wait_for(|over| *over) => return,
        };
        match ended {
            Ok(()) if machine.stays_away() => return,
            Ok(()) => {}
            Err(why) => log::debug!("{}: {why}", machine.who.name),
        }
        tokio::select! {
            () = sleep(COME_BACK) => {}
            _ = over.wait_for(|over| *over) => return,
        }
    }
}

async fn connect(world: &World, token: &str) -> Result<Socket, String> {
    let client = awc::Client::builder().timeout(CONNECT_WITHIN).disable_redirects().finish();
    let request = client.ws(&world.url).max_frame_size(MAX_FRAME_BYTES);
    let request = request.header(awc::http::header::AUTHORIZATION, format!("Bearer {token}"));
    match timeout(CONNECT_WITHIN, request.connect()).await {
        Ok(Ok((_, socket))) => Ok(socket),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// One link, until it ends.
async fn link(world: &World, token: &str, machine: &mut Machine) -> Result<(), String> {
    let mut socket = connect(world, token).await?;
    send(&mut socket, &machine.register()).await?;
    // Not all of them in one moment.
    let spread = Duration::from_millis(machine.who.n as u64 * 37 % 5000);
    let every = Duration::from_secs(INTERVAL.into());
    let mut beat = interval_at(Instant::now() + spread, every);
    let mut registered = false;
    while !machine.leaves {
        let pause = match world.hurries.load(Ordering::Relaxed) && !machine.is_slow() {
            true => QUICK,
            false => STEP,
        };
        let answers = tokio::select! {
            frame = socket.next() => match frame {
                None => return Err("the link was closed".to_owned()),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(Frame::Ping(payload))) => {
                    let pong = socket.send(Message::Pong(payload)).await;
                    pong.map_err(|error| error.to_string())?;
                    Vec::new()
                }
                Some(Ok(Frame::Close(_))) => return Err("the link was closed".to_owned()),
                Some(Ok(Frame::Text(bytes))) => {
                    hear(world, machine, &bytes, &mut registered).await
                }
                Some(Ok(_)) => Vec::new(),
            },
            _ = beat.tick(), if registered => vec![machine.heartbeat()],
            () = sleep(pause), if machine.works() => machine.step(now()),
        };
        for answer in &answers {
            send(&mut socket, answer).await?;
        }
        if registered && machine.stays_away() {
            break;
        }
    }
    machine.leaves = false;
    // Whether the other side hears it is all the same.
    let _ = socket.send(Message::Close(None)).await;
    Ok(())
}

/// What it answers to a message.
async fn hear(
    world: &World,
    machine: &mut Machine,
    bytes: &[u8],
    registered: &mut bool,
) -> Vec<AgentMessage> {
    match DashboardMessage::parse(&String::from_utf8_lossy(bytes)) {
        Ok(Some(DashboardMessage::Registered(_))) => {
            *registered = true;
            vec![machine.heartbeat()]
        }
        Ok(Some(DashboardMessage::Command(command))) => {
            let remote = world.remote.clone();
            let head = actix_rt::task::spawn_blocking(move || read_head(&remote)).await;
            if let Ok(Some(head)) = head {
                machine.remote = head;
            }
            machine.command(&command, now())
        }
        Ok(Some(DashboardMessage::Ack(_) | DashboardMessage::Released(_)) | None) | Err(_) => {
            Vec::new()
        }
    }
}

async fn send(socket: &mut Socket, message: &AgentMessage) -> Result<(), String> {
    let sent = socket.send(Message::Text(message.to_frame().into())).await;
    sent.map_err(|error| error.to_string())
}

/// The head of the repository; `None` if git does not tell.
fn read_head(remote: &Path) -> Option<Pin> {
    read_pin(remote, "main")
}

/// A commit of the repository with its flake.lock; `None` if git does not tell.
pub(super) fn read_pin(remote: &Path, revision: &str) -> Option<Pin> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        let command = command.arg("-C").arg(remote).args(arguments).stdin(Stdio::null());
        command.output().ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    let commit = String::from_utf8(git(&["rev-parse", revision])?).ok()?.trim().to_owned();
    let lock = git(&["show", &format!("{commit}:flake.lock")])?;
    let lock = crate::base::hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(lock));
    let cuts = git(&["show", &format!("{commit}:{CUTS}")]);
    let cuts = cuts.and_then(|text| Some(String::from_utf8(text).ok()?.lines().next()?.to_owned()));
    Some(Pin { commit, lock, cuts })
}
