//! A setting is a flag or a variable; a secret is a variable or a file.

use super::environment::Environment;
use super::error::CliError;
use super::values::Parsed;
use crate::base::env_file;
use crate::base::secret::Secret;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Whether everybody on this machine can read a file.
pub(super) fn all_may_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o007 != 0)
}

/// The settings of this process.
pub(super) struct Settings<'a> {
    pub(super) environment: &'a Environment,
}

pub(super) fn variable(flag: &str) -> String {
    format!("NIXFLEET_{}", flag.replace('-', "_").to_uppercase())
}

impl Settings<'_> {
    /// A setting from its flag or variable. `parse` says what was expected.
    pub(super) fn get<T>(
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
    pub(super) fn data_dir(&self, value: Option<&String>) -> Result<PathBuf, CliError> {
        let given = self.path(value, "data-dir")?;
        Ok(given.unwrap_or_else(|| self.default_dir("nixfleet")))
    }

    pub(super) fn text(
        &self,
        value: Option<&String>,
        flag: &str,
    ) -> Result<Option<String>, CliError> {
        self.get(value, flag, |text| Ok(text.to_owned()))
    }

    pub(super) fn path(
        &self,
        value: Option<&String>,
        flag: &str,
    ) -> Result<Option<PathBuf>, CliError> {
        self.get(value, flag, |text| {
            let path = PathBuf::from(text);
            std::path::absolute(path).map_err(|error| format!("a path ({error})"))
        })
    }

    /// A secret from its variable, or from the file that `NAME_FILE` names.
    pub(super) fn secret(&self, name: &str) -> Result<Option<Secret>, CliError> {
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
        // A file of variables with this one in it, as NixFleet 3 had it (finding 53).
        let secret = env_file::value_of(&text, name);
        let secret = secret.as_deref().unwrap_or(&text).trim_end_matches(['\n', '\r']);
        if secret.is_empty() {
            return Err(CliError::Setting(format!(
                "{file_name}: expected a secret, {file} is empty"
            )));
        }
        if all_may_read(Path::new(file)) {
            log::warn!("{file_name}: everybody on this machine can read {file}");
        }
        Ok(Some(Secret::new(secret)))
    }

    pub(super) fn home(&self) -> PathBuf {
        self.environment.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    /// Where a role keeps its state when nothing else is said.
    pub(super) fn default_dir(&self, name: &str) -> PathBuf {
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
}
