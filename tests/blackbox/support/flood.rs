//! Links and connections that mean harm: bytes on a plain socket, and what they cost the dashboard.

use super::{Dashboard, pipe};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A WebSocket of which only the handshake is as it should be.
pub struct RawLink {
    pub stream: TcpStream,
}

impl RawLink {
    /// Opens `path` with one more header line.
    pub fn open(url: &str, path: &str, header: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {header}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { stream }
    }

    /// One of an agent.
    pub fn agent(url: &str) -> Self {
        Self::open(url, "/ws", &format!("Authorization: Bearer {}", super::dashboard::TOKEN))
    }

    pub fn send(&mut self, text: &str) {
        self.stream.write_all(&frame(text)).unwrap();
    }

    /// Sends the same frame until so many bytes are gone, or the link is closed. Reads nothing.
    pub fn flood(mut self, text: &str, bytes: u64, sent: &Arc<AtomicU64>) -> std::io::Result<()> {
        let many = frame(text).repeat(1 + 65_536 / (text.len() + 8));
        let mut mine = 0;
        while mine < bytes {
            self.stream.write_all(&many)?;
            mine += many.len() as u64;
            sent.fetch_add(many.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A text frame of a client, masked with zeros.
pub fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// Reads until the other side closes; answers what came. `None`: it did not close in time.
pub fn until_closed(stream: &mut TcpStream, within: Duration) -> Option<Vec<u8>> {
    stream.set_read_timeout(Some(within)).unwrap();
    let mut came = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match pipe::read(stream, &mut buffer) {
            Ok(0) => return Some(came),
            Ok(n) => came.extend(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Some(came),
            Err(_) => return None,
        }
    }
}

/// Whether the other side closes, however much it says until then. It is given five minutes.
pub fn closes(stream: &mut TcpStream) -> bool {
    let until = Instant::now() + Duration::from_secs(300);
    stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    let mut buffer = [0; 4096];
    while Instant::now() < until {
        match pipe::read(stream, &mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
    false
}

/// The memory of a dashboard, in KiB.
pub struct Memory<'a>(&'a Dashboard);

impl<'a> Memory<'a> {
    /// From now on, the peak counts.
    pub fn watch(dashboard: &'a Dashboard) -> (Self, u64) {
        std::fs::write(format!("/proc/{}/clear_refs", dashboard.pid()), "5").unwrap();
        let memory = Self(dashboard);
        let now = memory.of("VmRSS:");
        (memory, now)
    }

    /// The most that it had since.
    pub fn peak(&self) -> u64 {
        self.of("VmHWM:")
    }

    fn of(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
