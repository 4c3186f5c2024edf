//! Hosts that mean harm, on a thread of their own: their work takes no time from the good ones.

use crate::frames;
use crate::wire::{self, Kind, Link};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

/// How long one waits that was thrown out.
const PAUSE: Duration = Duration::from_millis(20);
/// How many half-open connections one keeps.
const HALF_OPEN: usize = 300;
/// A commit that nobody has.
const NO_COMMIT: &str = "0badc0de0badc0de0badc0de0badc0de0badc0de";

/// What one host does, for as long as it is let.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Harm {
    /// Heartbeats as fast as the socket takes them.
    Flood,
    /// Messages of almost 1 MiB, as fast as the socket takes them.
    Huge,
    /// Frames that say they are endless.
    Endless,
    /// Bytes that are no frames.
    Garbage,
    /// Requests that never end, and links that never register.
    HalfOpen,
    /// Asks without end and reads nothing.
    Deaf,
    /// Tokens and passwords, one after the other.
    Guesses,
    /// The names of others, and their commands.
    Others,
    /// Jobs, commits and names that it made up, as many as fit.
    MadeUp,
    /// Lines of output without end, full of escapes.
    Output,
}

impl Harm {
    pub(crate) const ALL: [Self; 10] = [
        Self::Flood,
        Self::Huge,
        Self::Endless,
        Self::Garbage,
        Self::HalfOpen,
        Self::Deaf,
        Self::Guesses,
        Self::Others,
        Self::MadeUp,
        Self::Output,
    ];
}

/// What is known to those who mean harm.
#[derive(Default)]
pub(crate) struct Known {
    /// Commands of other hosts, the newest last.
    commands: Mutex<VecDeque<String>>,
    /// Bytes that were sent.
    pub(crate) bytes: AtomicU64,
    /// How often one began anew: it was thrown out, or had done what it does.
    pub(crate) begun: AtomicU64,
}

impl Known {
    /// A command of a good host.
    pub(crate) fn command(&self, id: &str) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.push_back(id.to_owned());
        if commands.len() > 20 {
            commands.pop_front();
        }
    }
}

