//! Where a host is, what it is, and its colour: a fixed vocabulary.
//!
//! What agents say here is text from outside. It becomes one of these types, or nothing.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// At home.
    Home,
    /// At work.
    Work,
    /// Rented somewhere.
    Cloud,
}

impl Place {
    /// All places.
    pub const ALL: [Self; 3] = [Self::Home, Self::Work, Self::Cloud];

    /// The name on the wire, in the API and in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Work => "work",
            Self::Cloud => "cloud",
        }
    }

    /// Reads the name; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.name() == text)
    }
}

/// What kind of machine a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceType {
    /// A server.
    Server,
    /// A desktop.
    Desktop,
    /// A laptop.
    Laptop,
    /// A machine for games.
    Gaming,
}

impl DeviceType {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Server, Self::Desktop, Self::Laptop, Self::Gaming];

    /// The name on the wire, in the API and in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Desktop => "desktop",
            Self::Laptop => "laptop",
            Self::Gaming => "gaming",
        }
    }

    /// Reads the name; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|device| device.name() == text)
    }
}

/// A colour, `#rrggbb`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Colour(String);

impl Colour {
    /// Reads `#` and six hexadecimal digits, of which the case is kept; `None` for any other
    /// text.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        let valid = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if valid { Some(Self(text.to_owned())) } else { None }
    }

    /// The colour as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A word of a fixed vocabulary.
pub trait Word: Sized {
    /// Reads it; `None` for any text that is not in the vocabulary.
    fn read(text: &str) -> Option<Self>;
    /// The text.
    fn text(&self) -> &str;
}

/// Gives a word its two ways to text: as itself, and, where it is stored, as a string.
macro_rules! word {
    ($name:ident, $text:ident) => {
        impl Word for $name {
            fn read(text: &str) -> Option<Self> {
                Self::parse(text)
            }

            fn text(&self) -> &str {
                self.$text()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.$text())
            }
        }
    };
}

word!(Place, name);
word!(DeviceType, name);
word!(Colour, as_str);

/// Stored and served as text that is empty where nothing is known, as by earlier versions.
pub mod or_empty {
    use super::*;

    /// The word, or the empty text.
    pub fn text<T: Word>(word: Option<&T>) -> &str {
        word.map_or("", Word::text)
    }

    pub(crate) fn serialize<T: Word, S: Serializer>(
        word: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text(word.as_ref()))
    }

    pub(crate) fn deserialize<'de, T: Word, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        String::deserialize(deserializer).map(|text| T::read(&text))
    }
}

/// Stored as text or `null`.
pub(crate) mod or_null {
    use super::*;

    pub(crate) fn serialize<T: Word, S: Serializer>(
        word: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        word.as_ref().map(Word::text).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Word, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.and_then(|text| T::read(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_no_other_text_is_one() {
        for place in Place::ALL {
            assert_eq!(Place::parse(place.name()), Some(place));
        }
        for device in DeviceType::ALL {
            assert_eq!(DeviceType::parse(device.name()), Some(device));
        }
        assert_eq!(Colour::parse("#7Aa2f7").unwrap().as_str(), "#7Aa2f7");
        for hostile in ["", "Home", " home", "home ", "<script>", "home\0", "#", "#7aa2f", "7aa2f7"]
        {
            assert_eq!(Place::parse(hostile), None, "{hostile:?}");
            assert_eq!(DeviceType::parse(hostile), None, "{hostile:?}");
            assert_eq!(Colour::parse(hostile), None, "{hostile:?}");
        }
        for hostile in ["#7aa2f7 ", "#gggggg", "#éaa2f", "#7aa2f7\"", "##aa2f7"] {
            assert_eq!(Colour::parse(hostile), None, "{hostile:?}");
        }
    }
}
