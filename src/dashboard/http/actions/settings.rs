//! Settings of a host, as bodies and forms name them.

use super::super::error::HttpError;
use crate::domain::host::{Change, NotAWord, Set};
use crate::domain::looks::{DeviceType, Place, Word};
use crate::domain::profile::Overrides;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What users change about a host. A field that is missing stays as it is; `null` gives it
/// back to the agent.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(in crate::dashboard::http) struct Settings {
    theme_color: Set<String>,
    location: Set<String>,
    device_type: Set<String>,
    tests_enabled: Set<bool>,
    tests_auto_run: Set<bool>,
    auto_rollback: Option<bool>,
}

fn word<T: Word>(field: &str, sent: &Set<String>, expected: &str) -> Result<Set<T>, HttpError> {
    sent.read().map_err(|NotAWord| HttpError::bad(field, format!("expected {expected}")))
}

impl Settings {
    /// Checks every field. The error names the one that is not as expected.
    pub(in crate::dashboard::http) fn read(self) -> Result<Change, HttpError> {
        let places = format!("one of {}", Place::ALL.map(Place::name).join(", "));
        let devices = format!("one of {}", DeviceType::ALL.map(DeviceType::name).join(", "));
        Ok(Change {
            location: word("location", &self.location, &places)?,
            device_type: word("device_type", &self.device_type, &devices)?,
            theme_color: word("theme_color", &self.theme_color, "a colour such as #7aa2f7")?,
            tests_enabled: self.tests_enabled,
            tests_auto_run: self.tests_auto_run,
            auto_rollback: self.auto_rollback,
        })
    }
}

/// A host that is added before it ever connects.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::dashboard::http) struct NewHost {
    /// Its name.
    pub(in crate::dashboard::http) hostname: String,
    #[serde(default)]
    theme_color: Set<String>,
    #[serde(default)]
    location: Set<String>,
    #[serde(default)]
    device_type: Set<String>,
}

impl NewHost {
    /// One of which only the name is known.
    pub(in crate::dashboard::http) fn named(hostname: &str) -> Self {
        let keep = || Set::Keep;
        Self {
            hostname: hostname.to_owned(),
            theme_color: keep(),
            location: keep(),
            device_type: keep(),
        }
    }

    /// Checks every field but the name, which its owner checks.
    pub(super) fn read(self) -> Result<(String, Overrides), HttpError> {
        let Self { hostname, theme_color, location, device_type } = self;
        let settings = Settings { theme_color, location, device_type, ..Settings::default() };
        Ok((hostname, settings.read()?.on(Overrides::default())))
    }
}

/// The page's form. It sends every field and, as `was.FIELD`, what that field was when the page
/// was made: only what its user changed is a change. An empty field gives it back to the agent.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::dashboard::http) struct SettingsForm(BTreeMap<String, String>);

impl SettingsForm {
    /// Reads it as the body of the API is read.
    pub(in crate::dashboard::http) fn read(self) -> Result<Change, HttpError> {
        let mut object = serde_json::Map::new();
        for (name, text) in &self.0 {
            let was = self.0.get(&format!("was.{name}"));
            if !name.starts_with("was.") && was != Some(text) {
                object.insert(name.clone(), value_of(text));
            }
        }
        let settings = serde_json::from_value::<Settings>(object.into());
        settings.map_err(|error| HttpError::complaint("form", &error))?.read()
    }
}

fn value_of(text: &str) -> serde_json::Value {
    match text {
        "" => serde_json::Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        text => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Result<Change, HttpError> {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        SettingsForm(fields.collect()).read()
    }

    fn body(text: &str) -> Result<Change, HttpError> {
        let settings = serde_json::from_str::<Settings>(text);
        settings.map_err(|error| HttpError::complaint("body", &error))?.read()
    }

    #[test]
    fn a_form_changes_only_what_its_user_changed() {
        let change = form(&[
            ("location", "work"),
            ("was.location", "home"),
            ("device_type", "server"),
            ("was.device_type", "server"),
            ("tests_enabled", ""),
            ("was.tests_enabled", "true"),
            ("tests_auto_run", ""),
            ("was.tests_auto_run", ""),
        ]);
        let expected = Change {
            location: Set::To(Place::Work),
            tests_enabled: Set::Clear,
            ..Change::default()
        };
        assert_eq!(change.unwrap(), expected);
    }

    #[test]
    fn form_and_body_refuse_in_the_same_words() {
        for (field, wrong) in
            [("location", "moon"), ("device_type", "toaster"), ("theme_color", "red")]
        {
            let of_form = form(&[(field, wrong)]).unwrap_err();
            let of_body = body(&format!(r#"{{"{field}": "{wrong}"}}"#)).unwrap_err();
            assert_eq!(of_form, of_body);
            assert!(of_form.to_string().starts_with(&format!("`{field}`: expected ")));
        }
        for unknown in [form(&[("colour", "x")]), body(r#"{"colour": "x"}"#)] {
            assert!(unknown.unwrap_err().to_string().contains("unknown field `colour`"));
        }
    }
}
