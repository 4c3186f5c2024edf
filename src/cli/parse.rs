//! From arguments and environment to a [`Role`].
//!
//! Every setting is a flag and a variable; the flag wins. Secrets are variables or files,
//! never flags. A bad setting names itself and what was expected.

use super::Role;
use super::environment::Environment;
use super::error::CliError;
use super::old_names;
use super::options::{Action, Cli};
use super::pages::Page;
use super::settings::{Settings, variable};
use super::values::{
    addresses, boolean, branch_name, colour, detected_platform, device_type, hostname, is_local,
    list, listen_address, number, own_hostname, place, platform, socket_url, sources, tags,
    web_url, words,
};
use crate::agent::config::{AgentConfig, GuardSettings, SignerFiles};
use crate::dashboard::config::{DashboardConfig, NamedSource, PullRequestRules, TlsFiles};
use crate::domain::ids::WholeCommit;
use crate::domain::operation::TimeLimits;
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// So many hosts the demo has at least, and at most.
const DEMO_HOSTS: (u32, u32) = (3, 500);

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
        Some(Action::GuardActivate { system, status }) => {
            Ok(Role::GuardActivate { system: system.clone(), status: status.clone() })
        }
        Some(Action::GuardReturn { dir }) => Ok(Role::GuardReturn { dir: dir.clone() }),
        Some(Action::Client(action)) => {
            Ok(Role::Client(Box::new(super::client::config(action, environment)?)))
        }
        Some(Action::Completions { shell }) => {
            Ok(Role::Page(Page::completions(*shell, Cli::command())))
        }
        Some(Action::Man { to }) => {
            let page = Page::manual(to.as_ref(), Cli::command());
            page.map(Role::Page).map_err(|error| CliError::Setting(format!("man: {error}")))
        }
        Some(Action::Backup { file, data_dir }) => {
            Ok(Role::Backup { data_dir: settings.data_dir(data_dir.as_ref())?, file: file.clone() })
        }
        Some(Action::Restore { file, data_dir }) => Ok(Role::Restore {
            data_dir: settings.data_dir(data_dir.as_ref())?,
            file: file.clone(),
        }),
        Some(Action::HashPassword) => Ok(Role::HashPassword),
        Some(Action::VerifyAudit { data_dir }) => {
            Ok(Role::VerifyAudit { data_dir: settings.data_dir(data_dir.as_ref())? })
        }
        None if cli.check.is_some() => settings.check(&cli),
        None if cli.reset_password => Ok(Role::ResetPassword(Box::new(settings.dashboard(&cli)?))),
        None if cli.dashboard => Ok(Role::Dashboard(Box::new(settings.dashboard(&cli)?))),
        None if cli.adopt_clone => {
            let environment = without_a_dashboard(environment);
            let settings = Settings { environment: &environment };
            Ok(Role::AdoptClone(Box::new(settings.agent(&cli)?)))
        }
        None if cli.trust.is_some() => {
            let expected = || "a commit in full, 40 or 64 hexadecimal digits".to_owned();
            let commit = settings.get(cli.trust.as_ref(), "trust", |text| {
                WholeCommit::parse(text).ok_or_else(expected)
            })?;
            let commit = commit.ok_or_else(|| {
                CliError::Setting(format!("--trust: expected {}, got nothing", expected()))
            })?;
            let mut environment = without_a_dashboard(environment);
            // Only the agent's own directory matters.
            let repository = || "-".to_owned();
            environment.entry("NIXFLEET_REPO_URL".to_owned()).or_insert_with(repository);
            let settings = Settings { environment: &environment };
            Ok(Role::Trust(Box::new(settings.agent(&cli)?), commit))
        }
        None if cli.guard_format => Ok(Role::GuardFormat),
        None if cli.agent => Ok(Role::Agent(Box::new(settings.agent(&cli)?))),
        None => {
            let listen = settings.get(cli.listen.as_ref(), "listen", listen_address)?;
            let hosts = settings.get(cli.hosts.as_ref(), "hosts", |text| {
                number(text, DEMO_HOSTS.0, DEMO_HOSTS.1, "a number of hosts")
            })?;
            Ok(Role::Demo { listen, hosts: hosts.unwrap_or(DEMO_HOSTS.0) })
        }
    }
}

/// The variables for what connects to nobody: what is needed for that may be missing.
fn without_a_dashboard(environment: &Environment) -> Environment {
    let mut environment = environment.clone();
    if !environment.contains_key("NIXFLEET_TOKEN_FILE") {
        environment.entry("NIXFLEET_TOKEN".to_owned()).or_insert_with(|| "-".to_owned());
    }
    let url = || "http://127.0.0.1".to_owned();
    environment.entry("NIXFLEET_URL".to_owned()).or_insert_with(url);
    environment
}

