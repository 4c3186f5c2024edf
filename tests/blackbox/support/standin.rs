//! A stand-in for the dashboard: it answers an agent, keeps what that says, and asks for what a test
//! wants, also what the dashboard's own rules would not. It stores all it hears before it
//! acknowledges it, as the real one does.

use super::wait_until;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tungstenite::{Error, Message, WebSocket};

pub struct StandIn {
    pub url: String,
    heard: Arc<Mutex<Vec<Value>>>,
    links: Arc<Mutex<Vec<Sender<Message>>>>,
}

impl StandIn {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let links = Arc::new(Mutex::new(Vec::new()));
        let (kept, senders) = (Arc::clone(&heard), Arc::clone(&links));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, receiver) = channel();
                senders.lock().unwrap().push(sender);
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(stream, &receiver, &kept));
            }
        });
        Self { url, heard, links }
    }

    /// Sends a frame over the newest link.
    pub fn send(&self, kind: &str, payload: &Value) {
        self.send_message(Message::text(json!({"type": kind, "payload": payload}).to_string()));
    }

    pub fn send_message(&self, message: Message) {
        self.links.lock().unwrap().last().expect("a link").send(message).unwrap();
    }

    /// Asks for an operation; answers the command's id.
    pub fn command(&self, op: &str) -> String {
        self.command_with(op, &json!({}))
    }

    pub fn command_with(&self, op: &str, args: &Value) -> String {
        let id = uuid::Uuid::now_v7().to_string();
        self.send("command", &json!({"command": op, "command_id": id, "args": args}));
        id
    }

    pub fn stop(&self, id: &str) {
        self.send("command", &json!({"command": "stop", "command_id": id}));
    }

    /// What was heard of a kind so far.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        let of_kind = heard.iter().filter(|frame| frame["type"] == kind);
        of_kind.map(|frame| frame["payload"].clone()).collect()
    }

    /// Waits for a message of this kind that is as wanted.
    #[track_caller]
    pub fn hears(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_until(&format!("a `{kind}` as wanted is heard"), || {
            let all = self.all(kind);
            match all.iter().find(|payload| wanted(payload)) {
                Some(found) => Ok(found.clone()),
                None => Err((all.last().cloned(), self.heard.lock().unwrap().len())),
            }
        })
    }

    /// Waits for the outcome of a command.
    #[track_caller]
    pub fn outcome(&self, id: &str) -> Value {
        self.hears("status", |status| status["command_id"] == id)
    }

    /// Waits until the agent is there and has looked at its checkout.
    #[track_caller]
    pub fn knows_the_checkout(&self) {
        wait_until("a checkout is told", || {
            let told = [self.all("register"), self.all("heartbeat")].concat();
            let known = told.iter().any(|p| p["checkout"].is_string() && p["checkout"] != "");
            if known { Ok(()) } else { Err(told.last().cloned()) }
        });
    }

    /// The lines of a command, in order.
    pub fn lines(&self, id: &str) -> Vec<String> {
        let mut lines = BTreeMap::new();
        for batch in self.all("output_batch").iter().filter(|batch| batch["command_id"] == id) {
            let first = batch["first_seq"].as_u64().unwrap();
            for (seq, line) in (first..).zip(batch["lines"].as_array().unwrap()) {
                lines.insert(seq, line["text"].as_str().unwrap().to_owned());
            }
        }
        lines.into_values().collect()
    }

    #[track_caller]
    pub fn hears_line(&self, id: &str, text: &str) {
        wait_until(&format!("a line with {text:?} is heard"), || {
            let lines = self.lines(id);
            if lines.iter().any(|line| line.contains(text)) { Ok(()) } else { Err(lines) }
        });
    }
}

fn serve(stream: TcpStream, to_send: &Receiver<Message>, heard: &Mutex<Vec<Value>>) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    socket.get_ref().set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                let answer = answer(&frame);
                heard.lock().unwrap().push(frame);
                if let Some(answer) = answer
                    && write(&mut socket, Message::text(answer.to_string())).is_err()
                {
                    return;
                }
            }
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
        while let Ok(message) = to_send.try_recv() {
            if write(&mut socket, message).is_err() {
                return;
            }
        }
    }
}

fn write(socket: &mut WebSocket<TcpStream>, message: Message) -> Result<(), Error> {
    socket.send(message)
}

fn answer(frame: &Value) -> Option<Value> {
    let payload = &frame["payload"];
    let ack = |seq: u64| {
        let payload = json!({"command_id": payload["command_id"], "seq": seq});
        Some(json!({"type": "ack", "payload": payload}))
    };
    match frame["type"].as_str()? {
        "register" => {
            let payload = json!({"host_id": payload["hostname"], "protocol": 4, "resume": {}});
            Some(json!({"type": "registered", "payload": payload}))
        }
        "output_batch" => {
            let lines = payload["lines"].as_array()?.len() as u64;
            ack(payload["first_seq"].as_u64()? + lines - 1)
        }
        "status" => ack(payload["seq"].as_u64()?),
        _ => None,
    }
}
