//! A point in time, as the domain sees it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the Unix epoch, UTC. Shown and serialized as RFC 3339
/// (`2026-01-18T10:30:00Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The years 0000 to 9999 are what RFC 3339 can write; anything outside is clamped.
const MIN_MILLIS: i64 = -62_167_219_200_000;
const MAX_MILLIS: i64 = 253_402_300_799_999;
const DAY_MILLIS: i64 = 24 * 3600 * 1000;

impl Timestamp {
    /// From milliseconds since the Unix epoch, clamped to the years 0000 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(MIN_MILLIS, MAX_MILLIS))
    }

    /// From whole seconds since the Unix epoch.
    pub fn from_secs(secs: i64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339; `None` if the text is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = parsed.unix_timestamp_nanos() / 1_000_000;
        Some(Self::from_millis(i64::try_from(millis).ok()?))
    }

    /// This instant moved by `millis`, which may be negative.
    #[must_use]
    pub fn shifted(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        self.shifted(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand: a page of a thousand hosts has ten thousand of them, a list even more.
        let (days, of_day) = (self.0.div_euclid(DAY_MILLIS), self.0.rem_euclid(DAY_MILLIS));
        let (year, month, day) = civil(days);
        let (secs, millis) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], hour);
        digits(&mut text[14..16], minute);
        digits(&mut text[17..19], second);
        digits(&mut text[20..23], millis);
        // A fraction ends with its last digit that is not 0.
        let length = match millis {
            0 => 19,
            whole if whole % 100 == 0 => 21,
            tens if tens % 10 == 0 => 22,
            _ => 23,
        };
        text[length] = b'Z';
        let text = text.get(..=length).unwrap_or_default();
        f.write_str(std::str::from_utf8(text).unwrap_or_default())
    }
}

/// Writes a number, which is not negative, into as many digits as there are places.
fn digits(places: &mut [u8], number: i64) {
    let mut rest = number;
    for place in places.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Year, month and day of a day that is counted from 1970-01-01, by the Gregorian calendar.
/// Years are counted from March here, so that the day that leap years have is the last one.
fn civil(days: i64) -> (i64, i64, i64) {
    // 719468 days lie between 0000-03-01 and 1970-01-01; 146097 are 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on have 153 days together, and so have the next five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_its_own_text() {
        let instant = Timestamp::from_millis(1_768_732_200_123);
        assert_eq!(instant.to_string(), "2026-01-18T10:30:00.123Z");
        assert_eq!(Timestamp::parse(&instant.to_string()), Some(instant));
    }

    proptest::proptest! {
        #[test]
        fn every_instant_is_written_as_rfc_3339_says(millis in MIN_MILLIS..=MAX_MILLIS, whole: bool) {
            let millis = if whole { millis / 1000 * 1000 } else { millis };
            let told = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
            let told = told.unwrap().format(&Rfc3339).unwrap();
            proptest::prop_assert_eq!(Timestamp(millis).to_string(), told);
        }
    }

    #[test]
    fn days_of_four_hundred_years_are_written_as_rfc_3339_says() {
        // 13 and the lengths of years have no common divisor: every date comes.
        for day in (-719_528..-719_528 + 146_097).step_by(13) {
            let at = Timestamp(day * DAY_MILLIS + day.rem_euclid(1000));
            let told = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000);
            assert_eq!(at.to_string(), told.unwrap().format(&Rfc3339).unwrap());
        }
    }

    #[test]
    fn absurd_instants_still_have_a_text() {
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), "0000-01-01T00:00:00Z");
    }
}
