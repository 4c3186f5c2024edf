//! The link to the dashboard: connect, register, report, carry out, and come back for ever.

use super::facts::{self, Facts};
use super::follower::Follower;
use super::jobs::{Jobs, Order};
use super::metrics::Meter;
use super::site::Site;
use crate::agent::config::{AgentConfig, Platform};
use crate::domain::generation::Generation;
use crate::domain::ids::CommandId;
use crate::domain::operation::Operation;
use crate::protocol::{
    self, Ack, AgentMessage, CommandAccepted, CommandMessage, CommandRejected, DashboardMessage,
    Heartbeat, MAX_FRAME_BYTES, Register, Registered,
};
use actix_rt::time::{Instant, interval_at};
use awc::ws::{CloseCode, Frame, Message};
use awc::{BoxedSocket, ws};
use futures_util::{SinkExt, StreamExt};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// The agent's own pings.
const PING_EVERY: Duration = Duration::from_secs(10);
/// A link that was silent for so long is dropped.
const SILENT_FOR: Duration = Duration::from_secs(45);
/// How often the spools of running jobs are looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(50);
/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// First and longest wait before the next try.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

type Socket = actix_codec::Framed<BoxedSocket, ws::Codec>;

/// Why a link ended.
#[derive(Debug)]
enum Ended {
    /// The dashboard restarts: come back at once.
    Restarting,
    /// Anything else, in words.
    Because(String),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Because(format!("this agent's files cannot be used: {error}"))
    }
}

/// The agent while it runs.
pub struct Connection {
    config: AgentConfig,
    site: Site,
    jobs: Jobs,
    facts: Facts,
    meter: Meter,
    binary_hash: Option<String>,
    followers: BTreeMap<CommandId, Follower>,
    told_generations: Vec<Generation>,
    restart: bool,
}

impl Connection {
    /// Prepares the agent. Fails if its directories cannot be used.
    pub fn new(config: AgentConfig) -> io::Result<Self> {
        let site = Site::of(&config);
        Ok(Self {
            jobs: Jobs::open(&config.state_dir)?,
            facts: Facts::new(site.clone()),
            meter: Meter::new(),
            binary_hash: facts::binary_hash(),
            followers: BTreeMap::new(),
            told_generations: Vec::new(),
            restart: false,
            site,
            config,
        })
    }

    /// Whether it was told to restart.
    pub fn is_restarting(&self) -> bool {
        self.restart
    }

