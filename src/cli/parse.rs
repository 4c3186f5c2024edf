//! From arguments and environment to a [`Role`].
//!
//! Every setting is a flag and a variable; the flag wins. Secrets are variables or files,
//! never flags. A bad setting names itself and what was expected.

use super::{
    AgentConfig, DashboardConfig, NamedSource, Platform, PullRequestRules, Role, Secret,
    SourceSetting,
};
use crate::domain::operation::TimeLimits;
use clap::{ArgGroup, CommandFactory, FromArgMatches, Parser};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a command line is not understood.
#[derive(Debug)]
pub enum CliError {
    /// What clap says: also `--help` and `--version`.
    Clap(Box<clap::Error>),
    /// A setting is not as expected. The text names it.
    Setting(String),
}

/// One row per machine: is it current? And a click to bring it there.
#[derive(Debug, Parser)]
#[command(name = "nixfleet", version, args_conflicts_with_subcommands = true)]
#[command(group = ArgGroup::new("role").args(["dashboard", "agent", "demo"]).required(true))]
#[command(
    after_help = "Every option can be given as a variable too: --data-dir is NIXFLEET_DATA_DIR.\n\
    Secrets are variables or files (NIXFLEET_TOKEN or NIXFLEET_TOKEN_FILE), never options."
)]
struct Cli {
    /// Run the dashboard: web interface and database.
    #[arg(long)]
    dashboard: bool,
    /// Run the agent on a machine of the fleet.
    #[arg(long)]
    agent: bool,
    /// Run a whole fleet on this machine, to try it: nothing to set up.
    #[arg(long)]
    demo: bool,

    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Dashboard")]
    listen: Option<String>,
    /// Directory for the database and secrets.
    #[arg(long, value_name = "DIR", help_heading = "Dashboard")]
    data_dir: Option<String>,
    /// The dashboard's own address, as users and agents see it.
    #[arg(long, value_name = "URL", help_heading = "Dashboard")]
    base_url: Option<String>,
    /// Config repository: github:owner/repo, a git URL or path, or the URL of a version.json.
    /// Several: name=source#branch, separated by semicolons; the first is the default.
    #[arg(long, value_name = "SOURCE", help_heading = "Dashboard")]
    source: Option<String>,
    /// Base URL of GitHub's API, for GitHub Enterprise.
    #[arg(long, value_name = "URL", help_heading = "Dashboard")]
    github_api: Option<String>,
    /// Beginnings of the branches of pull requests that update flake.lock.
    #[arg(long, value_name = "PREFIXES", help_heading = "Dashboard")]
    pr_branches: Option<String>,
    /// Labels of pull requests that update flake.lock.
    #[arg(long, value_name = "LABELS", help_heading = "Dashboard")]
    pr_labels: Option<String>,
    /// Authors of pull requests that update flake.lock.
    #[arg(long, value_name = "NAMES", help_heading = "Dashboard")]
    pr_authors: Option<String>,
    /// Seconds for which an answer of the remote is used.
    #[arg(long, value_name = "SECONDS", help_heading = "Dashboard")]
    fetch_ttl: Option<String>,
    /// Addresses of proxies whose X-Forwarded-For is believed, separated by commas.
    #[arg(long, value_name = "ADDRESSES", help_heading = "Dashboard")]
    trusted_proxies: Option<String>,
    /// Days for which commands and their output are kept.
    #[arg(long, value_name = "DAYS", help_heading = "Dashboard")]
    command_retention_days: Option<String>,
    /// Days for which the audit log is kept.
    #[arg(long, value_name = "DAYS", help_heading = "Dashboard")]
    event_retention_days: Option<String>,
    /// How long operations may take before they are overdue: switch=90m,pull=2m.
    #[arg(long, value_name = "LIMITS", help_heading = "Dashboard")]
    time_limits: Option<String>,
    /// Seconds between version messages to browsers.
    #[arg(long, value_name = "SECONDS", help_heading = "Dashboard")]
    sync_interval: Option<String>,

