//! An agent of NixFleet 3.x: it sends what protocol 3 says such an agent sends.
//!
//! This is its link: frames, and what is in them. [`super::OldHost`] is a whole host that acts
//! by itself.

use super::dashboard::TOKEN;
use super::{PATIENCE, Pipe};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

/// The write buffer of gorilla's client: it sends larger messages in fragments of this size.
const FRAGMENT: usize = 4096;

pub struct OldAgent {
    socket: WebSocket<Pipe>,
    name: String,
    pub host_type: &'static str,
    pub version: &'static str,
    /// Whether it has a clone of its own, or pulls in its owner's.
    pub own_clone: bool,
    /// What its heartbeats say.
    pub generation: String,
    pub lock_hash: Option<String>,
    pub pending: Option<String>,
    pub pid: Option<u32>,
    pub binary: (String, String),
}

/// What came from the dashboard within some time.
pub enum Heard {
    Message(Value),
    Nothing,
    /// The link is over.
    End,
}

impl OldAgent {
    /// Opens a link without saying anything. The error is the HTTP status.
    pub fn connect(url: &str, token: &str, name: &str) -> Result<Self, u16> {
        Self::open(Pipe::plain(url), url, token, name, &[])
    }

    /// The same with the shared token, through a proxy that adds headers.
    pub fn connect_with(url: &str, name: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        Self::open(Pipe::plain(url), url, TOKEN, name, headers)
    }

    /// Joins over TLS, with an authority that is trusted, in PEM. 3.x agents name no protocol.
    pub fn join_trusting(url: &str, ca: &str, name: &str, generation: &str) -> Self {
        let pipe = Pipe::tls(url, ca, &[]);
        let mut agent = Self::open(pipe, url, TOKEN, name, &[]).expect("the token is right");
        agent.generation = generation.to_owned();
        agent.register();
        agent
    }

