//! What single settings may look like. Each function answers the value, or what was expected.

use crate::agent::config::Platform;
use crate::dashboard::config::{NamedSource, SourceSetting};
use crate::domain::bounds;
use crate::domain::looks::{Colour, DeviceType, Place};
use crate::domain::tag::{EXPECTED, Tags};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

pub(super) type Parsed<T> = Result<T, String>;

pub(super) fn number(text: &str, least: u32, most: u32, what: &str) -> Parsed<u32> {
    let parsed = text.parse::<u32>().ok().filter(|n| (least..=most).contains(n));
    parsed.ok_or_else(|| format!("{what} from {least} to {most}"))
}

pub(super) fn listen_address(text: &str) -> Parsed<SocketAddr> {
    // A port alone, or `:8000`, is what people try first.
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    match (text.parse(), port) {
        (Ok(address), _) => Ok(address),
        (Err(_), Ok(port)) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        (Err(_), Err(_)) => Err("an address and a port, such as 127.0.0.1:8000".to_owned()),
    }
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

pub(super) fn place(text: &str) -> Parsed<Place> {
    Place::parse(text).ok_or_else(|| one_of(Place::ALL.map(Place::name)))
}

pub(super) fn device_type(text: &str) -> Parsed<DeviceType> {
    DeviceType::parse(text).ok_or_else(|| one_of(DeviceType::ALL.map(DeviceType::name)))
}

pub(super) fn tags(text: &str) -> Parsed<Tags> {
    let expected =
        |_| format!("at most {} tags separated by spaces, each {EXPECTED}", bounds::TAGS);
    Tags::read(text.split_whitespace()).map_err(expected)
}

fn one_of<const N: usize>(known: [&str; N]) -> String {
    format!("one of {}", known.join(", "))
}

pub(super) fn platform(text: &str) -> Parsed<Platform> {
    match text {
        "nixos" => Ok(Platform::NixOs),
        "darwin" | "macos" => Ok(Platform::Darwin),
        "home-manager" => Ok(Platform::HomeManager),
        _ => Err("one of nixos, darwin, home-manager".to_owned()),
    }
}

pub(super) fn detected_platform() -> Platform {
    if cfg!(target_os = "macos") {
        Platform::Darwin
    } else if Path::new("/etc/NIXOS").exists() {
        Platform::NixOs
    } else {
        Platform::HomeManager
    }
}

pub(super) fn colour(text: &str) -> Parsed<Colour> {
    Colour::parse(text).ok_or_else(|| "a colour such as #7aa2f7".to_owned())
}

pub(super) fn hostname(text: &str) -> Parsed<String> {
    match crate::domain::ids::HostId::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("a hostname ({error})")),
    }
}

/// The machine's name, without its domain.
pub(super) fn own_hostname() -> Option<String> {
    let full = nix::unistd::gethostname().ok()?.into_string().ok()?;
    hostname(full.split('.').next()?).ok()
}

/// A branch's name. What git takes for an option or a pattern is none.
pub(super) fn branch_name(text: &str) -> Parsed<String> {
    let bad = text.starts_with(['-', '/', '.'])
        || text.ends_with(['/', '.'])
        || text.contains("..")
        || text.contains("//")
        || text.chars().any(|c| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c));
    if bad { Err("the name of a git branch".to_owned()) } else { Ok(text.to_owned()) }
}

pub(super) fn addresses(text: &str) -> Parsed<Vec<IpAddr>> {
    let parsed: Result<Vec<IpAddr>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    parsed.map_err(|_| "IP addresses separated by commas".to_owned())
}

