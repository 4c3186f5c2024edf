//! What the host can tell of its place in the network, and whether its dashboard answers.

use crate::agent::repository;
use crate::agent::site::Site;
use crate::agent::tls;
use crate::base::child::Bounds;
use crate::base::git;
use crate::domain::guard::Evidence;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long each of them may take to answer.
const WITHIN: Duration = Duration::from_secs(10);

/// Looks at everything. `known` is the dashboard's address from before; answers it where it was
/// resolved now.
pub(super) fn gather(site: &Site, known: Option<SocketAddr>) -> (Evidence, Option<SocketAddr>) {
    let address = resolve(&site.url);
    let evidence = Evidence {
        default_route: default_route(),
        route: known.or(address).is_some_and(route_to),
        names: address.is_some(),
        remote: remote_answers(site),
    };
    (evidence, address)
}

/// Host and port of the dashboard's address.
fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    let default = if matches!(scheme, "wss" | "https") { 443 } else { 80 };
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':').map_or(Some(default), |port| port.parse().ok())?;
        return Some((host.to_owned(), port));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((authority.to_owned(), default)),
    }
}

/// The system's resolver knows no limit of time: it is asked on a thread of its own.
fn resolve(url: &str) -> Option<SocketAddr> {
    let target = host_and_port(url)?;
    let (tell, told) = mpsc::channel();
    let ask = move || {
        let found = target.to_socket_addrs().ok().and_then(|mut found| found.next());
        // Nobody may wait any more.
        let _ = tell.send(found);
    };
    thread::Builder::new().name("resolve".to_owned()).spawn(ask).ok()?;
    told.recv_timeout(WITHIN).ok().flatten()
}

/// Whether the kernel knows a way there. Nothing is sent.
fn route_to(address: SocketAddr) -> bool {
    let any: SocketAddr = if address.is_ipv4() {
        SocketAddr::from(([0, 0, 0, 0], 0))
    } else {
        SocketAddr::from(([0; 16], 0))
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}

fn default_route() -> bool {
    let v4 = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let is_v4 = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000")
    };
    // The last word is the device: the kernel's own way to nowhere is on lo.
    let is_v6 = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first().is_some_and(|to| to.bytes().all(|b| b == b'0'))
            && words.get(1) == Some(&"00")
            && words.last() != Some(&"lo")
    };
    v4.lines().any(is_v4) || v6.lines().any(is_v6)
}

fn remote_answers(site: &Site) -> bool {
    let Ok(git) = repository::git(site) else { return false };
    let mut command = match &site.repo_url {
        Some(_) => git.command(),
        None => git.at(&site.repo_dir),
    };
    let remote = site.repo_url.as_deref().unwrap_or("origin");
    command.args(["ls-remote", "--quiet", "--", remote, "HEAD"]);
    let bounds = Bounds { timeout: Some(WITHIN), ..Bounds::default() };
    git::run(&mut command, 10_000, &bounds).is_ok()
}

/// Whether the dashboard at this address says that it is well. What a proxy says in its place does
/// not count.
pub(super) fn dashboard_answers(site: &Site) -> bool {
    let Some(base) = site.url.strip_suffix("/ws") else { return false };
    let url = format!("{base}/health").replacen("ws", "http", 1);
    let ca = site.ca.clone();
    let ask = move || {
        actix_rt::System::new().block_on(async {
            let client = tls::client(&url, ca.as_deref(), WITHIN).ok()?;
            let answer = actix_rt::time::timeout(WITHIN, client.get(&url).send()).await;
            answer.ok()?.ok().map(|answer| answer.status().is_success())
        })
    };
    // A loop of its own, on a thread of its own.
    thread::spawn(ask).join().ok().flatten() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboards_host_and_port_are_read_from_its_address() {
        for (url, host, port) in [
            ("ws://127.0.0.1:8000/ws", "127.0.0.1", 8000),
            ("wss://fleet.example.org/ws", "fleet.example.org", 443),
            ("ws://[::1]:9/ws", "::1", 9),
            ("wss://[fd00::1]/ws", "fd00::1", 443),
        ] {
            assert_eq!(host_and_port(url), Some((host.to_owned(), port)), "{url}");
        }
        assert_eq!(host_and_port("nothing"), None);
    }

    #[test]
    fn there_is_a_route_to_this_machine_itself() {
        assert!(route_to(SocketAddr::from(([127, 0, 0, 1], 9))));
    }
}
