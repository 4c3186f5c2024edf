//! A page's live connection, without the page.

use super::{PATIENCE, Pipe};
use serde_json::Value;
use std::time::Instant;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

pub struct Live {
    socket: WebSocket<Pipe>,
}

impl Live {
    /// Opens it from a page of the dashboard.
    pub fn open(url: &str, cookie: &str) -> Self {
        Self::open_from(url, url, cookie).expect("a page of the dashboard may watch")
    }

    /// Opens it from a page of this origin. The error is the HTTP status.
    pub fn open_from(url: &str, origin: &str, cookie: &str) -> Result<Self, u16> {
        let address = url.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}/live").into_client_request().unwrap();
        for (name, value) in [("Cookie", cookie), ("Origin", origin)] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = Pipe::plain(url);
        stream.tcp().set_read_timeout(Some(PATIENCE)).unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("no link: {error}"),
        }
    }

    /// The next frame; `None` when the connection is over.
    pub fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) => return None,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if error.kind() == std::io::ErrorKind::WouldBlock =>
                {
                    panic!("neither a frame nor the end within {PATIENCE:?}")
                }
                Err(_) => return None,
            }
        }
    }

    /// Waits until the dashboard ends the connection.
    pub fn wait_for_the_end(&mut self) {
        let until = Instant::now() + PATIENCE;
        while let Some(frame) = self.next() {
            assert!(Instant::now() < until, "the connection goes on: {frame}");
        }
    }
}