/// `http(s)://host[:port][/path]`, without a slash at the end.
pub(super) fn web_url(text: &str) -> Parsed<String> {
    let expected = || "an address such as https://fleet.example.org".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
    let authority = rest.split('/').next().unwrap_or_default();
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '#');
    if !matches!(scheme, "http" | "https")
        || authority.is_empty()
        || authority.contains('@')
        || !plain
    {
        return Err(expected());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The address of the dashboard's WebSocket, from any way of writing the dashboard's.
pub(super) fn socket_url(text: &str) -> Parsed<String> {
    let web = match text.split_once("://") {
        Some(("ws", rest)) => format!("http://{rest}"),
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(_) => text.to_owned(),
        None => return Err("an address such as https://fleet.example.org".to_owned()),
    };
    let web = web_url(&web)?;
    let socket = web.replacen("http", "ws", 1);
    let has_path = socket.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    Ok(if has_path { socket } else { format!("{socket}/ws") })
}

/// Whether an address is of this machine: what goes there leaves no cable.
pub(super) fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split(']').next());
    let name = bracketed.unwrap_or_else(|| authority.split(':').next().unwrap_or_default());
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Texts separated by commas.
pub(super) fn list(text: &str) -> Parsed<Vec<String>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Ok(parts.map(str::to_owned).collect())
}

/// Words, separated by spaces.
pub(super) fn words(text: &str) -> Parsed<Vec<String>> {
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// `[name=]source[#branch]`, separated by semicolons or line feeds.
pub(super) fn sources(text: &str, branch: &str) -> Parsed<Vec<NamedSource>> {
    let entries = text.split([';', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
    let mut list: Vec<NamedSource> = Vec::new();
    for entry in entries {
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        let (name, rest) = match entry.split_once('=') {
            Some((name, rest)) if is_name(name) => (name, rest),
            _ => ("default", entry),
        };
        let (setting, branch) = match rest.rsplit_once('#') {
            Some((setting, branch)) => (setting, branch_name(branch)?),
            None => (rest, branch.to_owned()),
        };
        if list.iter().any(|known| known.name == name) {
            return Err(format!("different names for different sources, not {name} twice"));
        }
        list.push(NamedSource { name: name.to_owned(), setting: source(setting)?, branch });
    }
    Ok(list)
}

/// `https://forge.example.org/owner/repo`, also below a path.
fn gitea(address: &str) -> Option<SourceSetting> {
    let address = address.trim_end_matches('/').trim_end_matches(".git");
    let web = web_url(address).ok()?;
    let (rest, repo) = web.rsplit_once('/')?;
    let (site, owner) = rest.rsplit_once('/')?;
    let word = |w: &str| {
        !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let is_whole = site.split_once("://").is_some_and(|(_, host)| !host.is_empty());
    let (owner, repo) = (owner.to_owned(), repo.to_owned());
    (is_whole && !site.contains('@') && word(&owner) && word(&repo)).then(|| SourceSetting::Gitea {
        site: site.to_owned(),
        owner,
        repo,
    })
}

pub(super) fn source(text: &str) -> Parsed<SourceSetting> {
    let expected = "github:owner/repo, gitea:https://forge/owner/repo, a git URL or path, or the URL of \
                    a version.json";
    if let Some(name) = text.strip_prefix("github:") {
        let word = |w: &str| {
            !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        return match name.split_once('/') {
            Some((owner, repo)) if word(owner) && word(repo) => {
                Ok(SourceSetting::GitHub { owner: owner.to_owned(), repo: repo.to_owned() })
            }
            _ => Err(expected.to_owned()),
        };
    }
    if let Some(address) = text.strip_prefix("gitea:").or_else(|| text.strip_prefix("forgejo:")) {
        return gitea(address).ok_or_else(|| expected.to_owned());
    }
    if text.starts_with('-') || text.contains("::") || text.chars().any(char::is_control) {
        return Err(expected.to_owned());
    }
    let web = text.starts_with("http://") || text.starts_with("https://");
    if web && text.split(['?', '#']).next().is_some_and(|path| path.ends_with(".json")) {
        return Ok(SourceSetting::VersionJson(text.to_owned()));
    }
    Ok(SourceSetting::Git(text.to_owned()))
}