/// Those who mean harm. They end when this goes.
pub(crate) struct Hostile {
    pub(crate) known: Arc<Known>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Hostile {
    /// Lets each of these hosts do its harm: name, token, and what it does.
    pub(crate) fn begin(
        to: SocketAddr,
        hosts: Vec<(String, String, Harm)>,
    ) -> anyhow::Result<Self> {
        let known = Arc::<Known>::default();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&known);
        let thread = std::thread::spawn(move || {
            let local = tokio::task::LocalSet::new();
            for (n, (name, token, harm)) in hosts.into_iter().enumerate() {
                let from = Ipv4Addr::new(127, 0, 66, n as u8 + 1);
                let host = Host { harm, name, token, from, to, known: Arc::clone(&shared) };
                local.spawn_local(host.live());
            }
            // An error means that nobody is there any more to end it: so it ends.
            let _ = local.block_on(&runtime, ended);
        });
        Ok(Self { known, end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Host {
    harm: Harm,
    name: String,
    token: String,
    from: Ipv4Addr,
    to: SocketAddr,
    known: Arc<Known>,
}

impl Host {
    async fn live(self) {
        loop {
            self.known.begun.fetch_add(1, Ordering::Relaxed);
            // To be thrown out is what it must expect.
            if let Err(error) = self.once().await {
                log::info!("{:?}: {error:#}", self.harm);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn once(&self) -> anyhow::Result<()> {
        match self.harm {
            Harm::Flood => {
                let beat = frames::heartbeat(NO_COMMIT, 1, 3);
                self.repeat(Kind::Text, beat.as_bytes(), 64).await
            }
            Harm::Huge => {
                let huge = json!({ "type": "heartbeat", "payload": "x".repeat(1_000_000) });
                self.repeat(Kind::Text, huge.to_string().as_bytes(), 1).await
            }
            Harm::Deaf => self.repeat(Kind::Ping, &[b'x'; 125], 512).await,
            Harm::Output => self.output().await,
            Harm::Endless => self.endless().await,
            Harm::Garbage => self.garbage().await,
            Harm::HalfOpen => self.half_open().await,
            Harm::Guesses => self.guesses().await,
            Harm::Others => self.others().await,
            Harm::MadeUp => self.made_up().await,
        }
    }

    async fn open(&self) -> anyhow::Result<Link> {
        let header = format!("Authorization: Bearer {}\r\n", self.token);
        Link::open(self.from, self.to, "/ws", &header).await
    }

    /// A link that has registered, and told what else it has to tell.
    async fn joined(&self, register: &str, more: &[Value]) -> anyhow::Result<Link> {
        let mut link = self.open().await?;
        link.send(Kind::Text, register.as_bytes()).await?;
        for one in more {
            link.send(Kind::Text, one.to_string().as_bytes()).await?;
        }
        Ok(link)
    }

    fn register(&self) -> String {
        frames::register(&self.name, NO_COMMIT, 3, None)
    }

    async fn send(&self, link: &mut Link, bytes: &[u8]) -> anyhow::Result<()> {
        link.send_raw(bytes).await?;
        self.known.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Sends the same frame until it is thrown out, and reads nothing.
    async fn repeat(&self, kind: Kind, payload: &[u8], at_once: usize) -> anyhow::Result<()> {
        let mut link = self.joined(&self.register(), &[]).await?;
        let mut bytes = Vec::new();
        for _ in 0..at_once {
            wire::encode(kind, payload, &mut bytes);
        }
        loop {
            self.send(&mut link, &bytes).await?;
        }
    }

    async fn output(&self) -> anyhow::Result<()> {
        let working = json!({ "pending_command": "switch", "command_pid": 7 });
        let working = json!({ "type": "heartbeat", "payload": working });
        let mut link = self.joined(&self.register(), &[working]).await?;
        let line = format!("{}\u{1b}[1K", "\u{1b}[1000Cx".repeat(400));
        let output = json!({ "line": line, "stream": "stdout" });
        let output = json!({ "type": "output", "payload": output }).to_string();
        let mut bytes = Vec::new();
        (0..16).for_each(|_| wire::encode(Kind::Text, output.as_bytes(), &mut bytes));
        loop {
            self.send(&mut link, &bytes).await?;
        }
    }

    async fn endless(&self) -> anyhow::Result<()> {
        let mut link = self.open().await?;
        let mut head = vec![0x81, 0xff];
        head.extend((1_u64 << 40).to_be_bytes());
        head.extend([0; 4]);
        self.send(&mut link, &head).await?;
        let filler = vec![b'x'; 65_536];
        loop {
            self.send(&mut link, &filler).await?;
        }
    }

    async fn garbage(&self) -> anyhow::Result<()> {
        let mut link = self.open().await?;
        self.send(&mut link, &[0xff; 4096]).await?;
        link.next().await?;
        Ok(())
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.from, 0)))?;
        Ok(socket.connect(self.to).await?)
    }

    async fn half_open(&self) -> anyhow::Result<()> {
        let (mut heads, mut links) = (VecDeque::new(), VecDeque::new());
        loop {
            let mut stream = self.connect().await?;
            stream.write_all(b"GET / HTTP/1.1\r\nX-Filler: ").await?;
            heads.push_back(stream);
            links.push_back(self.open().await?);
            // The dashboard has closed the oldest by then, or this does.
            while heads.len() > HALF_OPEN {
                heads.pop_front();
            }
            while links.len() > HALF_OPEN {
                links.pop_front();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn guesses(&self) -> anyhow::Result<()> {
        let guess = self.known.begun.load(Ordering::Relaxed);
        let header = format!("Authorization: Bearer guess-{guess}\r\n");
        let guessed = Link::open(self.from, self.to, "/ws", &header).await;
        assert!(guessed.is_err(), "a made-up token opens a link");
        let mut stream = self.connect().await?;
        let body = format!("password=guess-{guess}&csrf_token=x");
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
            self.to,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }

    /// Registers as another host, and speaks of commands of others.
    async fn others(&self) -> anyhow::Result<()> {
        let other = frames::register("host-00000", NO_COMMIT, 4, None);
        let mut link = self.joined(&other, &[]).await?;
        while link.next().await.is_ok() {}
        let known = self.known.commands.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for id in known {
            let register = frames::register(&self.name, NO_COMMIT, 4, Some((&id, "pull", 3)));
            let mut link = self.joined(&register, &[]).await?;
            for frame in [
                frames::accepted(&id),
                frames::batch(&id, 1, 3, "a line of another host"),
                json!({ "type": "status", "payload": {
                    "status": "error", "command": "pull", "exit_code": 1, "command_id": id, "seq": 4,
                }})
                .to_string(),
            ] {
                link.send(Kind::Text, frame.as_bytes()).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn made_up(&self) -> anyhow::Result<()> {
        let round = self.known.begun.load(Ordering::Relaxed);
        let mut register: Value =
            serde_json::from_str(&frames::register(&self.name, NO_COMMIT, 4, None))?;
        let job = |n: usize| json!({ "command_id": format!("{round:08x}-0000-7000-8000-{n:012x}"), "op": "switch", "state": "running", "last_seq": 0 });
        register["payload"]["jobs"] = (0..256).map(job).collect();
        register["payload"]["location"] = json!("<script>".repeat(20_000));
        register["payload"]["system"]["store_path"] = json!("/nix/store/".repeat(8_000));
        let beat = |n: u64| {
            let commit = format!("{round:020x}{n:020x}");
            json!({ "type": "heartbeat", "payload": { "generation": commit } })
        };
        let beats: Vec<Value> = (0..50).map(beat).collect();
        let mut link = self.joined(&register.to_string(), &beats).await?;
        self.known.bytes.fetch_add(400_000, Ordering::Relaxed);
        let _ = tokio::time::timeout(PAUSE * 10, link.next()).await;
        Ok(())
    }
}
