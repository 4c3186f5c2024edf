//! The variables of NixFleet 3, and what became of each.

use super::environment::Environment;
use super::error::CliError;

/// What became of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It means what it did.
    Works,
    /// It has another name now.
    Renamed(&'static str),
    /// Nothing reads it any more, and why.
    Gone(&'static str),
}

/// Every variable that a dashboard or an agent of NixFleet 3 read. docs/FROM_NIXFLEET_3.md has the
/// same table.
const TABLE: [(&str, Fate); 34] = [
    ("NIXFLEET_AGENT_TOKEN", Fate::Works),
    ("NIXFLEET_ALLOWED_ORIGINS", Fate::Gone("the dashboard's own address is the only one")),
    ("NIXFLEET_BASE_URL", Fate::Works),
    ("NIXFLEET_BRANCH", Fate::Works),
    ("NIXFLEET_DATA_DIR", Fate::Works),
    ("NIXFLEET_DB_PATH", Fate::Renamed("NIXFLEET_DATA_DIR")),
    ("NIXFLEET_DEVICE_TYPE", Fate::Works),
    ("NIXFLEET_GITHUB_API_URL", Fate::Renamed("NIXFLEET_GITHUB_API")),
    ("NIXFLEET_GITHUB_POLL_TTL", Fate::Gone("pull requests are read with the source")),
    ("NIXFLEET_GITHUB_REPO", Fate::Renamed("NIXFLEET_SOURCE")),
    ("NIXFLEET_GITHUB_TOKEN", Fate::Works),
    ("NIXFLEET_HEARTBEAT_INTERVAL", Fate::Gone("every agent says its own")),
    ("NIXFLEET_HOSTNAME", Fate::Works),
    ("NIXFLEET_INTERVAL", Fate::Works),
    ("NIXFLEET_LISTEN", Fate::Works),
    ("NIXFLEET_LOCATION", Fate::Works),
    ("NIXFLEET_LOG_LEVEL", Fate::Renamed("NIXFLEET_LOG")),
    ("NIXFLEET_NIXCFG", Fate::Renamed("NIXFLEET_REPO_DIR")),
    ("NIXFLEET_NIXPKGS_VERSION", Fate::Gone("it is not shown")),
    ("NIXFLEET_PASSWORD_HASH", Fate::Works),
    ("NIXFLEET_RATE_LIMIT", Fate::Gone("the limits on logins are fixed")),
    ("NIXFLEET_RATE_WINDOW", Fate::Gone("the limits on logins are fixed")),
    ("NIXFLEET_REPO_DIR", Fate::Works),
    ("NIXFLEET_REPO_URL", Fate::Works),
    ("NIXFLEET_SESSION_DURATION", Fate::Gone("how long a session lasts is fixed")),
    ("NIXFLEET_SESSION_SECRET", Fate::Works),
    ("NIXFLEET_SSH_KEY", Fate::Works),
    ("NIXFLEET_STALE_CLEANUP_INTERVAL", Fate::Gone("every command has a deadline of its own")),
    ("NIXFLEET_STALE_MINIMUM", Fate::Gone("every command has a deadline of its own")),
    ("NIXFLEET_STALE_MULTIPLIER", Fate::Gone("every command has a deadline of its own")),
    ("NIXFLEET_THEME_COLOR", Fate::Works),
    ("NIXFLEET_TOTP_SECRET", Fate::Works),
    ("NIXFLEET_VERSION_FETCH_TTL", Fate::Renamed("NIXFLEET_FETCH_TTL")),
    ("NIXFLEET_VERSION_URL", Fate::Renamed("NIXFLEET_SOURCE")),
];

/// Looks for variables of before.
///
/// # Errors
///
/// One is set that has another name now, and that one is not: the text names it.
pub(super) fn check(environment: &Environment) -> Result<(), CliError> {
    for (name, fate) in TABLE.iter().filter(|(name, _)| environment.contains_key(*name)) {
        match fate {
            Fate::Works => {}
            Fate::Renamed(new) if environment.contains_key(*new) => {
                log::warn!("{name}: nothing reads it any more; {new} is set and counts");
            }
            Fate::Renamed(new) => {
                let text = format!("{name}: expected under its new name, {new}, got the old one");
                return Err(CliError::Setting(text));
            }
            Fate::Gone(why) => log::warn!("{name}: nothing reads it any more: {why}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn the_table_of_old_variables_is_the_one_of_the_page() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/FROM_NIXFLEET_3.md");
        let page = std::fs::read_to_string(path).unwrap();
        let told: Vec<&str> =
            page.lines().filter(|line| line.starts_with("| `NIXFLEET_")).collect();
        let row = |(name, fate): &(&str, Fate)| match fate {
            Fate::Works => format!("| `{name}` | works |"),
            Fate::Renamed(new) => format!("| `{name}` | refused: it is `{new}` now |"),
            Fate::Gone(why) => format!("| `{name}` | gone: {why} |"),
        };
        assert_eq!(told, TABLE.iter().map(row).collect::<Vec<_>>());
    }

    /// What `--dashboard` and `--agent` say to one variable more.
    fn said(name: &str, value: &str) -> [Result<(), String>; 2] {
        ["--dashboard", "--agent"].map(|role| {
            let mut environment: Environment = [
                ("HOME", "/h"),
                ("NIXFLEET_URL", "http://127.0.0.1:8000"),
                ("NIXFLEET_TOKEN", "t"),
                ("NIXFLEET_REPO_URL", "/r"),
                (name, value),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
            environment.retain(|_, value| !value.is_empty());
            match parse(["nixfleet", role].map(OsString::from), &environment) {
                Ok(_) => Ok(()),
                Err(CliError::Setting(text)) => Err(text),
                Err(CliError::Clap(error)) => Err(error.to_string()),
            }
        })
    }

    #[test]
    fn each_old_variable_works_is_refused_with_its_new_name_or_is_gone() {
        for (name, fate) in TABLE {
            let value = match name {
                "NIXFLEET_LISTEN" => ":8000",
                "NIXFLEET_BASE_URL" | "NIXFLEET_URL" => "https://fleet.example.org",
                "NIXFLEET_THEME_COLOR" => "#7aa2f7",
                "NIXFLEET_LOCATION" => "home",
                "NIXFLEET_DEVICE_TYPE" => "server",
                "NIXFLEET_INTERVAL" => "5",
                _ => "x",
            };
            for said in said(name, value) {
                match fate {
                    Fate::Works | Fate::Gone(_) => assert_eq!(said, Ok(()), "{name}"),
                    Fate::Renamed(new) => {
                        let text = said.expect_err(name);
                        assert!(text.starts_with(name) && text.contains(new), "{text}");
                    }
                }
            }
        }
    }
}