    /// The branch that hosts follow.
    #[arg(long, value_name = "BRANCH", help_heading = "Both")]
    branch: Option<String>,

    /// The dashboard's address.
    #[arg(long, value_name = "URL", help_heading = "Agent")]
    url: Option<String>,
    /// The config repository to clone.
    #[arg(long, value_name = "URL", help_heading = "Agent")]
    repo_url: Option<String>,
    /// The agent's own clone of it.
    #[arg(long, value_name = "DIR", help_heading = "Agent")]
    repo_dir: Option<String>,
    /// Private key for git over ssh.
    #[arg(long, value_name = "FILE", help_heading = "Agent")]
    ssh_key: Option<String>,
    /// Seconds between heartbeats.
    #[arg(long, value_name = "SECONDS", help_heading = "Agent")]
    interval: Option<String>,
    /// This machine's name; must be the name of its configuration in the flake.
    #[arg(long, value_name = "NAME", help_heading = "Agent")]
    hostname: Option<String>,
    /// Colour of its row.
    #[arg(long, value_name = "#RRGGBB", help_heading = "Agent")]
    theme_color: Option<String>,
    /// home, work or cloud.
    #[arg(long, value_name = "PLACE", help_heading = "Agent")]
    location: Option<String>,
    /// server, desktop, laptop or gaming.
    #[arg(long, value_name = "TYPE", help_heading = "Agent")]
    device_type: Option<String>,
    /// nixos, darwin or home-manager; detected if not given.
    #[arg(long, value_name = "PLATFORM", help_heading = "Agent")]
    platform: Option<String>,
    /// Directory for the clone and for jobs.
    #[arg(long, value_name = "DIR", help_heading = "Agent")]
    state_dir: Option<String>,
    /// Whether tests are on: true or false.
    #[arg(long, value_name = "BOOL", help_heading = "Agent")]
    tests_enabled: Option<String>,
    /// Whether tests run by themselves after a switch: true or false.
    #[arg(long, value_name = "BOOL", help_heading = "Agent")]
    tests_auto_run: Option<String>,
    /// Seconds that one test may take.
    #[arg(long, value_name = "SECONDS", help_heading = "Agent")]
    test_timeout: Option<String>,
    /// Program used instead of nixos-rebuild, darwin-rebuild or home-manager.
    #[arg(long, value_name = "PROGRAM", help_heading = "Agent")]
    rebuild: Option<String>,
    /// Directory that stands for / where the agent looks at what runs.
    #[arg(long, value_name = "DIR", hide = true)]
    root: Option<String>,

    #[command(subcommand)]
    internal: Option<Internal>,
}

#[derive(Debug, clap::Subcommand)]
enum Internal {
    /// Runs one job, detached. The agent starts this itself.
    #[command(hide = true)]
    JobRun {
        /// The job's directory.
        dir: PathBuf,
    },
}

/// The variables that matter here.
type Environment = BTreeMap<String, String>;

/// The variables of this process.
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Reads arguments (the first is the program's name) and variables.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Role, CliError> {
    let clap = |error: clap::Error| CliError::Clap(Box::new(error));
    let matches = Cli::command().try_get_matches_from(arguments).map_err(clap)?;
    let cli = Cli::from_arg_matches(&matches).map_err(clap)?;
    let settings = Settings { environment };
    match &cli.internal {
        Some(Internal::JobRun { dir }) => Ok(Role::JobRun { dir: dir.clone() }),
        None if cli.dashboard => Ok(Role::Dashboard(Box::new(settings.dashboard(&cli)?))),
        None if cli.agent => Ok(Role::Agent(Box::new(settings.agent(&cli)?))),
        None => {
            let listen = settings.get(cli.listen.as_ref(), "listen", listen_address)?;
            Ok(Role::Demo { listen })
        }
    }
}

type Parsed<T> = Result<T, String>;

struct Settings<'a> {
    environment: &'a Environment,
}

fn variable(flag: &str) -> String {
    format!("NIXFLEET_{}", flag.replace('-', "_").to_uppercase())
}

