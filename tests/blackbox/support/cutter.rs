//! A link that does something at its n-th frame: a proxy that reads WebSocket frames.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToDashboard,
    ToAgent,
}

type Deed = Box<dyn FnOnce() + Send>;

pub struct Cutter {
    pub url: String,
    seen: Arc<[AtomicUsize; 2]>,
}

struct Plan {
    way: Way,
    at: usize,
    deed: Mutex<Option<Deed>>,
    seen: Arc<[AtomicUsize; 2]>,
}

impl Cutter {
    /// A proxy in front of `url`. Once the frame number `at` went `way`, over however many
    /// links, it does `deed`, and cuts that link.
    pub fn new(url: &str, way: Way, at: usize, deed: impl FnOnce() + Send + 'static) -> Self {
        let target = url.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<[AtomicUsize; 2]> = Arc::default();
        let deed: Deed = Box::new(deed);
        let plan = Plan { way, at, deed: Mutex::new(Some(deed)), seen: Arc::clone(&seen) };
        let plan = Arc::new(plan);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&target) else { continue };
                for (way, from, to) in
                    [(Way::ToDashboard, &client, &server), (Way::ToAgent, &server, &client)]
                {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let plan = Arc::clone(&plan);
                    thread::spawn(move || {
                        // An end of the link is an end of both.
                        let _ = carry(way, &from, &to, &plan);
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { url, seen }
    }

    /// How many frames went a way.
    pub fn seen(&self, way: Way) -> usize {
        self.seen[way as usize].load(Ordering::SeqCst)
    }
}

fn carry(way: Way, from: &TcpStream, to: &TcpStream, plan: &Plan) -> io::Result<()> {
    let mut reader = BufReader::new(from);
    let mut writer = to;
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        writer.write_all(&line)?;
        if line == b"\r\n" {
            break;
        }
    }
    loop {
        let (text, frame) = read_frame(&mut reader)?;
        writer.write_all(&frame)?;
        if !text {
            continue;
        }
        let number = plan.seen[way as usize].fetch_add(1, Ordering::SeqCst) + 1;
        if way == plan.way && number == plan.at {
            if let Some(deed) = plan.deed.lock().unwrap().take() {
                deed();
            }
            return Ok(());
        }
    }
}

/// One frame as it is on the wire, and whether it carries a message.
fn read_frame(reader: &mut impl Read) -> io::Result<(bool, Vec<u8>)> {
    let mut frame = vec![0; 2];
    reader.read_exact(&mut frame)?;
    let text = frame[0] & 0x0f <= 2;
    let more = match frame[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut read = |count: usize, frame: &mut Vec<u8>| {
        let start = frame.len();
        frame.resize(start + count, 0);
        reader.read_exact(&mut frame[start..])
    };
    read(more, &mut frame)?;
    let length = match more {
        0 => usize::from(frame[1] & 0x7f),
        _ => frame[2..].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    };
    let mask = if frame[1] & 0x80 == 0 { 0 } else { 4 };
    read(mask + length, &mut frame)?;
    Ok((text, frame))
}
