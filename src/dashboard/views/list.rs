//! The list of hosts: its groups, what of it is shown, and in which order.

use super::sprite;
use crate::dashboard::live::model::{FleetView, HostEntry};
use crate::domain::group::Group;
use crate::domain::ids::HostId;
use crate::domain::looks::{self, DeviceType};
use crate::domain::next_step::NextStep;
use maud::{Markup, html};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// A group of more hosts that are all current is folded until somebody opens it.
const FOLDED_ABOVE: usize = 20;
/// So many causes are named in a group's head.
const CAUSES: usize = 3;

/// What the list is grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum By {
    /// By what they need, worst first.
    #[default]
    State,
    /// By how their names begin.
    Name,
    /// By where they stand.
    Place,
    /// By what they run.
    Platform,
    /// By the tags they have, all of them: a host is in one group.
    Tags,
    /// Not at all.
    Nothing,
}

impl By {
    /// All of them, as the page offers them.
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::State, "", "By state"),
        (Self::Name, "name", "By name prefix"),
        (Self::Place, "place", "By place"),
        (Self::Platform, "platform", "By platform"),
        (Self::Tags, "tag", "By tag"),
        (Self::Nothing, "none", "No groups"),
    ];
}

/// What of the fleet is shown, and how. It is what the address says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// Only this group.
    pub show: Option<Group>,
    /// Only hosts with these words.
    pub words: String,
    /// What they are grouped by.
    pub by: By,
    /// Those that were heard longest ago first, instead of by name.
    pub by_seen: bool,
    /// The groups that are folded, by key; `None`: as it seems best.
    pub folded: Option<BTreeSet<String>>,
}

impl Look {
    /// Reads what an address holds. What is not known there is left out.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let keys = |text: String| {
            text.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect()
        };
        let mut folded: Option<BTreeSet<String>> = get("fold").map(keys);
        if let (Some(key), Some(folded)) = (get("toggle"), folded.as_mut())
            && !folded.remove(&key)
        {
            folded.insert(key);
        }
        let by = get("group").unwrap_or_default();
        let by = By::ALL.iter().find(|(_, name, _)| *name == by);
        Self {
            show: get("show").and_then(|name| Group::parse(&name)),
            words: get("q").unwrap_or_default(),
            by: by.map(|(by, ..)| *by).unwrap_or_default(),
            by_seen: get("sort").as_deref() == Some("seen"),
            folded,
        }
    }

    fn fits(&self, entry: &HostEntry) -> bool {
        let told = self.words.to_lowercase();
        let text = if told.is_empty() { String::new() } else { text_of(entry) };
        self.show.is_none_or(|group| group == entry.group)
            && told.split_whitespace().all(|word| is_found_by(entry, &text, word))
    }
}

/// Whether a host has a word among its own. A tag is meant whole: `tag:db` does not find `db-replica`.
/// The page's script says the same.
fn is_found_by(entry: &HostEntry, text: &str, word: &str) -> bool {
    match word.strip_prefix("tag:") {
        Some(wanted) => entry.snapshot.profile.tags.iter().any(|tag| tag.as_str() == wanted),
        None => text.contains(word),
    }
}

/// Whether a host is found by all of these words, in small letters.
pub(super) fn holds(entry: &HostEntry, told: &str) -> bool {
    let text = text_of(entry);
    told.split_whitespace().all(|word| is_found_by(entry, &text, word))
}

/// What a host is found by. The page's script reads the same words from its row.
fn text_of(entry: &HostEntry) -> String {
    let host = &*entry.snapshot;
    let profile = &host.profile;
    let commit = host.facts.deployed_commit();
    let (platform, word) = super::host::platform(&profile.platform).unwrap_or_default();
    let words = [
        host.id.as_str(),
        &profile.hostname,
        platform,
        word,
        profile.location.map_or("", looks::Place::name),
        profile.location.map_or("", super::host::at),
        profile.device_type.map_or("", DeviceType::name),
        entry.group.word(),
        entry.why.mark.as_deref().unwrap_or_default(),
        &entry.why.text,
        commit.as_ref().map_or("", |commit| commit.short()),
        host.facts.checkout.as_ref().map_or("", |commit| commit.short()),
    ];
    let mut text = words.join(" ").to_lowercase();
    for tag in profile.tags.iter() {
        text.push_str(" tag:");
        text.push_str(tag.as_str());
    }
    text
}

