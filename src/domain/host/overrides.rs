//! What users set about a host, and how one change of it is merged with all others.

use crate::domain::looks::{Colour, DeviceType, Place, Word};
use crate::domain::profile::Overrides;
use crate::domain::tag::{Tag, Tags};
use serde::{Deserialize, Deserializer};

/// What a change says about one setting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Set<T> {
    /// Nothing: it stays as it is.
    #[default]
    Keep,
    /// It shall be this.
    To(T),
    /// It is given back to the agent.
    Clear,
}

impl<T> Set<T> {
    /// Changes a setting.
    fn merge_into(self, setting: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::To(value) => *setting = Some(value),
            Self::Clear => *setting = None,
        }
    }
}

impl Set<String> {
    /// Makes a word of the text.
    ///
    /// # Errors
    ///
    /// The text is not in the vocabulary.
    pub fn read<T: Word>(&self) -> Result<Set<T>, NotAWord> {
        match self {
            Self::Keep => Ok(Set::Keep),
            Self::To(text) => T::read(text).map(Set::To).ok_or(NotAWord),
            Self::Clear => Ok(Set::Clear),
        }
    }
}

/// A text that is not in the vocabulary of its setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAWord;

/// A value sets, `null` clears; a field that is missing, with `#[serde(default)]`, keeps.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Set<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<T>::deserialize(deserializer)? {
            Some(value) => Self::To(value),
            None => Self::Clear,
        })
    }
}

/// What a change says about the tags that users added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SetTags {
    /// They stay as they are.
    #[default]
    Keep,
    /// They shall be these.
    To(Tags),
    /// This one more, where there is room.
    Add(Tag),
    /// All but this one.
    Remove(Tag),
}

impl SetTags {
    fn merge_into(self, tags: &mut Tags) {
        match self {
            Self::Keep => {}
            Self::To(all) => *tags = all,
            Self::Add(tag) => {
                tags.add(tag);
            }
            Self::Remove(tag) => tags.remove(&tag),
        }
    }
}

/// What a user changes about a host. Only what it names is changed, so two users who change
/// two settings at one moment both get what they asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Where it stands.
    pub location: Set<Place>,
    /// What kind of machine it is.
    pub device_type: Set<DeviceType>,
    /// Its colour on the page.
    pub theme_color: Set<Colour>,
    /// The tags beside those that its configuration gives it.
    pub tags: SetTags,
    /// Whether tests are on.
    pub tests_enabled: Set<bool>,
    /// Whether tests run by themselves after a switch.
    pub tests_auto_run: Set<bool>,
    /// Whether failed tests after a switch roll it back without asking; `None` keeps it. The
    /// agent has no say in it.
    pub auto_rollback: Option<bool>,
    /// Whether its switches are guarded.
    pub guard: Set<bool>,
}

impl Change {
    /// The settings with this change.
    pub fn on(self, mut overrides: Overrides) -> Overrides {
        self.merge_into(&mut overrides);
        overrides
    }

    /// Changes what it names, keeps the rest.
    pub(super) fn merge_into(self, overrides: &mut Overrides) {
        self.location.merge_into(&mut overrides.location);
        self.device_type.merge_into(&mut overrides.device_type);
        self.theme_color.merge_into(&mut overrides.theme_color);
        self.tags.merge_into(&mut overrides.tags);
        self.tests_enabled.merge_into(&mut overrides.tests_enabled);
        self.tests_auto_run.merge_into(&mut overrides.tests_auto_run);
        if let Some(on) = self.auto_rollback {
            overrides.auto_rollback = on;
        }
        self.guard.merge_into(&mut overrides.guard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_what_it_sets_and_clears_and_keeps_the_rest() {
        let mut overrides = Overrides {
            location: Some(Place::Home),
            device_type: Some(DeviceType::Laptop),
            tests_enabled: Some(true),
            auto_rollback: true,
            ..Overrides::default()
        };
        let change =
            Change { location: Set::To(Place::Work), device_type: Set::Clear, ..Change::default() };
        change.merge_into(&mut overrides);
        let expected = Overrides {
            location: Some(Place::Work),
            device_type: None,
            tests_enabled: Some(true),
            auto_rollback: true,
            ..Overrides::default()
        };
        assert_eq!(overrides, expected);
        Change::default().merge_into(&mut overrides);
        assert_eq!(overrides, expected, "a change that names nothing changes nothing");
    }

    #[test]
    fn a_tag_that_is_added_or_taken_away_leaves_the_others() {
        let tag = |text: &str| Tag::parse(text).unwrap();
        let mut overrides = Overrides::default();
        for (tags, expected) in [
            (SetTags::Add(tag("web")), "web"),
            (SetTags::Add(tag("db")), "db web"),
            (SetTags::Keep, "db web"),
            (SetTags::Remove(tag("web")), "db"),
            (SetTags::Remove(tag("web")), "db"),
            (SetTags::To(Tags::default()), ""),
        ] {
            Change { tags, ..Change::default() }.merge_into(&mut overrides);
            assert_eq!(overrides.tags.to_string(), expected);
        }
    }

    #[test]
    fn null_clears_a_value_sets_and_a_missing_field_keeps() {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            location: Set<String>,
        }
        for (body, expected) in [
            ("{}", Ok(Set::Keep)),
            (r#"{"location": null}"#, Ok(Set::Clear)),
            (r#"{"location": "work"}"#, Ok(Set::To(Place::Work))),
            (r#"{"location": "<script>"}"#, Err(NotAWord)),
        ] {
            let body: Body = serde_json::from_str(body).unwrap();
            assert_eq!(body.location.read::<Place>(), expected);
        }
    }
}