impl Settings<'_> {
    /// A setting from its flag or variable. `parse` says what was expected.
    fn get<T>(
        &self,
        flag_value: Option<&String>,
        flag: &str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Result<Option<T>, CliError> {
        let variable = variable(flag);
        let value = flag_value.or_else(|| self.environment.get(&variable));
        let Some(value) = value.map(|value| value.trim()).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        parse(value).map(Some).map_err(|expected| {
            CliError::Setting(format!("--{flag} / {variable}: expected {expected}, got {value:?}"))
        })
    }

    fn text(&self, value: Option<&String>, flag: &str) -> Result<Option<String>, CliError> {
        self.get(value, flag, |text| Ok(text.to_owned()))
    }

    fn path(&self, value: Option<&String>, flag: &str) -> Result<Option<PathBuf>, CliError> {
        self.get(value, flag, |text| {
            let path = PathBuf::from(text);
            std::path::absolute(path).map_err(|error| format!("a path ({error})"))
        })
    }

    /// A secret from its variable, or from the file that `NAME_FILE` names.
    fn secret(&self, name: &str) -> Result<Option<Secret>, CliError> {
        let file_name = format!("{name}_FILE");
        let given = self.environment.get(name);
        let Some(file) = self.environment.get(&file_name) else {
            return Ok(given.map(|text| Secret::new(text.trim_end_matches(['\n', '\r']))));
        };
        if given.is_some() {
            let text = format!("{name} and {file_name}: expected one of them, got both");
            return Err(CliError::Setting(text));
        }
        let text = std::fs::read_to_string(file).map_err(|error| {
            CliError::Setting(format!(
                "{file_name}: expected a file that can be read, {file}: {error}"
            ))
        })?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return Err(CliError::Setting(format!(
                "{file_name}: expected a secret, {file} is empty"
            )));
        }
        if std::fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o007 != 0) {
            log::warn!("{file_name}: everybody on this machine can read {file}");
        }
        Ok(Some(Secret::new(text)))
    }

    fn home(&self) -> PathBuf {
        self.environment.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    /// Where a role keeps its state when nothing else is said.
    fn default_dir(&self, name: &str) -> PathBuf {
        if let Some(dir) = self.environment.get("STATE_DIRECTORY") {
            // systemd gives a list; the first is ours.
            return PathBuf::from(dir.split(':').next().unwrap_or(dir));
        }
        if nix::unistd::geteuid().is_root() {
            return Path::new("/var/lib").join(name);
        }
        if cfg!(target_os = "macos") {
            return self.home().join("Library/Application Support").join(name);
        }
        let state = self.environment.get("XDG_STATE_HOME").map(PathBuf::from);
        state.unwrap_or_else(|| self.home().join(".local/state")).join(name)
    }

    fn dashboard(&self, cli: &Cli) -> Result<DashboardConfig, CliError> {
        let day = Duration::from_secs(86_400);
        let days = |text: &str| number(text, 1, 36_500, "a number of days").map(|n| day * n);
        let seconds = |text: &str| {
            number(text, 1, 86_400, "a number of seconds").map(|n| Duration::from_secs(n.into()))
        };
        let commands =
            self.get(cli.command_retention_days.as_ref(), "command-retention-days", days)?;
        let events = self.get(cli.event_retention_days.as_ref(), "event-retention-days", days)?;
        let sync = self.get(cli.sync_interval.as_ref(), "sync-interval", seconds)?;
        let limits = self.get(cli.time_limits.as_ref(), "time-limits", |text| {
            let expected = "operations with limits from 1s to 168h, such as switch=90m,pull=2m";
            TimeLimits::parse(text).ok_or_else(|| expected.to_owned())
        })?;
        let ttl = self.get(cli.fetch_ttl.as_ref(), "fetch-ttl", seconds)?;
        let api = self.get(cli.github_api.as_ref(), "github-api", web_url)?;
        let proxies = self.get(cli.trusted_proxies.as_ref(), "trusted-proxies", addresses)?;
        Ok(DashboardConfig {
            listen: self
                .get(cli.listen.as_ref(), "listen", listen_address)?
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8000))),
            data_dir: self
                .path(cli.data_dir.as_ref(), "data-dir")?
                .unwrap_or_else(|| self.default_dir("nixfleet")),
            base_url: self.get(cli.base_url.as_ref(), "base-url", web_url)?,
            password_hash: self.secret("NIXFLEET_PASSWORD_HASH")?,
            totp_secret: self.secret("NIXFLEET_TOTP_SECRET")?,
            session_secret: self.secret("NIXFLEET_SESSION_SECRET")?,
            agent_token: self.secret("NIXFLEET_AGENT_TOKEN")?,
            sources: self.sources(cli)?,
            hook_secret: self.secret("NIXFLEET_HOOK_SECRET")?,
            pull_requests: self.pull_requests(cli)?,
            github_token: self.secret("NIXFLEET_GITHUB_TOKEN")?,
            github_api: api.unwrap_or_else(|| "https://api.github.com".to_owned()),
            fetch_ttl: ttl.unwrap_or(Duration::from_secs(5)),
            trusted_proxies: proxies.unwrap_or_default(),
            command_retention: commands.unwrap_or(day * 30),
            event_retention: events.unwrap_or(day * 90),
            time_limits: limits.unwrap_or_default(),
            sync_interval: sync.unwrap_or(Duration::from_secs(30)),
        })
    }

    fn sources(&self, cli: &Cli) -> Result<Vec<NamedSource>, CliError> {
        let branch = self.branch(cli)?;
        let list = self.get(cli.source.as_ref(), "source", |text| sources(text, &branch))?;
        Ok(list.unwrap_or_default())
    }

    fn pull_requests(&self, cli: &Cli) -> Result<PullRequestRules, CliError> {
        let branches = self.get(cli.pr_branches.as_ref(), "pr-branches", list)?;
        let labels = self.get(cli.pr_labels.as_ref(), "pr-labels", list)?;
        let authors = self.get(cli.pr_authors.as_ref(), "pr-authors", list)?;
        if branches.is_none() && labels.is_none() && authors.is_none() {
            return Ok(PullRequestRules::default());
        }
        Ok(PullRequestRules {
            branches: branches.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            authors: authors.unwrap_or_default(),
        })
    }

    fn branch(&self, cli: &Cli) -> Result<String, CliError> {
        let branch = self.get(cli.branch.as_ref(), "branch", branch_name)?;
        Ok(branch.unwrap_or_else(|| "main".to_owned()))
    }

    fn agent(&self, cli: &Cli) -> Result<AgentConfig, CliError> {
        let missing = |flag: &str, what: &str| {
            CliError::Setting(format!(
                "--{flag} / {}: expected {what}, got nothing",
                variable(flag)
            ))
        };
        let seconds = |text: &str| {
            let parsed = text.parse::<f64>().ok().filter(|s| (0.1..=3600.0).contains(s));
            parsed.map(Duration::from_secs_f64).ok_or("0.1 to 3600 seconds".to_owned())
        };
        let url = self.get(cli.url.as_ref(), "url", socket_url)?;
        let url = url.ok_or_else(|| missing("url", "the dashboard's address"))?;
        if url.starts_with("ws://") && !is_local(&url) {
            log::warn!("NIXFLEET_URL: the token goes over the network in clear; use https");
        }
        let token = self.secret("NIXFLEET_TOKEN")?.ok_or_else(|| {
            let text =
                "NIXFLEET_TOKEN or NIXFLEET_TOKEN_FILE: expected this host's token, got nothing";
            CliError::Setting(text.to_owned())
        })?;
        let state_dir = self
            .path(cli.state_dir.as_ref(), "state-dir")?
            .unwrap_or_else(|| self.default_dir("nixfleet-agent"));
        let repo_url = self.text(cli.repo_url.as_ref(), "repo-url")?;
        let repo_dir = self.path(cli.repo_dir.as_ref(), "repo-dir")?;
        if repo_url.is_none() && repo_dir.is_none() {
            return Err(missing("repo-url", "the config repository's address"));
        }
        let hostname = self.get(cli.hostname.as_ref(), "hostname", hostname)?;
        let hostname = match hostname {
            Some(hostname) => hostname,
            None => own_hostname().ok_or_else(|| missing("hostname", "this machine's name"))?,
        };
        let bool_of = |value: Option<&String>, flag: &str| self.get(value, flag, boolean);
        let timeout = self.get(cli.test_timeout.as_ref(), "test-timeout", seconds)?;
        Ok(AgentConfig {
            url,
            token,
            repo_url,
            repo_dir: repo_dir.unwrap_or_else(|| state_dir.join("repo")),
            branch: self.branch(cli)?,
            ssh_key: self.path(cli.ssh_key.as_ref(), "ssh-key")?,
            interval: self
                .get(cli.interval.as_ref(), "interval", seconds)?
                .unwrap_or(Duration::from_secs(5)),
            hostname,
            theme_color: self
                .get(cli.theme_color.as_ref(), "theme-color", colour)?
                .unwrap_or_default(),
            location: self
                .get(cli.location.as_ref(), "location", |t| one_of(t, &["home", "work", "cloud"]))?
                .unwrap_or_default(),
            device_type: self
                .get(cli.device_type.as_ref(), "device-type", |t| {
                    one_of(t, &["server", "desktop", "laptop", "gaming"])
                })?
                .unwrap_or_default(),
            platform: self
                .get(cli.platform.as_ref(), "platform", platform)?
                .unwrap_or_else(detected_platform),
            state_dir,
            tests_enabled: bool_of(cli.tests_enabled.as_ref(), "tests-enabled")?.unwrap_or(true),
            tests_auto_run: bool_of(cli.tests_auto_run.as_ref(), "tests-auto-run")?.unwrap_or(true),
            test_timeout: timeout.unwrap_or(Duration::from_secs(60)),
            rebuild: self.path(cli.rebuild.as_ref(), "rebuild")?,
            root: self.path(cli.root.as_ref(), "root")?.unwrap_or_else(|| PathBuf::from("/")),
            home: self.home(),
            managed: self.environment.contains_key("INVOCATION_ID")
                || self.environment.contains_key("XPC_SERVICE_NAME"),
        })
    }
}