/// A host, and whether it is shown.
pub(super) type Shown<'a> = (&'a HostEntry, bool);

/// A group as it stands in the list.
pub(super) struct Section<'a> {
    /// Its head; none where nothing is grouped.
    pub head: Option<Markup>,
    /// Its hosts in their order.
    pub hosts: Vec<Shown<'a>>,
}

/// The list from top to bottom.
pub(super) fn sections<'a>(view: &'a FleetView, look: &Look) -> Vec<Section<'a>> {
    let folded = folded(view, look);
    let mut groups: BTreeMap<Place<'a>, Vec<Shown<'a>>> = BTreeMap::new();
    if look.by == By::State {
        for (at, group) in Group::ALL.into_iter().enumerate() {
            groups.insert((at, group.name().into(), "".into()), Vec::new());
        }
    }
    let shared = if look.by == By::Name { shared_beginnings(view) } else { BTreeSet::new() };
    for entry in view.hosts.values() {
        let group = group_of(entry, look.by, &shared);
        let shown = look.fits(entry) && !folded.contains(&*group.1);
        groups.entry(group).or_default().push((entry, shown));
    }
    let heads = Heads::of(view.hosts.values());
    let mut sections = Vec::new();
    for ((_, key, title), mut hosts) in groups {
        if look.by_seen {
            hosts.sort_by_key(|(entry, _)| entry.pulse.last_seen);
        }
        let some = hosts.iter().any(|(entry, _)| look.fits(entry));
        let open = !folded.contains(&*key);
        let head = match (look.by, Group::parse(&key)) {
            (By::Nothing, _) => None,
            (By::State, Some(group)) => Some(heads.one(group, open, !some)),
            _ => Some(plain_head(&key, &title, open, !some)),
        };
        sections.push(Section { head, hosts });
    }
    sections
}

/// Place in the order, key and title of a group.
type Place<'a> = (usize, Cow<'a, str>, Cow<'a, str>);

/// The key of the group of hosts that share the beginning of their name with no other. No name begins
/// so.
const ALONE: &str = "*";

/// How a host's name begins: what is before its first digit, or before what parts words. `web` of
/// `web-fra-01` and of `web7`. The page's script reads names so too.
fn beginning(id: &HostId) -> &str {
    let parts = |c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    id.as_str().split(parts).next().unwrap_or_default()
}

/// The beginnings that several hosts have.
fn shared_beginnings(view: &FleetView) -> BTreeSet<&str> {
    let (mut seen, mut shared) = (BTreeSet::new(), BTreeSet::new());
    for begins in view.hosts.keys().map(beginning).filter(|begins| !begins.is_empty()) {
        if !seen.insert(begins) {
            shared.insert(begins);
        }
    }
    shared
}

/// The group that a host is in. `shared` are the beginnings of names that make groups.
fn group_of<'a>(entry: &'a HostEntry, by: By, shared: &BTreeSet<&str>) -> Place<'a> {
    let profile = &entry.snapshot.profile;
    let (at, key, title) = match by {
        By::State => (entry.group as usize, entry.group.name(), ""),
        By::Nothing => (0, "all", ""),
        By::Name => match beginning(&entry.snapshot.id) {
            // No state's key, whatever hosts are called.
            begins if shared.contains(begins) => {
                return (0, format!("{NAMED}{begins}").into(), begins.into());
            }
            _ => (1, ALONE, "Other names"),
        },
        By::Place => match profile.location {
            Some(looks::Place::Home) => (0, "home", "At home"),
            Some(looks::Place::Work) => (1, "work", "At work"),
            Some(looks::Place::Cloud) => (2, "cloud", "In the cloud"),
            None => (3, "nowhere", "No place"),
        },
        By::Platform => match profile.platform.as_str() {
            "nixos" => (0, "nixos", "NixOS"),
            "darwin" => (1, "darwin", "macOS"),
            "home-manager" => (2, "hm", "home-manager"),
            _ => (3, "other", "Other platforms"),
        },
        By::Tags if profile.tags.is_empty() => (1, UNTAGGED, "No tags"),
        By::Tags => {
            let tags = profile.tags.to_string();
            let key = format!("{TAGGED}{}", tags.replace(' ', ":"));
            return (0, key.into(), tags.replace(' ', ", ").into());
        }
    };
    (at, key.into(), title.into())
}

