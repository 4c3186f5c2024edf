//! From arguments and environment to a [`Role`].
//!
//! Every setting is a flag and a variable; the flag wins. Secrets are variables or files,
//! never flags. A bad setting names itself and what was expected.

use super::Role;
use super::environment::Environment;
use super::error::CliError;
use super::options::{Action, Cli};
use super::values::{
    Parsed, addresses, boolean, branch_name, colour, detected_platform, hostname, is_local, list,
    listen_address, number, one_of, own_hostname, platform, socket_url, sources, web_url, words,
};
use crate::agent::config::AgentConfig;
use crate::base::secret::Secret;
use crate::dashboard::config::{DashboardConfig, NamedSource, PullRequestRules};
use crate::domain::operation::TimeLimits;
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Reads arguments (the first is the program's name) and variables.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Role, CliError> {
    let clap = |error: clap::Error| CliError::Clap(Box::new(error));
    let matches = Cli::command().try_get_matches_from(arguments).map_err(clap)?;
    let cli = Cli::from_arg_matches(&matches).map_err(clap)?;
    let settings = Settings { environment };
    match &cli.action {
        Some(Action::JobRun { dir }) => Ok(Role::JobRun { dir: dir.clone() }),
        Some(Action::Backup { file, data_dir }) => {
            Ok(Role::Backup { data_dir: settings.data_dir(data_dir.as_ref())?, file: file.clone() })
        }
        Some(Action::Restore { file, data_dir }) => Ok(Role::Restore {
            data_dir: settings.data_dir(data_dir.as_ref())?,
            file: file.clone(),
        }),
        None if cli.dashboard => Ok(Role::Dashboard(Box::new(settings.dashboard(&cli)?))),
        None if cli.check => match settings.agent(&cli) {
            Ok(config) => Ok(Role::CheckAgent(Ok(Box::new(config)))),
            Err(CliError::Setting(text)) => Ok(Role::CheckAgent(Err(text))),
            Err(error @ CliError::Clap(_)) => Err(error),
        },
        None if cli.adopt_clone => {
            // Nothing is connected to: what is needed for that may be missing.
            let mut environment = environment.clone();
            if !environment.contains_key("NIXFLEET_TOKEN_FILE") {
                environment.entry("NIXFLEET_TOKEN".to_owned()).or_insert_with(|| "-".to_owned());
            }
            let url = || "http://127.0.0.1".to_owned();
            environment.entry("NIXFLEET_URL".to_owned()).or_insert_with(url);
            let settings = Settings { environment: &environment };
            Ok(Role::AdoptClone(Box::new(settings.agent(&cli)?)))
        }
        None if cli.agent => Ok(Role::Agent(Box::new(settings.agent(&cli)?))),
        None => {
            let listen = settings.get(cli.listen.as_ref(), "listen", listen_address)?;
            Ok(Role::Demo { listen })
        }
    }
}

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

    /// The dashboard's directory.
    fn data_dir(&self, value: Option<&String>) -> Result<PathBuf, CliError> {
        let given = self.path(value, "data-dir")?;
        Ok(given.unwrap_or_else(|| self.default_dir("nixfleet")))
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
            data_dir: self.data_dir(cli.data_dir.as_ref())?,
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
        let titles = self.get(cli.pr_titles.as_ref(), "pr-titles", list)?;
        let authors = self.get(cli.pr_authors.as_ref(), "pr-authors", list)?;
        if [&branches, &labels, &titles, &authors].into_iter().all(Option::is_none) {
            return Ok(PullRequestRules::default());
        }
        Ok(PullRequestRules {
            branches: branches.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            titles: titles.unwrap_or_default(),
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
            check_power: bool_of(cli.check_power.as_ref(), "check-power")?.unwrap_or(false),
            rebuild: self.path(cli.rebuild.as_ref(), "rebuild")?,
            rebuild_flags: self
                .get(cli.rebuild_flags.as_ref(), "rebuild-flags", words)?
                .unwrap_or_default(),
            root: self.path(cli.root.as_ref(), "root")?.unwrap_or_else(|| PathBuf::from("/")),
            store_dir: self
                .environment
                .get("NIX_STORE_DIR")
                .map_or_else(|| PathBuf::from("/nix/store"), PathBuf::from),
            home: self.home(),
            managed: self.environment.contains_key("INVOCATION_ID")
                || self.environment.contains_key("XPC_SERVICE_NAME"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::config::SourceSetting;
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
