//! An agent of NixFleet 3.x: it sends what protocol 3 says such an agent sends.

use super::dashboard::TOKEN;
use serde_json::{Value, json};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

pub struct OldAgent {
    socket: WebSocket<TcpStream>,
    name: String,
    /// What its heartbeats say.
    pub generation: String,
    pub lock_hash: Option<String>,
    pub pending: Option<String>,
    pub binary: (String, String),
}

impl OldAgent {
    /// Opens a link without saying anything. The error is the HTTP status.
    pub fn connect(url: &str, token: &str, name: &str) -> Result<Self, u16> {
        let address = url.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("Authorization", bearer);
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self {
                socket,
                name: name.to_owned(),
                generation: String::new(),
                lock_hash: None,
                pending: None,
                binary: ("source-1".to_owned(), "binary-1".to_owned()),
            }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("no link: {error}"),
        }
    }

    /// Connects and registers.
    pub fn join(url: &str, name: &str, generation: &str) -> Self {
        let mut agent = Self::connect(url, TOKEN, name).expect("the token is right");
        agent.generation = generation.to_owned();
        agent.register();
        agent
    }

    /// Ends the link as a process that exits does.
    pub fn hang_up(&mut self) {
        self.socket.get_ref().shutdown(Shutdown::Both).expect("the link was open");
    }

    pub fn register(&mut self) {
        let payload = json!({
            "hostname": self.name, "host_type": "nixos", "agent_version": "3.1.5",
            "os_version": "26.05", "nixpkgs_version": "26.05pre", "generation": self.generation,
            "theme_color": "#7aa2f7", "heartbeat_interval": 5, "location": "home",
            "device_type": "server", "repo_url": "https://example.org/nixcfg",
            "repo_dir": "/var/lib/nixfleet-agent/repo",
            "source_commit": self.binary.0, "binary_hash": self.binary.1,
        });
        self.send("register", &payload);
        let answer = self.receive();
        assert_eq!(answer["type"], "registered", "{answer}");
        assert_eq!(answer["payload"], json!({ "host_id": self.name }));
    }

    pub fn send(&mut self, kind: &str, payload: &Value) {
        let frame = json!({ "type": kind, "payload": payload }).to_string();
        self.send_text(&frame);
    }

    pub fn send_text(&mut self, frame: &str) {
        self.socket.send(Message::text(frame)).expect("the link is open");
    }

    pub fn heartbeat(&mut self) {
        let mut payload = json!({
            "generation": self.generation, "nixpkgs_version": "26.05pre",
            "pending_command": self.pending, "command_pid": self.pending.as_ref().map(|_| 4711),
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
        let payload = json!({ "line": line, "stream": "stdout", "command": "", "is_error": false });
        self.send("output", &payload);
    }

    pub fn status(&mut self, status: &str, command: &str, exit_code: i32) {
        let payload = json!({
            "status": status, "command": command, "exit_code": exit_code,
            "generation": self.generation,
        });
        self.send("status", &payload);
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

    /// Expects a command, and that it is put as protocol 3 puts it.
    #[track_caller]
    pub fn expect_command(&mut self, name: &str) {
        let message = self.receive();
        assert_eq!(message, json!({ "type": "command", "payload": { "command": name } }));
    }

    /// Waits until the dashboard closes the link; answers code and reason.
    #[track_caller]
    pub fn expect_close(&mut self) -> (u16, String) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Ok(Message::Close(None)) => panic!("closed without a reason"),
                Ok(_) => {}
                Err(error) => panic!("the link broke without a close: {error}"),
            }
        }
    }
}