/// How the key of a group of names begins.
const NAMED: &str = "name:";
/// How the key of a group of tags begins; no tag holds a colon.
const TAGGED: &str = "tag:";
/// The key of the group of hosts without tags.
const UNTAGGED: &str = "untagged";

/// The keys of the groups that are folded. What is looked for is hidden in none, unless somebody has
/// folded it since.
fn folded(view: &FleetView, look: &Look) -> BTreeSet<String> {
    let looks_for = look.folded.is_none() && !look.words.trim().is_empty();
    if looks_for || look.show.is_some() { BTreeSet::new() } else { chosen_folds(view, look) }
}

/// The keys of the groups that are folded where nothing is looked for.
fn chosen_folds(view: &FleetView, look: &Look) -> BTreeSet<String> {
    look.folded.clone().unwrap_or_else(|| {
        let current = view.hosts.values().filter(|entry| entry.group == Group::Current);
        let many = look.by == By::State && current.count() > FOLDED_ABOVE;
        many.then(|| Group::Current.name().to_owned()).into_iter().collect()
    })
}

/// What the form around the filter holds besides: as text, for an address.
pub(super) fn folded_text(view: &FleetView, look: &Look) -> String {
    chosen_folds(view, look).into_iter().collect::<Vec<_>>().join(",")
}

/// The choice of groups.
pub(super) fn choice_of_groups(look: &Look) -> Markup {
    html! {
        select #group name="group" {
            @for (by, name, label) in By::ALL {
                option value=(name) selected[by == look.by] { (label) }
            }
        }
    }
}

/// Id of a group's head.
pub(crate) fn head_id(key: &str) -> String {
    format!("group-{key}")
}

fn opener(key: &str, open: bool, label: &Markup) -> Markup {
    html! {
        button form="view" name="toggle" value=(key) aria-expanded=(open) data-group=(key) {
            (sprite("right", "tw")) (label)
        }
    }
}

fn plain_head(key: &str, title: &str, open: bool, hidden: bool) -> Markup {
    let begins = key.strip_prefix(NAMED);
    // Which rows are below it, for the page's script: of two heads that fit, below the first.
    let rows = match key {
        ALONE => ALONE.to_owned(),
        "nowhere" => ":not(:has(.home, .work, .cloud))".to_owned(),
        "other" => ":not(:has(.nixos, .darwin, .hm))".to_owned(),
        UNTAGGED => ":not([data-tags])".to_owned(),
        key => match key.strip_prefix(TAGGED) {
            Some(tags) => format!("[data-tags='{}']", tags.replace(':', " ")),
            None => format!(":has(.tags.{key})"),
        },
    };
    html! {
        div.grp id=(head_id(key)) data-rows=[begins.is_none().then_some(rows)] data-begins=[begins]
            hidden[hidden] {
            (opener(key, open, &html! { (title) }))
        }
    }
}

/// What is counted over the whole fleet, once for all heads and the strip.
#[derive(Default)]
pub(crate) struct Heads {
    counts: BTreeMap<Group, usize>,
    causes: BTreeMap<(Group, String), usize>,
    /// How many hosts of each group have this next step.
    retries: usize,
    updates: usize,
}