fn number(text: &str, least: u32, most: u32, what: &str) -> Parsed<u32> {
    let parsed = text.parse::<u32>().ok().filter(|n| (least..=most).contains(n));
    parsed.ok_or_else(|| format!("{what} from {least} to {most}"))
}

fn listen_address(text: &str) -> Parsed<SocketAddr> {
    // A port alone, or `:8000`, is what people try first.
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    match (text.parse(), port) {
        (Ok(address), _) => Ok(address),
        (Err(_), Ok(port)) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        (Err(_), Err(_)) => Err("an address and a port, such as 127.0.0.1:8000".to_owned()),
    }
}

fn boolean(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

fn one_of(text: &str, known: &[&str]) -> Parsed<String> {
    let found = known.contains(&text);
    found.then(|| text.to_owned()).ok_or_else(|| format!("one of {}", known.join(", ")))
}

fn platform(text: &str) -> Parsed<Platform> {
    match text {
        "nixos" => Ok(Platform::NixOs),
        "darwin" | "macos" => Ok(Platform::Darwin),
        "home-manager" => Ok(Platform::HomeManager),
        _ => Err("one of nixos, darwin, home-manager".to_owned()),
    }
}

fn detected_platform() -> Platform {
    if cfg!(target_os = "macos") {
        Platform::Darwin
    } else if Path::new("/etc/NIXOS").exists() {
        Platform::NixOs
    } else {
        Platform::HomeManager
    }
}

fn colour(text: &str) -> Parsed<String> {
    let hex = text.strip_prefix('#').unwrap_or_default();
    let valid = hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| text.to_owned()).ok_or_else(|| "a colour such as #7aa2f7".to_owned())
}

