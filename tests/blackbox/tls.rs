//! TLS of the dashboard's own, and links that have none. The authority is made here.

use crate::support::flood::until_closed;
use crate::support::{Agent, Client, ConfigRepo, Dashboard, OldAgent, Pipe, nixfleet, wait_until};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An authority, and a directory with what it gave out.
struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), &pem).unwrap();
        Self { dir, issuer: Issuer::new(params, key), pem }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Gives out a certificate for this machine; answers its bytes. Each file is replaced whole.
    fn give_out(&self) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        for (name, text) in [("key.pem", key.serialize_pem()), ("cert.pem", certificate.pem())] {
            fs::write(self.path("new"), text).unwrap();
            fs::rename(self.path("new"), self.path(name)).unwrap();
        }
        certificate.der().to_vec()
    }

    fn settings(&self) -> [(&'static str, String); 2] {
        let file = |name: &str| self.path(name).to_str().unwrap().to_owned();
        [("NIXFLEET_TLS_CERT", file("cert.pem")), ("NIXFLEET_TLS_KEY", file("key.pem"))]
    }

    fn dashboard(&self) -> Dashboard {
        self.dashboard_of(Path::new(""))
    }

    /// One that follows a remote.
    fn dashboard_of(&self, source: &Path) -> Dashboard {
        let settings = self.settings();
        let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
        let source = ("NIXFLEET_SOURCE", source.to_str().unwrap());
        Dashboard::start(&settings.chain([source]).collect::<Vec<_>>())
    }

    /// What somebody is shown who connects: the certificate, and the protocol that was agreed on.
    fn shown(&self, url: &str) -> (Vec<u8>, Vec<u8>) {
        let Pipe::Tls(mut stream) = Pipe::tls(url, &self.pem, &[b"h2", b"http/1.1"]) else {
            unreachable!("it was asked for")
        };
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        let certificate = stream.conn.peer_certificates().unwrap()[0].to_vec();
        (certificate, stream.conn.alpn_protocol().unwrap_or_default().to_vec())
    }
}

#[test]
fn the_dashboard_speaks_tls_and_an_agent_knows_it_by_a_given_authority() {
    let authority = Authority::new();
    let certificate = authority.give_out();
    let repo = ConfigRepo::new();
    let dashboard = authority.dashboard_of(&repo.remote());
    assert!(dashboard.url.starts_with("https://127.0.0.1:"), "{}", dashboard.url);
    assert_eq!(authority.shown(&dashboard.url), (certificate, b"http/1.1".to_vec()));
    let user = Client::login_trusting(&dashboard.url, &dashboard.password, &authority.pem);
    let ca = authority.path("ca.pem");
    let trust = [("NIXFLEET_CA", ca.to_str().unwrap())];
    let _agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), &trust);
    user.wait_for_online("web");
    user.run("web", "pull", "succeeded");
    assert!(!user.get("/hosts/web").text.contains("plain-link"));
    // Without TLS there is no answer.
    let plain = dashboard.url.replace("https://", "http://");
    let mut socket = TcpStream::connect(plain.strip_prefix("http://").unwrap()).unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut socket, &mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

/// What `nixfleet --agent --check` says of the dashboard.
fn check(url: &str, ca: Option<&Path>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut command = nixfleet();
    command.args(["--agent", "--check", "--url", url, "--hostname", "web", "--repo-url", "/none"]);
    command.arg("--state-dir").arg(dir.path().join("state")).env("NIXFLEET_TOKEN", "x");
    if let Some(ca) = ca {
        command.env("NIXFLEET_CA", ca);
    }
    let told = command.output().unwrap();
    let text = [told.stdout, told.stderr].concat();
    String::from_utf8(text).unwrap()
}