impl Heads {
    /// Counts.
    pub(crate) fn of<'a>(hosts: impl Iterator<Item = &'a HostEntry>) -> Self {
        let mut heads = Self::default();
        for entry in hosts {
            *heads.counts.entry(entry.group).or_default() += 1;
            if !entry.why.cause.is_empty() {
                let cause = (entry.group, entry.why.cause.clone());
                *heads.causes.entry(cause).or_default() += 1;
            }
            match (entry.group, entry.snapshot.next_step()) {
                (Group::Failed, Some(NextStep::Retry)) => heads.retries += 1,
                (Group::Due, Some(NextStep::Update)) => heads.updates += 1,
                _ => {}
            }
        }
        heads
    }

    /// How many are in a group.
    pub(super) fn count(&self, group: Group) -> usize {
        self.counts.get(&group).copied().unwrap_or_default()
    }

    /// All heads as an update sends them, with their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, Markup)> {
        const IDS: [&str; 7] = [
            "group-failed",
            "group-due",
            "group-run",
            "group-unsure",
            "group-new",
            "group-off",
            "group-ok",
        ];
        let head = |group| self.one(group, true, self.count(group) == 0);
        IDS.into_iter().zip(Group::ALL.map(head))
    }

    /// The head of one group.
    fn one(&self, group: Group, open: bool, hidden: bool) -> Markup {
        let title = title_of(group);
        let label = html! {
            span class={ "g " (mark(group)) } aria-hidden="true" {} (title) " " (self.count(group))
        };
        let step = match group {
            Group::Failed => Some(("switch", "restart", "Retry", self.retries)),
            Group::Due => Some(("update", "update", "Update", self.updates)),
            _ => None,
        };
        html! {
            div.grp id=(head_id(group.name())) data-rows={ "[data-standing=" (group.name()) "]" } hidden[hidden] {
                (opener(group.name(), open, &label))
                span.cut.hint { (self.told_causes(group)) }
                span.gap {}
                @if let Some((op, icon, what, n)) = step.filter(|(.., n)| *n > 1) {
                    a.button.ghost href={ "/rollouts/new?op=" (op) "&group=" (group.name()) }
                        data-dialog-open data-op={ (op) "-" (group.name()) } {
                        (sprite(icon, "")) (what) " " (n) "…"
                    }
                }
            }
        }
    }

    fn told_causes(&self, group: Group) -> String {
        if group == Group::New {
            return "added, and never connected yet".to_owned();
        }
        let of_group = self.causes.iter().filter(|((known, _), _)| *known == group);
        let mut causes: Vec<(usize, &str)> =
            of_group.map(|((_, cause), n)| (*n, cause.as_str())).collect();
        causes.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        let more = causes.len().saturating_sub(CAUSES);
        let told = causes.iter().take(CAUSES).map(|(n, cause)| format!("{n} × {cause}"));
        let mut told: Vec<String> = told.collect();
        if more > 0 {
            told.push(format!("{more} more"));
        }
        told.join(" · ")
    }
}

/// The word of a group, as a title.
pub(super) fn title_of(group: Group) -> String {
    let word = group.word();
    word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default()
}

/// The hosts before and after one in its group, by name.
pub(crate) fn beside(view: &FleetView, id: &HostId) -> [Option<HostId>; 2] {
    let Some(group) = view.hosts.get(id).map(|entry| entry.group) else {
        return [None, None];
    };
    let near = |(id, entry): (&HostId, &HostEntry)| (entry.group == group).then(|| id.clone());
    let below = (Bound::Unbounded, Bound::Excluded(id));
    let above = (Bound::Excluded(id), Bound::Unbounded);
    [
        view.hosts.range::<HostId, _>(below).rev().find_map(near),
        view.hosts.range::<HostId, _>(above).find_map(near),
    ]
}

/// The class of a group's glyph.
pub(super) fn mark(group: Group) -> &'static str {
    match group {
        Group::Failed => "bad",
        Group::Due => "due",
        Group::Working => "run",
        Group::Unverified | Group::New => "none",
        Group::Offline => "off",
        Group::Current => "ok",
    }
}

/// The hosts of a group whose next step is what its head offers.
pub(crate) fn hosts_to_go_on(view: &FleetView, group: Group) -> Vec<HostId> {
    let wanted = match group {
        Group::Failed => NextStep::Retry,
        _ => NextStep::Update,
    };
    let all = view.hosts.values().filter(|entry| entry.group == group);
    let some = all.filter(|entry| entry.snapshot.next_step() == Some(wanted));
    some.map(|entry| entry.snapshot.id.clone()).collect()
}
