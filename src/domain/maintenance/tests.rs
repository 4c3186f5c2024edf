use super::*;
use crate::domain::audit::Author;
use crate::domain::tag::Tag;
use proptest::prelude::*;
use uuid::Uuid;

fn zones(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// "sat,sun 22:00-04:00 Europe/Vienna"
fn window(text: &str) -> Window {
    let mut parts = text.split(' ');
    let mut next = || parts.next().unwrap();
    let days = match next() {
        "daily" => Day::ALL.into(),
        days => days.split(',').map(|day| Day::parse(day).unwrap()).collect(),
    };
    let (from, to) = next().split_once('-').unwrap();
    Window {
        id: WindowId(Uuid::from_u128(1)),
        tag: None,
        days,
        from: minute_of(from).unwrap(),
        to: minute_of(to).unwrap(),
        time_zone: next().to_owned(),
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(&format!("{text}:00Z")).unwrap_or_else(|| panic!("{text}"))
}

/// What is now, in UTC; whether the window is open; where it is not, when it opens next.
#[test]
fn a_window_is_open_while_the_clock_on_the_wall_is_in_it_also_when_that_is_set() {
    for (text, now, open, next) in [
        // A Saturday in winter: Vienna is one hour ahead of UTC.
        ("sat 02:00-04:00 Europe/Vienna", "2026-11-28T00:59", false, "2026-11-28T01:00"),
        ("sat 02:00-04:00 Europe/Vienna", "2026-11-28T01:00", true, ""),
        ("sat 02:00-04:00 Europe/Vienna", "2026-11-28T02:59", true, ""),
        ("sat 02:00-04:00 Europe/Vienna", "2026-11-28T03:00", false, "2026-12-05T01:00"),
        // In summer: two hours.
        ("sat 02:00-04:00 Europe/Vienna", "2026-07-04T00:00", true, ""),
        // Over midnight: the day is that on which it opens.
        ("fri 22:00-06:00 UTC", "2026-11-27T21:59", false, "2026-11-27T22:00"),
        ("fri 22:00-06:00 UTC", "2026-11-27T22:00", true, ""),
        ("fri 22:00-06:00 UTC", "2026-11-28T05:59", true, ""),
        ("fri 22:00-06:00 UTC", "2026-11-28T06:00", false, "2026-12-04T22:00"),
        ("fri 22:00-06:00 UTC", "2026-11-27T03:00", false, "2026-11-27T22:00"),
        // To the end of the day, all day, and over the end of a year.
        ("sun 12:00-24:00 UTC", "2026-11-29T23:59", true, ""),
        ("sun 12:00-24:00 UTC", "2026-11-30T00:00", false, "2026-12-06T12:00"),
        ("daily 00:00-24:00 UTC", "2026-11-30T00:00", true, ""),
        ("thu 23:00-01:00 UTC", "2027-01-01T00:30", true, ""),
        // Another day there than here.
        ("mon 01:00-02:00 Pacific/Auckland", "2026-11-29T12:30", true, ""),
        ("sun 20:00-21:00 America/Los_Angeles", "2026-11-30T03:59", false, "2026-11-30T04:00"),
        // 2026-03-29: the clock is set from 02:00 to 03:00. What it never shows is in no window,
        ("sun 02:00-03:00 Europe/Vienna", "2026-03-29T01:00", false, "2026-04-05T00:00"),
        // what it shows after is in one that has begun or not,
        ("sun 02:30-04:00 Europe/Vienna", "2026-03-29T00:59", false, "2026-03-29T01:00"),
        ("sun 02:30-04:00 Europe/Vienna", "2026-03-29T01:00", true, ""),
        ("sat 22:00-02:30 Europe/Vienna", "2026-03-29T01:00", false, "2026-04-04T20:00"),
        ("sun 01:00-05:00 Europe/Vienna", "2026-03-29T01:00", true, ""),
        // 2026-10-25: it is set from 03:00 to 02:00. What it shows twice is in the window twice.
        ("sun 02:00-02:30 Europe/Vienna", "2026-10-25T00:10", true, ""),
        ("sun 02:00-02:30 Europe/Vienna", "2026-10-25T00:40", false, "2026-10-25T01:00"),
        ("sun 02:00-02:30 Europe/Vienna", "2026-10-25T01:10", true, ""),
        ("sun 02:00-03:00 Europe/Vienna", "2026-10-25T01:59", true, ""),
        ("sun 02:00-03:00 Europe/Vienna", "2026-10-25T02:00", false, "2026-11-01T01:00"),
        // A zone that is gone is UTC.
        ("sat 02:00-04:00 Europe/Atlantis", "2026-11-28T02:00", true, ""),
    ] {
        let window = window(text);
        assert_eq!(window.is_open(at(now), &zones), open, "{text} at {now}");
        if !open {
            let opens = opens([&window].into_iter(), at(now), &zones).map(|(at, _)| at.to_string());
            assert_eq!(opens, Some(format!("{next}:00Z")), "{text} after {now}");
        }
    }
}

#[test]
fn a_time_of_day_is_read_as_it_is_written_and_no_other_text_is_one() {
    for (text, minute) in
        [("00:00", 0), ("7:30", 450), ("07:30", 450), ("23:59", 1439), ("24:00", MIDNIGHT)]
    {
        assert_eq!(minute_of(text), Some(minute), "{text}");
    }
    for bad in
        ["", "7", "7:3", "24:01", "25:00", "12:60", "-1:00", "+7:00", "07:30:00", "a:bb", "007:30"]
    {
        assert_eq!(minute_of(bad), None, "{bad}");
    }
}

fn tags(text: &str) -> Tags {
    Tags::read(text.split_whitespace()).unwrap()
}

#[test]
fn what_holds_a_host_back_says_why_and_until_when() {
    let freeze = Freeze {
        reason: "end of the year".into(),
        by: Author::Admin,
        since: at("2026-12-20T00:00"),
        until: at("2027-01-04T08:00"),
    };
    let of = |tag: &str, text: &str| Window { tag: Tag::parse(tag), ..window(text) };
    let maintenance = Maintenance {
        freeze: Some(freeze),
        windows: vec![of("db", "sat 02:00-04:00 Europe/Vienna"), of("eu", "mon 12:00-13:00 UTC")],
    };
    let none = Regardless::new();
    let all = Regardless::from(Restraint::ALL);
    let frozen = "frozen until 2027-01-04 08:00 UTC: end of the year";
    let of_db =
        "outside of its maintenance window, which opens Sat 2027-01-09 02:00 (Europe/Vienna)";
    let of_eu = "outside of its maintenance window, which opens Mon 2027-01-11 12:00 (UTC)";
    for (host, regardless, now, why) in [
        ("web", &none, "2027-01-04T07:59", Some(frozen)),
        ("web", &none, "2027-01-04T08:00", None),
        ("web", &Regardless::from([Restraint::Windows]), "2027-01-04T07:00", Some(frozen)),
        ("web", &all, "2027-01-04T07:00", None),
        ("db", &none, "2027-01-05T00:00", Some(of_db)),
        ("db", &none, "2027-01-09T01:30", None),
        ("db", &Regardless::from([Restraint::Freeze]), "2027-01-05T00:00", Some(of_db)),
        ("db", &all, "2027-01-05T00:00", None),
        // The first of several that opens, and any that is open.
        ("db eu", &none, "2027-01-05T00:00", Some(of_db)),
        ("db eu", &none, "2027-01-10T00:00", Some(of_eu)),
        ("db eu", &none, "2027-01-11T12:30", None),
    ] {
        let told = maintenance.holds_back(&tags(host), regardless, at(now), &zones);
        assert_eq!(told.map(|back| back.why).as_deref(), why, "{host} at {now}");
    }
    assert_eq!(
        Maintenance::default().holds_back(&tags("db"), &none, at("2027-01-05T00:00"), &zones),
        None
    );
}

#[test]
fn what_is_stored_is_read_back() {
    let maintenance = Maintenance {
        freeze: None,
        windows: vec![Window { tag: Tag::parse("db"), ..window("sat,sun 22:00-04:00 UTC") }],
    };
    let stored = serde_json::to_value(&maintenance).unwrap();
    assert_eq!(stored["windows"][0]["days"], serde_json::json!(["sat", "sun"]));
    assert_eq!(serde_json::from_value::<Maintenance>(stored).unwrap(), maintenance);
    assert_eq!(maintenance.windows[0].told(), "Sat, Sun 22:00 to 04:00 (UTC)");
}

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    // Half an hour of summer time, and days that begin before all others.
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
];

fn some_window() -> impl Strategy<Value = Window> {
    let days = prop::collection::btree_set(prop::sample::select(Day::ALL.to_vec()), 1..4);
    let times = (0..MIDNIGHT, 1..=MIDNIGHT).prop_filter("opens", |(from, to)| from != to);
    (days, times, prop::sample::select(ZONES.to_vec())).prop_map(|(days, (from, to), zone)| {
        let id = WindowId(Uuid::from_u128(1));
        Window { id, tag: None, days, from, to, time_zone: zone.to_owned() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Looked at every five minutes: it opens when it says, and never before.
    #[test]
    fn a_window_opens_when_it_says_and_never_before(
        window in some_window(),
        // 2026 and 2027, with all their clocks that are set.
        minute in 29_455_200_i64..30_506_400,
    ) {
        let now = Timestamp::from_secs(minute * 60);
        prop_assume!(!window.is_open(now, &zones));
        let next = opens([&window].into_iter(), now, &zones);
        let (next, _) = next.expect("a window opens within two weeks");
        prop_assert!(next > now);
        prop_assert!(window.is_open(next, &zones), "{:?} at {next}", window);
        let mut at = now;
        while at < next {
            prop_assert!(!window.is_open(at, &zones), "{:?} is open at {at}, before {next}", window);
            at = at.shifted(300_000);
        }
    }

    #[test]
    fn a_window_of_the_whole_week_is_always_open(
        zone in prop::sample::select(ZONES.to_vec()),
        minute in 29_455_200_i64..30_506_400,
    ) {
        let window = window(&format!("daily 00:00-24:00 {zone}"));
        prop_assert!(window.is_open(Timestamp::from_secs(minute * 60), &zones));
    }
}