impl Settings<'_> {
    /// What `--check` is to look at: everything, or only the settings.
    fn check(&self, cli: &Cli) -> Result<Role, CliError> {
        if cli.check.as_deref() == Some("settings") {
            return self.check_settings(cli);
        }
        fn said<T>(read: Result<T, CliError>) -> Result<Result<Box<T>, String>, CliError> {
            match read {
                Ok(config) => Ok(Ok(Box::new(config))),
                Err(CliError::Setting(text)) => Ok(Err(text)),
                Err(error @ CliError::Clap(_)) => Err(error),
            }
        }
        match cli.dashboard {
            true => Ok(Role::CheckDashboard(said(self.dashboard(cli))?)),
            false => Ok(Role::CheckAgent(said(self.agent(cli))?)),
        }
    }

    /// Where a system is built there are no secrets: their files are not looked for.
    fn check_settings(&self, cli: &Cli) -> Result<Role, CliError> {
        let mut environment = self.environment.clone();
        environment.retain(|name, _| !name.ends_with("_FILE"));
        environment.insert("NIXFLEET_TOKEN".to_owned(), "-".to_owned());
        let settings = Settings { environment: &environment };
        match cli.dashboard {
            true => drop(settings.dashboard(cli)?),
            false => drop(settings.agent(cli)?),
        }
        Ok(Role::SettingsAreFine)
    }

    fn dashboard(&self, cli: &Cli) -> Result<DashboardConfig, CliError> {
        old_names::check(self.environment)?;
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
            gitea_token: self.secret("NIXFLEET_GITEA_TOKEN")?,
            ssh_key: self.path(cli.ssh_key.as_ref(), "ssh-key")?,
            github_api: api.unwrap_or_else(|| "https://api.github.com".to_owned()),
            fetch_ttl: ttl.unwrap_or(Duration::from_secs(5)),
            tls: self.tls(cli)?,
            trusted_proxies: proxies.unwrap_or_default(),
            command_retention: commands.unwrap_or(day * 30),
            event_retention: events.unwrap_or(day * 90),
            time_limits: limits.unwrap_or_default(),
            sync_interval: sync.unwrap_or(Duration::from_secs(30)),
        })
    }

    /// Both files of TLS, or none.
    fn tls(&self, cli: &Cli) -> Result<Option<TlsFiles>, CliError> {
        let certificate = self.path(cli.tls_cert.as_ref(), "tls-cert")?;
        match (certificate, self.path(cli.tls_key.as_ref(), "tls-key")?) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (None, None) => Ok(None),
            (certificate, _) => {
                let flag = if certificate.is_some() { "tls-key" } else { "tls-cert" };
                let text = "expected a file: certificate and key belong together";
                Err(CliError::Setting(format!("--{flag} / {}: {text}", variable(flag))))
            }
        }
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

    fn guard(&self, cli: &Cli) -> Result<GuardSettings, CliError> {
        let default = GuardSettings::default();
        let up_to = |most: Duration, text: &str| {
            let most = u32::try_from(most.as_secs()).unwrap_or(u32::MAX);
            number(text, 1, most, "a number of seconds").map(|n| Duration::from_secs(n.into()))
        };
        let enabled = self.get(cli.guard.as_ref(), "guard", boolean)?;
        let reboot = self.get(cli.guard_reboot.as_ref(), "guard-reboot", boolean)?;
        let units = self.get(cli.guard_ignore_units.as_ref(), "guard-ignore-units", words)?;
        let activation = self.get(cli.guard_activation.as_ref(), "guard-activation", |text| {
            up_to(GuardSettings::ACTIVATION_AT_MOST, text)
        })?;
        let window = self.get(cli.guard_window.as_ref(), "guard-window", |text| {
            up_to(GuardSettings::WINDOW_AT_MOST, text)
        })?;
        Ok(GuardSettings {
            enabled: enabled.unwrap_or(default.enabled),
            reboot: reboot.unwrap_or(default.reboot),
            ignore_units: units.unwrap_or_default(),
            activation: activation.unwrap_or(default.activation),
            window: window.unwrap_or(default.window),
        })
    }

    fn agent(&self, cli: &Cli) -> Result<AgentConfig, CliError> {
        old_names::check(self.environment)?;
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
            ca: self.path(cli.ca.as_ref(), "ca")?,
            token,
            repo_url,
            repo_dir: repo_dir.unwrap_or_else(|| state_dir.join("repo")),
            branch: self.branch(cli)?,
            ssh_key: self.path(cli.ssh_key.as_ref(), "ssh-key")?,
            interval: self
                .get(cli.interval.as_ref(), "interval", seconds)?
                .unwrap_or(Duration::from_secs(5)),
            hostname,
            theme_color: self.get(cli.theme_color.as_ref(), "theme-color", colour)?,
            location: self.get(cli.location.as_ref(), "location", place)?,
            device_type: self.get(cli.device_type.as_ref(), "device-type", device_type)?,
            tags: self.get(cli.tags.as_ref(), "tags", tags)?.unwrap_or_default(),
            platform: self
                .get(cli.platform.as_ref(), "platform", platform)?
                .unwrap_or_else(detected_platform),
            state_dir,
            tests_enabled: bool_of(cli.tests_enabled.as_ref(), "tests-enabled")?.unwrap_or(true),
            tests_auto_run: bool_of(cli.tests_auto_run.as_ref(), "tests-auto-run")?.unwrap_or(true),
            test_timeout: timeout.unwrap_or(Duration::from_secs(60)),
            check_power: bool_of(cli.check_power.as_ref(), "check-power")?.unwrap_or(false),
            guard: self.guard(cli)?,
            signers: SignerFiles {
                allowed: self.path(cli.allowed_signers.as_ref(), "allowed-signers")?,
                keyring: self.path(cli.signers_keyring.as_ref(), "signers-keyring")?,
            },
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
    use crate::base::secret::Secret;
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
            ("NIXFLEET_TAGS", "db, web", "separated by spaces"),
            ("NIXFLEET_PLATFORM", "windows", "nixos"),
            ("NIXFLEET_TESTS_ENABLED", "maybe", "true or false"),
            // Such a host would stay between two systems for a day.
            ("NIXFLEET_GUARD_ACTIVATION", "7201", "seconds from 1 to 7200"),
            ("NIXFLEET_GUARD_ACTIVATION", "86400", "seconds from 1 to 7200"),
            ("NIXFLEET_GUARD_WINDOW", "3601", "seconds from 1 to 3600"),
            ("NIXFLEET_GUARD_WINDOW", "0", "seconds from 1 to 3600"),
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
    fn a_certificate_and_its_key_come_together() {
        for (given, missing) in
            [("NIXFLEET_TLS_CERT", "NIXFLEET_TLS_KEY"), ("NIXFLEET_TLS_KEY", "NIXFLEET_TLS_CERT")]
        {
            let text = complaint(read(&["--dashboard"], &[(given, "/x")]));
            assert!(text.contains(missing) && text.contains("belong together"), "{text}");
        }
        let both = [("NIXFLEET_TLS_CERT", "/c"), ("NIXFLEET_TLS_KEY", "/k")];
        let Ok(Role::Dashboard(config)) = read(&["--dashboard"], &both) else { panic!("none") };
        assert!(config.tls.is_some());
    }

    #[test]
    fn only_this_machine_is_local() {
        for (url, local) in [
            ("ws://127.0.0.1:8000/ws", true),
            ("ws://127.8.9.1/ws", true),
            ("ws://localhost:8000/ws", true),
            ("ws://[::1]:8000/ws", true),
            ("ws://127.0.0.1.evil.example/ws", false),
            ("ws://localhost.evil.example/ws", false),
            ("ws://192.0.2.1:8000/ws", false),
            ("ws://[2001:db8::1]/ws", false),
        ] {
            assert_eq!(is_local(url), local, "{url}");
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
    fn the_demo_has_as_many_hosts_as_were_asked_for() {
        for (value, expected) in [(None, 3), (Some("3"), 3), (Some("200"), 200)] {
            let hosts = value.map(|value| ["--hosts", value]);
            let arguments: Vec<&str> =
                ["--demo"].into_iter().chain(hosts.into_iter().flatten()).collect();
            let Ok(Role::Demo { hosts, .. }) = read(&arguments, &[]) else { panic!("{value:?}") };
            assert_eq!(hosts, expected);
        }
        for bad in ["2", "501", "many", "-1", "3.5"] {
            let said = complaint(read(&["--demo", &format!("--hosts={bad}")], &[]));
            assert!(said.contains("--hosts") && said.contains("from 3 to 500"), "{said}");
        }
        assert!(matches!(read(&["--dashboard", "--hosts", "9"], &[]), Err(CliError::Clap(_))));
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