#[test]
fn an_agent_takes_no_certificate_that_its_authorities_did_not_give_out() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.give_out();
    let dashboard = authority.dashboard();
    let right = check(&dashboard.url, Some(&authority.path("ca.pem")));
    assert!(right.contains("refuses the token"), "{right}");
    let wrong = check(&dashboard.url, Some(&other.path("ca.pem")));
    assert!(wrong.contains("wrong   dashboard") && wrong.contains("NIXFLEET_CA"), "{wrong}");
    fs::write(other.path("empty.pem"), "").unwrap();
    for file in ["empty.pem", "nowhere.pem"] {
        let told = check(&dashboard.url, Some(&other.path(file)));
        assert!(told.contains("NIXFLEET_CA: expected certificates in PEM"), "{told}");
    }
}

/// As `openssl req -x509` makes one: it is an authority and the server's certificate in one.
fn signed_by_itself(dir: &Path, names: &[&str]) -> PathBuf {
    let key = KeyPair::generate().unwrap();
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    let file = dir.join("cert.pem");
    fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
    file
}

#[test]
fn a_certificate_that_signed_itself_is_known_by_itself_and_by_its_name() {
    let [here, other, unnamed] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let start = |dir: &Path, names: &[&str]| {
        let [cert, key] = [signed_by_itself(dir, names), dir.join("key.pem")];
        let files = [cert.to_str().unwrap(), key.to_str().unwrap()];
        let settings = [("NIXFLEET_TLS_CERT", files[0]), ("NIXFLEET_TLS_KEY", files[1])];
        (Dashboard::start(&settings), cert)
    };
    let (dashboard, cert) = start(here.path(), &["127.0.0.1"]);
    let told = check(&dashboard.url, Some(&cert));
    assert!(told.contains("refuses the token"), "{told}");
    let another = signed_by_itself(other.path(), &["127.0.0.1"]);
    let told = check(&dashboard.url, Some(&another));
    assert!(told.contains("is not taken"), "{told}");
    let (dashboard, cert) = start(unnamed.path(), &["fleet.example.org"]);
    let told = check(&dashboard.url, Some(&cert));
    assert!(told.contains("is not taken"), "{told}");
}

#[test]
fn an_agent_with_another_authority_says_so_once_and_comes_as_soon_as_it_has_the_right_one() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.give_out();
    let dashboard = authority.dashboard();
    let user = Client::login_trusting(&dashboard.url, &dashboard.password, &authority.pem);
    let repo = ConfigRepo::new();
    let (ca, log) = (other.path("ca.pem"), other.path("log"));
    let more = [("NIXFLEET_CA", ca.to_str().unwrap()), ("STDERR_TO", log.to_str().unwrap())];
    let _agent = Agent::start_with(&dashboard.url, "web", &repo.remote(), &more);
    let complaints = || {
        let told = fs::read_to_string(&log).unwrap();
        (told.matches("certificate is not taken").count(), told)
    };
    wait_until("it says what is wrong", || {
        let (count, told) = complaints();
        if count > 0 { Ok(()) } else { Err(told) }
    });
    assert_eq!(user.get("/api/hosts/web").status, 404);
    fs::rename(authority.path("ca.pem"), &ca).unwrap();
    user.wait_for_online("web");
    let (count, told) = complaints();
    assert!(count == 1 && told.contains("NIXFLEET_CA"), "{told}");
}

#[test]
fn an_agent_of_3x_works_over_tls() {
    let authority = Authority::new();
    authority.give_out();
    let repo = ConfigRepo::new();
    let dashboard = authority.dashboard_of(&repo.remote());
    let user = Client::login_trusting(&dashboard.url, &dashboard.password, &authority.pem);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let mut agent = OldAgent::join_trusting(&dashboard.url, &authority.pem, "old", commit);
    user.wait_for_online("old");
    assert_eq!(user.host("old")["generation"], commit);
    user.start("old", "switch");
    agent.expect_command("switch");
    assert!(!user.get("/hosts/old").text.contains("plain-link"));
}

