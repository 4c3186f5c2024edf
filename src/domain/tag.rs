//! Tags of a host: words by which hosts are found and chosen. Its configuration gives it some, users add
//! others on the dashboard (spec: guard, "Rollouts in waves").

use super::bounds;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;

/// What a tag is made of, for messages.
pub const EXPECTED: &str =
    "1 to 40 small letters, digits, `-`, `_` or `.`, a letter or digit first";

/// So long is a tag at most, in characters.
const LENGTH: usize = 40;

/// A tag: small letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tag(String);

impl Tag {
    /// Reads a tag; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = text.len() <= LENGTH
            && text.starts_with(letter)
            && text.chars().all(|c| letter(c) || "-_.".contains(c));
        fits.then(|| Self(text.to_owned()))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("expected {EXPECTED}")))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Several tags, each once, in the order of the alphabet. As text: with spaces between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(BTreeSet<Tag>);

impl Tags {
    /// Reads tags; the error is the first text that is none, or `None` where there are too many.
    ///
    /// # Errors
    ///
    /// A text is no tag, or there are more than a host may have.
    pub fn read<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, Option<String>> {
        let one = |text: &str| Tag::parse(text).ok_or_else(|| Some(text.to_owned()));
        let tags: BTreeSet<Tag> = texts.map(one).collect::<Result<_, _>>()?;
        if tags.len() > bounds::TAGS { Err(None) } else { Ok(Self(tags)) }
    }

    /// Of what an agent says: what is a tag, and no more of them than a host may have.
    pub fn known<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        Self(texts.filter_map(Tag::parse).take(bounds::TAGS).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is one of them.
    pub fn contains(&self, tag: &Tag) -> bool {
        self.0.contains(tag)
    }

    /// In the order of the alphabet.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter()
    }

    /// Adds a tag, where there is room for one more. Answers whether it is one of them now.
    pub fn add(&mut self, tag: Tag) -> bool {
        if self.0.len() < bounds::TAGS {
            self.0.insert(tag);
            return true;
        }
        self.0.contains(&tag)
    }

    /// Takes a tag away.
    pub fn remove(&mut self, tag: &Tag) {
        self.0.remove(tag);
    }

    /// These and those.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        Self(self.0.union(&others.0).cloned().collect())
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, tag) in self.0.iter().enumerate() {
            let between = if at == 0 { "" } else { " " };
            write!(f, "{between}{tag}")?;
        }
        Ok(())
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Stored text that is no tag is nothing.
impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Ok(Self::known(texts.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(text: &str) -> Tags {
        Tags::read(text.split(' ').filter(|word| !word.is_empty())).unwrap()
    }

    #[test]
    fn a_tag_is_a_plain_word_and_no_other_text_is_one() {
        for good in ["db", "eu-west-1", "2nd", "a_b.c", &"a".repeat(LENGTH)] {
            assert_eq!(Tag::parse(good).map(|tag| tag.to_string()).as_deref(), Some(good));
        }
        let long = "a".repeat(LENGTH + 1);
        for bad in [
            "", "DB", " db", "db ", "a b", "-a", ".a", "_a", "a,b", "é", "<b>", "a\0", "a:b", &long,
        ] {
            assert_eq!(Tag::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn tags_are_read_whole_or_refused_by_the_word_that_is_none() {
        assert_eq!(tags("web db web").to_string(), "db web");
        assert_eq!(Tags::read(["db", "no tag"].into_iter()), Err(Some("no tag".to_owned())));
        let many: Vec<String> = (0..=bounds::TAGS).map(|n| format!("t{n}")).collect();
        assert_eq!(Tags::read(many.iter().map(String::as_str)), Err(None));
        assert_eq!(Tags::known(many.iter().map(String::as_str)).len(), bounds::TAGS);
        assert_eq!(Tags::known(["db", "NO", "web"].into_iter()), tags("db web"));
    }

    #[test]
    fn what_is_full_takes_no_more_and_says_so() {
        let many: Vec<String> = (0..bounds::TAGS).map(|n| format!("t{n}")).collect();
        let mut full = Tags::read(many.iter().map(String::as_str)).unwrap();
        assert!(full.add(Tag::parse("t0").unwrap()));
        assert!(!full.add(Tag::parse("one-more").unwrap()));
        full.remove(&Tag::parse("t0").unwrap());
        assert!(full.add(Tag::parse("one-more").unwrap()));
        assert_eq!(full.len(), bounds::TAGS);
    }

    proptest! {
        #[test]
        fn whatever_is_stored_is_read_and_what_is_written_is_read_back(
            texts in prop::collection::vec("[a-z0-9A-Z<. _-]{0,6}", 0..40),
        ) {
            let stored = serde_json::to_string(&texts).unwrap();
            let read: Tags = serde_json::from_str(&stored).unwrap();
            prop_assert!(read.len() <= bounds::TAGS);
            let written = serde_json::to_string(&read).unwrap();
            prop_assert_eq!(serde_json::from_str::<Tags>(&written).unwrap(), read.clone());
            let told = read.to_string();
            prop_assert_eq!(Tags::read(told.split_whitespace()), Ok(read));
        }
    }
}
