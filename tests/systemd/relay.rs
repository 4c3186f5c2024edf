//! The way to the dashboard for a machine with a network of its own: a real TCP connection inside, a
//! socket of the file system between the two, and a real connection outside. A cut network inside
//! cuts it.

use crate::machine::Machine;
use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

/// Puts it between the two. It ends with the tests.
pub fn install(machine: &Machine, shared: &Path, url: &str) {
    let address = url.strip_prefix("http://").unwrap().to_owned();
    let units = machine.file("/etc/systemd/system");
    fs::create_dir_all(units.join("sockets.target.wants")).unwrap();
    let socket = format!("[Socket]\nListenStream={address}\n[Install]\nWantedBy=sockets.target\n");
    fs::write(units.join("relay.socket"), socket).unwrap();
    let proxy = "[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd /srv/nixfleet/relay\n";
    fs::write(units.join("relay.service"), proxy).unwrap();
    symlink("../relay.socket", units.join("sockets.target.wants/relay.socket")).unwrap();
    let listener = UnixListener::bind(shared.join("relay")).unwrap();
    thread::spawn(move || {
        for inside in listener.incoming().map_while(Result::ok) {
            // A dashboard that is away refuses the connection, and so does this.
            if let Ok(outside) = TcpStream::connect(&address) {
                pass_on(inside, outside);
            }
        }
    });
}

fn pass_on(inside: UnixStream, outside: TcpStream) {
    let (mut inside_in, mut outside_out) =
        (inside.try_clone().unwrap(), outside.try_clone().unwrap());
    let (mut inside, mut outside) = (inside, outside);
    // The end of one direction ends the other.
    thread::spawn(move || {
        let _ = io::copy(&mut inside_in, &mut outside_out);
        let _ = outside_out.shutdown(std::net::Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut outside, &mut inside);
        let _ = inside.shutdown(std::net::Shutdown::Both);
    });
}