    /// Connects, and connects again, until the agent is told to restart.
    pub async fn run(&mut self) {
        let mut wait = BACKOFF.0;
        let mut complained = String::new();
        while !self.restart {
            let mut registered = false;
            let ended = match self.connect().await {
                Ok(socket) => self.serve(socket, &mut registered).await,
                Err(why) => Ended::Because(why),
            };
            if registered {
                wait = BACKOFF.0;
                complained.clear();
            }
            let Ended::Because(why) = ended else { continue };
            // Each trouble is told once, not with every try.
            if why != complained {
                log::warn!("{}: {why}; trying again", self.config.url);
                complained = why;
            }
            actix_rt::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn connect(&self) -> Result<Socket, String> {
        let token = format!("Bearer {}", self.config.token.expose());
        let request = awc::Client::builder()
            .timeout(CONNECT_WITHIN)
            .disable_redirects()
            .finish()
            .ws(&self.config.url)
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

    /// One link, from `register` to its end.
    async fn serve(&mut self, mut socket: Socket, registered: &mut bool) -> Ended {
        self.followers.clear();
        self.told_generations.clear();
        let begun = async {
            let register = AgentMessage::Register(Box::new(self.register()?));
            send(&mut socket, &register).await
        };
        if let Err(ended) = begun.await {
            return ended;
        }
        let now = Instant::now();
        let mut beat = interval_at(now + self.config.interval, self.config.interval);
        let mut ping = interval_at(now + PING_EVERY, PING_EVERY);
        let mut follow = interval_at(now + FOLLOW_EVERY, FOLLOW_EVERY);
        let mut heard = now;
        loop {
            let following = *registered && !self.followers.is_empty();
            let done = tokio::select! {
                frame = socket.next() => {
                    heard = Instant::now();
                    match frame {
                        Some(Ok(frame)) => self.frame(frame, &mut socket, registered).await,
                        Some(Err(error)) => Err(Ended::Because(format!("the link broke: {error}"))),
                        None => Err(Ended::Because("the link was closed".to_owned())),
                    }
                }
                _ = beat.tick(), if *registered => self.beat(&mut socket).await,
                _ = ping.tick() => {
                    if heard.elapsed() >= SILENT_FOR {
                        Err(Ended::Because("the dashboard was silent for too long".to_owned()))
                    } else {
                        write(&mut socket, Message::Ping(actix_web::web::Bytes::new())).await
                    }
                }
                _ = follow.tick(), if following => self.follow(&mut socket).await,
            };
            if let Err(ended) = done {
                return ended;
            }
            if self.restart {
                let _ = write(&mut socket, Message::Close(None)).await;
                return Ended::Restarting;
            }
        }
    }

    fn register(&mut self) -> io::Result<Register> {
        Ok(Register {
            hostname: self.config.hostname.clone(),
            host_type: match self.config.platform {
                Platform::Darwin => "macos",
                Platform::HomeManager if cfg!(target_os = "macos") => "macos",
                Platform::NixOs | Platform::HomeManager => "nixos",
            }
            .to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            os_version: facts::os_version(),
            nixpkgs_version: String::new(),
            generation: self.facts.checkout(),
            theme_color: self.config.theme_color.clone(),
            heartbeat_interval: self.config.interval.as_secs_f64(),
            location: self.config.location.clone(),
            device_type: self.config.device_type.clone(),
            repo_url: without_password(self.config.repo_url.as_deref().unwrap_or_default()),
            repo_dir: self.config.repo_dir.to_string_lossy().into_owned(),
            source_commit: option_env!("NIXFLEET_COMMIT").map(str::to_owned),
            store_path: facts::own_store_path(),
            binary_hash: self.binary_hash.clone(),
            protocol: Some(protocol::VERSION),
            features: vec!["jobs".to_owned(), "test-results".to_owned()],
            platform: Some(self.config.platform.name().to_owned()),
            boot_time: facts::boot_time(),
            branch: Some(self.config.branch.clone()),
            tests: Some(self.facts.tests()),
            system: Some(self.facts.system()),
            generations: self.facts.generations(),
            jobs: Some(self.jobs.report()?),
            lock_hash: self.facts.lock_hash(),
            boot_id: None,
            agent_started: None,
        })
    }

    async fn beat(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        // A job that nobody follows yet may have lost its supervisor: this finds out.
        let running = self.jobs.running()?;
        // Until its outcome is told, a command runs as far as the dashboard can know.
        let open = self.followers.values().find(|f| f.is_open()).map(|f| (f.job.id, f.op()));
        let work = running.or(open);
        let generations = self.facts.generations();
        let changed = generations != self.told_generations;
        let beat = AgentMessage::Heartbeat(Box::new(Heartbeat {
            generation: self.facts.checkout(),
            nixpkgs_version: String::new(),
            pending_command: work.map(|(_, op)| op.name().to_owned()),
            command_pid: None,
            metrics: self.meter.measure(),
            lock_hash: self.facts.lock_hash(),
            source_commit: None,
            store_path: None,
            binary_hash: None,
            command_id: work.map(|(id, _)| id),
            system: Some(self.facts.system()),
            tests: Some(self.facts.tests()),
            generations: changed.then(|| generations.clone()),
        }));
        self.told_generations = generations;
        send(socket, &beat).await
    }

    /// Sends what the spools have that the dashboard does not.
    async fn follow(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        let mut messages = Vec::new();
        for follower in self.followers.values_mut() {
            messages.extend(follower.next()?);
        }
        for message in &messages {
            send(socket, message).await?;
        }
        Ok(())
    }

    async fn frame(
        &mut self,
        frame: Frame,
        socket: &mut Socket,
        registered: &mut bool,
    ) -> Result<(), Ended> {
        match frame {
            Frame::Text(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                match DashboardMessage::parse(&text) {
                    Ok(Some(message)) => self.message(message, socket, registered).await,
                    Ok(None) => Ok(()),
                    Err(error) => {
                        log::warn!("a frame of the dashboard is not understood: {error}");
                        Ok(())
                    }
                }
            }
            Frame::Ping(payload) => write(socket, Message::Pong(payload)).await,
            Frame::Pong(_) | Frame::Binary(_) | Frame::Continuation(_) => Ok(()),
            Frame::Close(reason) => {
                let _ = write(socket, Message::Close(None)).await;
                Err(match reason {
                    Some(reason) if reason.code == CloseCode::Restart => Ended::Restarting,
                    Some(reason) => {
                        let said = reason.description.unwrap_or_default();
                        Ended::Because(format!("the dashboard closed the link: {said}"))
                    }
                    None => Ended::Because("the dashboard closed the link".to_owned()),
                })
            }
        }
    }

    async fn message(
        &mut self,
        message: DashboardMessage,
        socket: &mut Socket,
        registered: &mut bool,
    ) -> Result<(), Ended> {
        match message {
            DashboardMessage::Registered(answer) => {
                log::info!("{}: connected as {}", self.config.url, answer.host_id);
                *registered = true;
                self.resume(&answer)?;
                self.beat(socket).await?;
                self.follow(socket).await
            }
            DashboardMessage::Command(command) if *registered => {
                self.command(&command, socket).await
            }
            DashboardMessage::Ack(Ack { command_id, seq }) => {
                let Some(follower) = self.followers.get_mut(&command_id) else {
                    return Ok(());
                };
                if follower.acked(seq) {
                    let job = follower.job.clone();
                    self.followers.remove(&command_id);
                    self.jobs.acknowledge(&job)?;
                    return Ok(());
                }
                self.follow(socket).await
            }
            // Nobody is believed before they have answered `register`.
            DashboardMessage::Command(_) => Ok(()),
        }
    }

    /// Takes up every job where the dashboard has it.
    fn resume(&mut self, answer: &Registered) -> io::Result<()> {
        for job in self.jobs.list()? {
            let Some(order) = job.order()? else { continue };
            let stored = answer.resume.get(&job.id).copied().unwrap_or(0);
            let outcome = job.outcome()?;
            if outcome.is_some_and(|outcome| stored > outcome.last_seq) {
                self.jobs.acknowledge(&job)?;
                continue;
            }
            self.followers.insert(job.id, Follower::new(job, order.op, stored));
        }
        Ok(())
    }

    async fn command(
        &mut self,
        command: &CommandMessage,
        socket: &mut Socket,
    ) -> Result<(), Ended> {
        if command.command == "stop" {
            return self.stop(command.command_id, socket).await;
        }
        if matches!(command.command.as_str(), "refresh-all" | "refresh-lock" | "refresh-system") {
            return self.beat(socket).await;
        }
        let rejected = |reason: String| CommandRejected {
            reason,
            current_command: None,
            current_pid: None,
            command_id: command.command_id,
            current_command_id: None,
        };
        let answer = match (Operation::parse(&command.command), command.command_id) {
            (None, _) => Err(rejected(format!("This agent does not know `{}`.", command.command))),
            (_, None) => Err(rejected("A command needs a command_id.".to_owned())),
            (Some(Operation::RestartAgent), Some(command_id)) => {
                log::info!("told to restart");
                self.restart = true;
                Ok(CommandAccepted { command_id, pid: None })
            }
            (Some(op), Some(command_id)) => {
                let args = command.args.clone().unwrap_or_default();
                let order = Order { command_id, op, args, site: self.site.clone() };
                log::info!("{op} {command_id}");
                self.jobs.start(&order).map_or_else(
                    |refused| {
                        let mut answer = rejected(refused.reason);
                        answer.current_command =
                            refused.current.map(|(_, op)| op.name().to_owned());
                        answer.current_command_id = refused.current.map(|(id, _)| id);
                        Err(answer)
                    },
                    |pid| Ok(CommandAccepted { command_id, pid: Some(pid) }),
                )
            }
        };
        match answer {
            Ok(accepted) => {
                let known = self.followers.contains_key(&accepted.command_id);
                let jobs = if known { Vec::new() } else { self.jobs.list()? };
                for job in jobs.into_iter().filter(|job| job.id == accepted.command_id) {
                    if let Some(order) = job.order()? {
                        self.followers.insert(job.id, Follower::new(job, order.op, 0));
                    }
                }
                send(socket, &AgentMessage::CommandAccepted(accepted)).await
            }
            Err(rejected) => {
                log::warn!("{} refused: {}", command.command, rejected.reason);
                send(socket, &AgentMessage::CommandRejected(rejected)).await
            }
        }
    }

    async fn stop(&mut self, id: Option<CommandId>, socket: &mut Socket) -> Result<(), Ended> {
        let jobs = self.jobs.list()?;
        let mut stopped = false;
        for job in jobs.iter().filter(|job| id.is_none_or(|id| job.id == id)) {
            stopped |= self.jobs.stop(job)?;
        }
        if stopped || self.followers.values().any(Follower::is_open) {
            return Ok(());
        }
        let rejected = CommandRejected {
            reason: "Nothing runs that could be stopped.".to_owned(),
            current_command: None,
            current_pid: None,
            command_id: id,
            current_command_id: None,
        };
        send(socket, &AgentMessage::CommandRejected(rejected)).await
    }
}

async fn send(socket: &mut Socket, message: &AgentMessage) -> Result<(), Ended> {
    write(socket, Message::Text(message.to_frame().into())).await
}

async fn write(socket: &mut Socket, message: Message) -> Result<(), Ended> {
    let sent = socket.send(message).await;
    sent.map_err(|error| Ended::Because(format!("the link broke: {error}")))
}

/// Half to all of the time, so that a fleet does not come back all at once.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [128_u8];
    // Without random numbers it is the middle.
    let _ = getrandom::fill(&mut byte);
    wait.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
}

/// The repository's address as others may see it.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            format!("{scheme}://{}", &rest[user.len() + 1..])
        }
        Some(_) | None => url.to_owned(),
    }
}
