//! The variables of this process.

use super::error::CliError;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// How the names of this program's own variables begin.
const OWN: &str = "NIXFLEET_";
/// The variables of others that settings are taken from.
const OF_OTHERS: [&str; 4] = ["HOME", "STATE_DIRECTORY", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];

/// Variables that are set and not empty, by name.
pub type Environment = BTreeMap<String, String>;

/// The variables of this process.
///
/// # Errors
///
/// A variable that a setting is taken from is not UTF-8; the text names it.
pub fn environment() -> Result<Environment, CliError> {
    read(std::env::vars_os())
}

/// The names of this program's own variables that are set, whatever their values are.
pub fn own_variables() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().starts_with(OWN)).collect()
}

fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Environment, CliError> {
    let mut environment = Environment::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else {
            // It is not one of ours: those have plain names.
            continue;
        };
        match value.into_string() {
            Ok(value) if value.is_empty() => {}
            Ok(value) => {
                environment.insert(name, value);
            }
            Err(_) if name.starts_with(OWN) || OF_OTHERS.contains(&name.as_str()) => {
                let text = format!("{name}: expected UTF-8, got other bytes");
                return Err(CliError::Setting(text));
            }
            Err(_) => {}
        }
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn latin(name: &str) -> Vec<(OsString, OsString)> {
        let set = (OsString::from("NIXFLEET_LISTEN"), OsString::from("[::1]:1"));
        vec![set, (OsString::from(name), OsString::from_vec(b"caf\xe9".to_vec()))]
    }

    #[test]
    fn a_setting_that_is_not_utf_8_is_named_and_not_ignored() {
        for name in ["NIXFLEET_HOSTNAME", "NIXFLEET_TOKEN", "HOME", "STATE_DIRECTORY"] {
            let Err(CliError::Setting(text)) = read(latin(name)) else { panic!("{name}") };
            assert_eq!(text, format!("{name}: expected UTF-8, got other bytes"));
        }
    }

    #[test]
    fn variables_of_others_may_be_anything() {
        let environment = read(latin("LS_COLORS")).unwrap();
        assert_eq!(environment.keys().collect::<Vec<_>>(), ["NIXFLEET_LISTEN"]);
    }
}
