//! Settings of a host, as bodies and forms name them.

use super::super::error::{HttpError, said_back};
use crate::domain::bounds;
use crate::domain::host::{Change, NotAWord, Set, SetTags};
use crate::domain::looks::{DeviceType, Place, Word};
use crate::domain::profile::Overrides;
use crate::domain::tag::{EXPECTED, Tags};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The field of several words.
const TAGS: &str = "tags";

/// What users change about a host. A field that is missing stays as it is; `null` gives it
/// back to the agent.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(in crate::dashboard::http) struct Settings {
    theme_color: Set<String>,
    location: Set<String>,
    device_type: Set<String>,
    tags: Set<Vec<String>>,
    tests_enabled: Set<bool>,
    tests_auto_run: Set<bool>,
    auto_rollback: Option<bool>,
    guard: Set<bool>,
}

fn word<T: Word>(field: &str, sent: &Set<String>, expected: &str) -> Result<Set<T>, HttpError> {
    sent.read().map_err(|NotAWord| HttpError::bad(field, format!("expected {expected}")))
}

/// The tags that were sent: `null` is none of them.
fn set_tags(sent: &Set<Vec<String>>) -> Result<SetTags, HttpError> {
    let texts = match sent {
        Set::Keep => return Ok(SetTags::Keep),
        Set::Clear => return Ok(SetTags::To(Tags::default())),
        Set::To(texts) => texts,
    };
    let read = Tags::read(texts.iter().map(String::as_str));
    read.map(SetTags::To).map_err(|bad| {
        let expected = match bad {
            Some(text) => format!("got {:?}; expected {EXPECTED}", said_back(&text)),
            None => format!("expected at most {} tags", bounds::TAGS),
        };
        HttpError::bad("tags", expected)
    })
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
            tags: set_tags(&self.tags)?,
            tests_enabled: self.tests_enabled,
            tests_auto_run: self.tests_auto_run,
            auto_rollback: self.auto_rollback,
            guard: self.guard,
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
    #[serde(default)]
    tags: Set<Vec<String>>,
}

impl NewHost {
    /// One of which only the name is known.
    pub(in crate::dashboard::http) fn named(hostname: &str) -> Self {
        let keep = || Set::Keep;
        let tags = Set::Keep;
        Self {
            hostname: hostname.to_owned(),
            theme_color: keep(),
            location: keep(),
            device_type: keep(),
            tags,
        }
    }

    /// Checks every field but the name, which its owner checks.
    pub(super) fn read(self) -> Result<(String, Overrides), HttpError> {
        let Self { hostname, theme_color, location, device_type, tags } = self;
        let settings = Settings { theme_color, location, device_type, tags, ..Settings::default() };
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
                let value = if name == TAGS { list_of(text) } else { value_of(text) };
                object.insert(name.clone(), value);
            }
        }
        let settings = serde_json::from_value::<Settings>(object.into());
        settings.map_err(|error| HttpError::complaint("form", &error))?.read()
    }
}

/// Words with spaces or commas between them.
fn list_of(text: &str) -> serde_json::Value {
    let between = |c: char| c.is_whitespace() || c == ',';
    text.split(between).filter(|word| !word.is_empty()).collect()
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
    fn tags_are_a_list_in_a_body_and_words_in_a_form_and_refused_alike() {
        let told = |change: Result<Change, HttpError>| match change.unwrap().tags {
            SetTags::To(tags) => tags.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(form(&[("tags", " web, db  eu"), ("was.tags", "db")])), "db eu web");
        assert_eq!(told(body(r#"{"tags": ["web", "db", "eu"]}"#)), "db eu web");
        assert_eq!(told(form(&[("tags", ""), ("was.tags", "db")])), "");
        assert_eq!(told(body(r#"{"tags": null}"#)), "");
        let many = (0..17).map(|n| format!("t{n}")).collect::<Vec<_>>();
        for words in [vec!["Web".to_owned()], vec!["<script>".to_owned()], many] {
            let of_body = body(&serde_json::json!({ "tags": words }).to_string()).unwrap_err();
            assert_eq!(form(&[("tags", &words.join(" "))]).unwrap_err(), of_body);
            assert!(of_body.to_string().starts_with("`tags`: "), "{of_body}");
        }
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
