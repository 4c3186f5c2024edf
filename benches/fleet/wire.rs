//! WebSocket from the client's side, by hand: thousands of links must cost this process little.

use anyhow::{Context as _, bail, ensure};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// Clients mask what they send. The server has the same work with any mask.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// How much is read at once.
const CHUNK: usize = 16 * 1024;
/// Links of one source address: a system has some 28,000 ports for each.
const LINKS_PER_ADDRESS: usize = 2000;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Ping,
    Pong,
    Close,
}

impl Kind {
    fn opcode(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }
}

/// A frame of the server.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
}

/// Appends a frame as a client sends it.
pub(crate) fn encode(kind: Kind, payload: &[u8], into: &mut Vec<u8>) {
    into.push(0x80 | kind.opcode());
    let length = payload.len();
    if length < 126 {
        into.push(0x80 | length as u8);
    } else if let Ok(short) = u16::try_from(length) {
        into.push(0x80 | 126);
        into.extend(short.to_be_bytes());
    } else {
        into.push(0x80 | 127);
        into.extend((length as u64).to_be_bytes());
    }
    into.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    into.extend(masked.map(|(byte, mask)| byte ^ mask));
}

/// The loopback address that the n-th link comes from.
pub(crate) fn source_address(n: usize) -> Ipv4Addr {
    let last = 2 + n / LINKS_PER_ADDRESS;
    Ipv4Addr::new(127, 0, (last / 250) as u8, (last % 250) as u8)
}

/// One connection.
pub(crate) struct Link {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Link {
    /// Connects and goes through the handshake. `headers` are whole lines with their ends.
    pub(crate) async fn open(
        from: Ipv4Addr,
        to: SocketAddr,
        path: &str,
        headers: &str,
    ) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let mut stream = socket.connect(to).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut link = Self { stream, unread: Vec::new() };
        let end = loop {
            let found = link.unread.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = found {
                break end;
            }
            link.fill().await?;
        };
        let head = String::from_utf8_lossy(&link.unread[..end]).into_owned();
        ensure!(head.starts_with("HTTP/1.1 101"), "{path} answered: {head}");
        link.unread.drain(..end + 4);
        Ok(link)
    }

    /// Reads what is there. Nothing is lost when this future is dropped.
    async fn fill(&mut self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            let mut chunk = [0_u8; CHUNK];
            match self.stream.try_read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.unread.extend_from_slice(&chunk[..length]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next frame. Nothing is lost when this future is dropped.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Frame> {
        loop {
            if let Some((frame, length)) = decode(&self.unread)? {
                if length == self.unread.len() {
                    // Thousands of links: none keeps room for what it has no more.
                    self.unread = Vec::new();
                } else {
                    self.unread.drain(..length);
                }
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next text, with pings answered on the way.
    pub(crate) async fn next_text(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            let frame = self.next().await?;
            match frame.kind {
                Kind::Text => return Ok(frame.payload),
                Kind::Ping => self.send(Kind::Pong, &frame.payload).await?,
                Kind::Pong => {}
                Kind::Close => bail!("closed: {}", close_reason(&frame.payload)),
            }
        }
    }

    pub(crate) async fn send(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(payload.len() + 14);
        encode(kind, payload, &mut bytes);
        self.send_raw(&bytes).await
    }

    /// Sends bytes that [`encode`] made, or that mean harm.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }
}

/// Code and text of a close frame.
pub(crate) fn close_reason(payload: &[u8]) -> String {
    match payload {
        [high, low, text @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("{code} {}", String::from_utf8_lossy(text))
        }
        _ => "without a code".to_owned(),
    }
}

/// The first frame of what was read, and how long it is there.
fn decode(bytes: &[u8]) -> anyhow::Result<Option<(Frame, usize)>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    ensure!(first & 0x80 != 0, "a fragment, which the dashboard never sends");
    ensure!(second & 0x80 == 0, "a masked frame, which a server never sends");
    let kind = match first & 0x0f {
        0x1 => Kind::Text,
        0x8 => Kind::Close,
        0x9 => Kind::Ping,
        0xa => Kind::Pong,
        other => bail!("a frame of kind {other}, which the dashboard never sends"),
    };
    let width = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((extended, rest)) = rest.split_at_checked(width) else {
        return Ok(None);
    };
    let length = match width {
        0 => usize::from(second & 0x7f),
        _ => extended.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    };
    let Some(payload) = rest.get(..length) else {
        return Ok(None);
    };
    Ok(Some((Frame { kind, payload: payload.to_vec() }, 2 + width + length)))
}