fn hostname(text: &str) -> Parsed<String> {
    match crate::domain::ids::HostId::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("a hostname ({error})")),
    }
}

/// The machine's name, without its domain.
fn own_hostname() -> Option<String> {
    let full = nix::unistd::gethostname().ok()?.into_string().ok()?;
    hostname(full.split('.').next()?).ok()
}

/// A branch's name. What git takes for an option or a pattern is none.
fn branch_name(text: &str) -> Parsed<String> {
    let bad = text.starts_with(['-', '/', '.'])
        || text.ends_with(['/', '.'])
        || text.contains("..")
        || text.contains("//")
        || text.chars().any(|c| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c));
    if bad { Err("the name of a git branch".to_owned()) } else { Ok(text.to_owned()) }
}

fn addresses(text: &str) -> Parsed<Vec<IpAddr>> {
    let parsed: Result<Vec<IpAddr>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    parsed.map_err(|_| "IP addresses separated by commas".to_owned())
}

/// `http(s)://host[:port][/path]`, without a slash at the end.
fn web_url(text: &str) -> Parsed<String> {
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
fn socket_url(text: &str) -> Parsed<String> {
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

fn is_local(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost", "[::1]"].iter().any(|local| authority.starts_with(local))
}

/// Texts separated by commas.
fn list(text: &str) -> Parsed<Vec<String>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Ok(parts.map(str::to_owned).collect())
}

/// `[name=]source[#branch]`, separated by semicolons or line feeds.
fn sources(text: &str, branch: &str) -> Parsed<Vec<NamedSource>> {
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

fn source(text: &str) -> Parsed<SourceSetting> {
    let expected = "github:owner/repo, a git URL or path, or the URL of a version.json";
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
    if text.starts_with('-') || text.contains("::") || text.chars().any(char::is_control) {
        return Err(expected.to_owned());
    }
    let web = text.starts_with("http://") || text.starts_with("https://");
    if web && text.split(['?', '#']).next().is_some_and(|path| path.ends_with(".json")) {
        return Ok(SourceSetting::VersionJson(text.to_owned()));
    }
    Ok(SourceSetting::Git(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Role, CliError> {
        let arguments = std::iter::once("nixfleet").chain(arguments.iter().copied());
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        parse(arguments.map(OsString::from), &variables.collect())
    }

    fn complaint(result: Result<Role, CliError>) -> String {
        match result {
            Err(CliError::Setting(text)) => text,
            other => panic!("expected a complaint about a setting, got {other:?}"),
        }
    }

    const AGENT: [(&str, &str); 3] = [
        ("NIXFLEET_URL", "http://127.0.0.1:8000"),
        ("NIXFLEET_TOKEN", "t"),
        ("NIXFLEET_REPO_URL", "/r"),
    ];

    #[test]
    fn a_dashboard_needs_no_setting() {
        let Ok(Role::Dashboard(config)) = read(&["--dashboard"], &[("HOME", "/h")]) else {
            panic!("no dashboard")
        };
        assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(config.sources, []);
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let role =
            read(&["--dashboard", "--listen", "[::1]:9"], &[("NIXFLEET_LISTEN", "0.0.0.0:1")]);
        let Ok(Role::Dashboard(config)) = role else { panic!("no dashboard") };
        assert_eq!(config.listen.to_string(), "[::1]:9");
    }

    #[test]
    fn a_bad_setting_names_itself_and_what_was_expected() {
        for (name, value, part) in [
            ("NIXFLEET_LISTEN", "nowhere", "an address and a port"),
            ("NIXFLEET_FETCH_TTL", "soon", "a number of seconds"),
            ("NIXFLEET_BASE_URL", "ftp://x", "an address"),
            ("NIXFLEET_SOURCE", "github:me", "github:owner/repo"),
            ("NIXFLEET_SOURCE", "--upload-pack=x", "github:owner/repo"),
            ("NIXFLEET_SOURCE", "ext::sh -c x", "github:owner/repo"),
            ("NIXFLEET_BRANCH", "-x", "git branch"),
            ("NIXFLEET_TRUSTED_PROXIES", "1.2.3", "IP addresses"),
        ] {
            let text = complaint(read(&["--dashboard"], &[(name, value)]));
            assert!(text.contains(name) && text.contains(part), "{text}");
        }
        for (name, value, part) in [
            ("NIXFLEET_INTERVAL", "0", "0.1 to 3600"),
            ("NIXFLEET_HOSTNAME", "a b", "hostname"),
            ("NIXFLEET_THEME_COLOR", "red", "#7aa2f7"),
            ("NIXFLEET_LOCATION", "moon", "home, work, cloud"),
            ("NIXFLEET_PLATFORM", "windows", "nixos"),
            ("NIXFLEET_TESTS_ENABLED", "maybe", "true or false"),
        ] {
            let mut variables = AGENT.to_vec();
            variables.push((name, value));
            let text = complaint(read(&["--agent"], &variables));
            assert!(text.contains(name) && text.contains(part), "{text}");
        }
    }

    #[test]
    fn an_agent_says_which_setting_it_misses() {
        for without in 0..AGENT.len() {
            let mut variables = AGENT.to_vec();
            let (name, _) = variables.remove(without);
            let text = complaint(read(&["--agent"], &variables));
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn the_dashboards_address_is_understood_however_it_is_written() {
        for (given, used) in [
            ("http://a:1", "ws://a:1/ws"),
            ("https://a/", "wss://a/ws"),
            ("wss://a/ws", "wss://a/ws"),
            ("ws://a:8000", "ws://a:8000/ws"),
            ("https://a/fleet/ws", "wss://a/fleet/ws"),
        ] {
            assert_eq!(socket_url(given), Ok(used.to_owned()));
        }
        for bad in ["a:1", "ftp://a", "http://", "http://u:p@a", "http://a b", "http://a#b"] {
            assert!(socket_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_comes_from_one_place_only() {
        let both = [("NIXFLEET_AGENT_TOKEN", "a"), ("NIXFLEET_AGENT_TOKEN_FILE", "/x")];
        assert!(complaint(read(&["--dashboard"], &both)).contains("got both"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let path = file.path().to_str().unwrap();
        let role = read(&["--dashboard"], &[("NIXFLEET_AGENT_TOKEN_FILE", path)]);
        let Ok(Role::Dashboard(config)) = role else { panic!("no dashboard") };
        assert_eq!(config.agent_token, Some(Secret::new("secret")));
    }

    #[test]
    fn exactly_one_role_is_asked_for() {
        for arguments in [&[][..], &["--dashboard", "--agent"], &["--demo", "--agent"]] {
            assert!(matches!(read(arguments, &[]), Err(CliError::Clap(_))), "{arguments:?}");
        }
    }

    proptest! {
        #[test]
        fn no_setting_panics(value in "\\PC{0,40}") {
            for name in ["LISTEN", "SOURCE", "BRANCH", "BASE_URL", "TRUSTED_PROXIES", "FETCH_TTL"] {
                let _ = read(&["--dashboard"], &[(&format!("NIXFLEET_{name}"), &value)]);
            }
            for name in ["URL", "HOSTNAME", "INTERVAL", "THEME_COLOR", "PLATFORM"] {
                let mut variables = AGENT.to_vec();
                let name = format!("NIXFLEET_{name}");
                variables.push((&name, &value));
                let _ = read(&["--agent"], &variables);
            }
        }
    }

    #[test]
    fn several_sources_have_names_and_branches() {
        let list = sources(
            "github:o/r; lab=https://x.example/lab.git#dev\nv=https://x.example/version.json",
            "main",
        )
        .unwrap();
        let named: Vec<_> = list.iter().map(|s| (s.name.as_str(), s.branch.as_str())).collect();
        assert_eq!(named, [("default", "main"), ("lab", "dev"), ("v", "main")]);
        assert_eq!(list[1].setting, SourceSetting::Git("https://x.example/lab.git".to_owned()));
        assert!(sources("a=/x; a=/y", "main").is_err());
        assert!(sources("/x#bad branch", "main").is_err());
        let query = sources("https://x.example/r?a=b", "main").unwrap();
        assert_eq!(query[0].name, "default");
    }
}