    fn open(
        pipe: Pipe,
        url: &str,
        token: &str,
        name: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        // The pipe speaks TLS, where that is spoken.
        let (_, address) = url.split_once("://").unwrap();
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("Authorization", bearer);
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        pipe.tcp().set_read_timeout(Some(PATIENCE)).unwrap();
        match tungstenite::client(request, pipe) {
            Ok((socket, _)) => Ok(Self {
                socket,
                name: name.to_owned(),
                host_type: "nixos",
                version: "3.1.5",
                own_clone: true,
                generation: String::new(),
                lock_hash: None,
                pending: None,
                pid: None,
                binary: ("source-1".to_owned(), "binary-1".to_owned()),
            }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("no link: {error}"),
        }
    }

    /// The name of its host.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects and registers.
    pub fn join(url: &str, name: &str, generation: &str) -> Self {
        let mut agent = Self::connect(url, TOKEN, name).expect("the token is right");
        agent.generation = generation.to_owned();
        agent.register();
        agent
    }

    /// Adds the host and joins with its own token: the shared one lets in a hundred at once.
    pub fn join_added(user: &super::Client, url: &str, name: &str, generation: &str) -> Self {
        let added = user.post("/api/hosts", &json!({ "hostname": name }));
        assert_eq!(added.status, 201, "{added:?}");
        let token = added.json()["token"].as_str().unwrap().to_owned();
        let mut agent = Self::connect(url, &token, name).expect("the token is its own");
        agent.generation = generation.to_owned();
        agent.register();
        agent
    }

    /// Ends the link as a process that exits does.
    pub fn hang_up(&mut self) {
        self.socket.get_ref().tcp().shutdown(Shutdown::Both).expect("the link was open");
    }

    /// The same, where the other side may have been faster.
    pub fn hang_up_quietly(&mut self) {
        let _ = self.socket.get_ref().tcp().shutdown(Shutdown::Both);
    }

    fn say_register(&mut self) {
        let repo_url = if self.own_clone { "https://example.org/nixcfg" } else { "" };
        let payload = json!({
            "hostname": self.name, "host_type": self.host_type, "agent_version": self.version,
            "os_version": "26.05", "nixpkgs_version": "26.05pre", "generation": self.generation,
            "theme_color": "#7aa2f7", "heartbeat_interval": 5, "location": "home",
            "device_type": "server", "repo_url": repo_url,
            "repo_dir": "/var/lib/nixfleet-agent/repo",
            "source_commit": self.binary.0, "binary_hash": self.binary.1,
        });
        self.send("register", &payload);
    }

    /// Registers; false if the dashboard closes the link instead.
    pub fn try_register(&mut self) -> bool {
        self.say_register();
        match self.listen(PATIENCE) {
            Heard::Message(answer) => answer["type"] == "registered",
            Heard::Nothing | Heard::End => false,
        }
    }

    pub fn register(&mut self) {
        self.say_register();
        let answer = self.receive();
        assert_eq!(answer["type"], "registered", "{answer}");
        // Ids are compared without regard to case.
        assert_eq!(answer["payload"], json!({ "host_id": self.name.to_lowercase() }));
    }

    pub fn send(&mut self, kind: &str, payload: &Value) {
        let frame = json!({ "type": kind, "payload": payload }).to_string();
        self.send_text(&frame);
    }

    /// Sends a message in one frame, however large.
    pub fn send_whole(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the link is open");
    }

    /// Sends a message in fragments where gorilla's client does.
    pub fn send_text(&mut self, text: &str) {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(FRAGMENT).collect();
        let last = pieces.len().saturating_sub(1);
        if last == 0 {
            self.send_whole(text);
            return;
        }
        for (at, piece) in pieces.into_iter().enumerate() {
            let kind = if at == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), at == last);
            self.socket.send(Message::Frame(frame)).expect("the link is open");
        }
    }

    pub fn heartbeat(&mut self) {
        let mut payload = json!({
            "generation": self.generation, "nixpkgs_version": "26.05pre",
            "pending_command": self.pending, "command_pid": self.pid,
            "metrics": { "cpu": 12.5, "ram": 40.0, "swap": 0.0, "load": 0.3 },
            "update_status": { "git": { "status": "ok", "message": "m", "checked_at": "x" } },
            "source_commit": self.binary.0, "binary_hash": self.binary.1,
        });
        if let Some(hash) = &self.lock_hash {
            payload["lock_hash"] = json!(hash);
        }
        self.send("heartbeat", &payload);
    }

    pub fn output(&mut self, line: &str) {
        self.output_on("stdout", line);
    }

    /// It names neither the command nor the error, whatever runs.
    pub fn output_on(&mut self, stream: &str, line: &str) {
        let payload = json!({ "line": line, "stream": stream, "command": "", "is_error": false });
        self.send("output", &payload);
    }

    /// Works on a command from now on: heartbeats name it.
    pub fn begin(&mut self, command: &str) {
        self.pending = Some(command.to_owned());
        let fetches = self.own_clone && command == "pull";
        self.pid = if fetches { None } else { Some(4711) };
        self.progress(command, false);
    }

    /// Its totals are constants, whatever there is to do.
    fn progress(&mut self, command: &str, done: bool) {
        let (part, total) = match command {
            "pull" => ("pull", 4),
            "switch" | "pull-switch" => ("system", 3),
            "test" => ("tests", 8),
            _ => return,
        };
        let (current, status) = if done { (total, "complete") } else { (0, "in_progress") };
        let mut phase = json!({ "current": current, "total": total, "status": status });
        if part == "tests" {
            phase["results"] = Value::Null;
        }
        self.send("operation_progress", &json!({ "progress": { part: phase } }));
    }

    /// One `status` frame.
    pub fn status(&mut self, status: &str, command: &str, exit_code: i32, message: &str) {
        let mut payload = json!({
            "status": status, "command": command, "exit_code": exit_code,
            "generation": self.generation,
        });
        if !message.is_empty() {
            payload["message"] = json!(message);
        }
        self.send("status", &payload);
    }

    /// A command ends: its outcome, and then at once a heartbeat that still names it. Only a
    /// pull in its own clone ends without such an echo.
    pub fn end(&mut self, command: &str, exit_code: i32) {
        let fetches = self.own_clone && command == "pull";
        let (status, message) = match exit_code {
            0 => ("ok", ""),
            _ if fetches => ("error", "exit status 128"),
            _ => ("error", "command failed"),
        };
        if exit_code == 0 {
            self.progress(command, true);
        }
        self.status(status, command, exit_code, message);
        if !fetches {
            self.pending = Some(command.to_owned());
            self.heartbeat();
        }
        self.pending = None;
        self.pid = None;
    }

    /// Refuses a command because of another one.
    pub fn reject(&mut self) {
        let mut payload = json!({ "reason": "command already running" });
        payload["current_command"] = json!(self.pending);
        if let Some(pid) = self.pid {
            payload["current_pid"] = json!(pid);
        }
        self.send("command_rejected", &payload);
    }

    /// The next message of the dashboard.
    #[track_caller]
    pub fn receive(&mut self) -> Value {
        loop {
            match self.socket.read().expect("the dashboard says something") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(reason) => panic!("the dashboard closed the link: {reason:?}"),
                _ => {}
            }
        }
    }

    /// The next message of the dashboard; `None` if it closes the link.
    pub fn try_receive(&mut self) -> Option<Value> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// What comes within a moment.
    pub fn listen(&mut self, moment: Duration) -> Heard {
        self.socket.get_ref().tcp().set_read_timeout(Some(moment)).unwrap();
        let heard = match self.socket.read() {
            Ok(Message::Text(text)) => Heard::Message(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) => Heard::End,
            Ok(_) => Heard::Nothing,
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                Heard::Nothing
            }
            Err(_) => Heard::End,
        };
        self.socket.get_ref().tcp().set_read_timeout(Some(PATIENCE)).unwrap();
        heard
    }

    /// Expects a command, and that it is put as protocol 3 puts it.
    #[track_caller]
    pub fn expect_command(&mut self, name: &str) {
        let message = self.receive();
        assert_eq!(message, json!({ "type": "command", "payload": { "command": name } }));
    }

    /// As [`Self::expect_close`], for so long.
    #[track_caller]
    pub fn expect_close_patiently(&mut self, patience: Duration) -> (u16, String) {
        self.socket.get_ref().tcp().set_read_timeout(Some(patience)).unwrap();
        self.expect_close()
    }

    /// Waits until the dashboard closes the link; answers code and reason.
    #[track_caller]
    pub fn expect_close(&mut self) -> (u16, String) {
        // A link that is never closed is never silent either: it is pinged every 30 s.
        let mut pings = 0;
        while pings < 5 {
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Ok(Message::Close(None)) => panic!("closed without a reason"),
                Ok(Message::Ping(_)) => pings += 1,
                Ok(_) => {}
                Err(error) => panic!("the link broke without a close: {error}"),
            }
        }
        panic!("the link goes on")
    }
}