#[test]
fn handshakes_that_never_end_are_closed_and_keep_nobody_waiting() {
    let authority = Authority::new();
    authority.give_out();
    let dashboard = authority.dashboard();
    let user = Client::login_trusting(&dashboard.url, &dashboard.password, &authority.pem);
    let address = dashboard.url.strip_prefix("https://").unwrap();
    // They are closed after 3 s. On a machine that stood still for so long it is not seen who waited
    // for whom, so it is looked at until it is.
    let mut silent = wait_until("a handshake does not wait for silent ones", || {
        // More than actix would have in their handshake at once by itself.
        let silent: Vec<TcpStream> =
            (0..700).map(|_| TcpStream::connect(address).unwrap()).collect();
        // A connection of its own, behind all of them.
        authority.shown(&dashboard.url);
        silent[0].set_nonblocking(true).unwrap();
        let waits = silent[0].peek(&mut [0]).map_err(|e| e.kind());
        silent[0].set_nonblocking(false).unwrap();
        if waits == Err(std::io::ErrorKind::WouldBlock) { Ok(silent) } else { Err(waits) }
    });
    assert_eq!(user.get("/api/hosts").status, 200);
    let closed = until_closed(&mut silent[0], Duration::from_secs(30));
    assert!(closed.is_some(), "still open");
}

#[test]
fn a_certificate_that_changes_is_shown_without_a_restart_and_a_bad_one_changes_nothing() {
    let authority = Authority::new();
    let first = authority.give_out();
    let dashboard = authority.dashboard();
    let user = Client::login_trusting(&dashboard.url, &dashboard.password, &authority.pem);
    assert_eq!(authority.shown(&dashboard.url).0, first);
    let second = authority.give_out();
    wait_until("the new certificate is shown", || {
        let shown = authority.shown(&dashboard.url).0;
        if shown == second { Ok(()) } else { Err(shown == first) }
    });
    fs::write(authority.path("cert.pem"), "no certificate").unwrap();
    let third_key = KeyPair::generate().unwrap().serialize_pem();
    fs::write(authority.path("key.pem"), third_key).unwrap();
    assert_eq!(authority.shown(&dashboard.url).0, second);
    let last = authority.give_out();
    wait_until("the last certificate is shown", || {
        let shown = authority.shown(&dashboard.url).0;
        if shown == last { Ok(()) } else { Err(shown == second) }
    });
    assert_eq!(user.get("/api/hosts").status, 200);
}

#[test]
fn files_that_are_no_certificate_are_refused_at_the_start_by_the_settings_name() {
    let authority = Authority::new();
    let start = || {
        let dir = tempfile::tempdir().unwrap();
        let mut command = nixfleet();
        command.args(["--dashboard", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
        command.envs(authority.settings());
        let told = command.output().unwrap();
        (told.status.code(), String::from_utf8(told.stderr).unwrap())
    };
    let (code, told) = start();
    assert!(code == Some(2) && told.contains("NIXFLEET_TLS_CERT: expected"), "{told}");
    authority.give_out();
    fs::write(authority.path("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let (code, told) = start();
    assert!(code == Some(2) && told.contains("NIXFLEET_TLS_KEY: expected the key of"), "{told}");
}

#[test]
fn a_link_that_is_not_encrypted_is_said_in_the_log_and_on_the_hosts_page() {
    let told = check("http://fleet.invalid", None);
    assert!(told.contains("NIXFLEET_URL") && told.contains("in clear"), "{told}");
    assert!(!check("http://127.0.0.1:9", None).contains("in clear"));
    let dashboard = Dashboard::start(&[("NIXFLEET_TRUSTED_PROXIES", "127.0.0.1")]);
    let user = dashboard.login();
    for (from, proto, plain) in [
        ("192.0.2.7", "http", true),
        ("192.0.2.7", "https", false),
        ("127.0.0.1", "http", false),
        ("192.0.2.7", "ws", true),
    ] {
        let headers = [("X-Forwarded-For", from), ("X-Forwarded-Proto", proto)];
        let mut agent = OldAgent::connect_with(&dashboard.url, "web", &headers).unwrap();
        agent.register();
        wait_until(&format!("{from} {proto}: the page is right"), || {
            let page = user.get("/hosts/web").text;
            let online = page.contains("data-online=\"true\"");
            if online && page.contains("id=\"plain-link\"") == plain { Ok(()) } else { Err(online) }
        });
    }
}
