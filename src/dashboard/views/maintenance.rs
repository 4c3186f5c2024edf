//! The page about what rollouts go by: the freeze, windows, tags.

use super::layout::{Dialog, Kind};
use super::{counted, csrf_field, exact, layout, query, sprite};
use crate::dashboard::live::model::FleetView;
use crate::domain::ids::HostId;
use crate::domain::maintenance::{Day, Freeze, HeldBack, Restraint, Window};
use crate::domain::operation::{Args, Operation};
use crate::domain::tag::Tag;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// What was just done, or why not.
pub(crate) struct Said {
    /// In words.
    pub text: String,
    /// It did not work.
    pub failed: bool,
}

/// A tag that hosts have.
#[derive(Default)]
pub(crate) struct Tagged<'a> {
    /// All hosts that have it.
    pub hosts: Vec<&'a HostId>,
    /// To how many of them users gave it.
    pub added: usize,
}

/// All tags that hosts have.
pub(crate) fn tagged(view: &FleetView) -> BTreeMap<&Tag, Tagged<'_>> {
    let mut all: BTreeMap<&Tag, Tagged<'_>> = BTreeMap::new();
    for (id, entry) in &view.hosts {
        let profile = &entry.snapshot.profile;
        for tag in profile.tags.iter() {
            let one = all.entry(tag).or_default();
            one.hosts.push(id);
            one.added += usize::from(profile.overrides.tags.contains(tag));
        }
    }
    all
}

/// The page.
pub(crate) fn page(view: &FleetView, said: Option<&Said>, csrf: &str) -> Markup {
    let main = html! {
        h1 { "Maintenance" }
        @if let Some(said) = said {
            section.news data-failed[said.failed] role="status" { p { (said.text) } }
        }
        (freeze(view.maintenance.freeze.as_ref(), csrf))
        (windows(view, csrf))
        (tags(view, csrf))
        p { a href="/settings" { "All settings" } }
    };
    layout::page("Maintenance", Some(csrf), &main)
}

/// That the fleet is frozen, by whom, why, and until when.
pub(super) fn frozen(freeze: &Freeze) -> Markup {
    html! {
        div.fail.frozen {
            (sprite("hold", ""))
            span {
                b { "Frozen" } " until " (exact(freeze.until)) " by " bdi { (freeze.by) } ": " bdi { (freeze.reason) }
            }
        }
    }
}

/// What was asked of a host and is held back.
pub(crate) struct Asks<'a> {
    /// Of which host.
    pub host: &'a HostId,
    /// What.
    pub op: Operation,
    /// With what.
    pub args: &'a Args,
    /// Whether it waits where the host is away.
    pub queue: bool,
    /// All that holds the host back.
    pub back: &'a [HeldBack],
    /// Whether a one-time code is asked for: the one that was sent is spent.
    pub totp: bool,
}

/// The fields that send the same once more, but what it goes on regardless of. Taken apart, so that no
/// argument can be forgotten.
fn fields(args: &Args) -> Markup {
    let Args { generation, reason, confirmed, regardless: _, commit, hold, plan, boot, guard } =
        args;
    let all = [
        ("args.generation", generation.map(|number| number.to_string())),
        ("args.reason", reason.clone()),
        ("args.confirmed", confirmed.map(|yes| yes.to_string())),
        ("args.commit", commit.as_ref().map(|commit| commit.as_str().to_owned())),
        ("args.hold", hold.map(|yes| yes.to_string())),
        ("args.guard", guard.map(|yes| yes.to_string())),
        ("args.boot", boot.map(|yes| yes.to_string())),
        ("args.plan", plan.as_ref().map(|plan| plan.as_str().to_owned())),
    ];
    let sent = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
    html! { @for (name, value) in sent { input type="hidden" name=(name) value=(value); } }
}

/// Asks whether something is done that a freeze or the host's windows hold back. It goes on regardless
/// of what is told here and of nothing else.
pub(crate) fn held_back(asks: &Asks<'_>, csrf: &str) -> Dialog {
    let Asks { host, op, args, queue, back, totp } = asks;
    let passed: Vec<Restraint> = args.restraints().collect();
    let told = || back.iter().filter(|back| !passed.contains(&back.by));
    let keys = args.regardless.iter().map(|one| one.name());
    let keys: Vec<&str> = keys.chain(told().map(|back| back.by.name())).collect();
    let keys = keys.join(",");
    let mut sent = vec![("regardless", keys.as_str())];
    if *queue {
        sent.push(("queue", "true"));
    }
    let action = format!("/hosts/{host}/commands?{}", query(&sent));
    let body = html! {
        form method="post" action=(action) {
            (csrf_field(csrf))
            (fields(args))
            @for back in told() { p.alert { (back.told(host)) } }
            p.quiet.small { "That it went on regardless stands in the audit log." }
            @if *totp {
                label for="held-back-totp" { "One-time code" }
                input #held-back-totp name="totp" inputmode="numeric" autocomplete="one-time-code" required;
            }
            div.buttons {
                button.main type="submit" name="op" value=(op.name()) data-op="regardless" { (op.label()) " " (host) " all the same" }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    let title = format!("{} {host}", op.label());
    Dialog { name: "held-back", title, host: Some(host.to_string()), body, kind: Kind::Plain }
}

fn freeze(now: Option<&Freeze>, csrf: &str) -> Markup {
    html! {
        section #freeze {
            h2 { "Freeze" }
            @match now {
                Some(freeze) => {
                    (frozen(freeze))
                    form method="post" action="/settings/maintenance/thaw" {
                        (csrf_field(csrf))
                        p.buttons { button type="submit" data-op="thaw" { "End the freeze" } }
                    }
                }
                None => {
                    p { "Until it ends no rollout and no switch begins, unless somebody goes on regardless. What runs is not ended." }
                    form.fields method="post" action="/settings/maintenance/freeze" {
                        (csrf_field(csrf))
                        label for="freeze-reason" { "Why" }
                        input #freeze-reason name="reason" required maxlength="200" autocomplete="off";
                        label for="freeze-until" { "Until, in UTC" }
                        input #freeze-until name="until" type="datetime-local" required;
                        p.buttons { button type="submit" data-op="freeze" { "Freeze the fleet" } }
                    }
                }
            }
        }
    }
}

fn windows(view: &FleetView, csrf: &str) -> Markup {
    let known = &view.maintenance.windows;
    let name =
        |window: &Window| window.tag.as_ref().map_or("All hosts", |tag| tag.as_str()).to_owned();
    html! {
        section #windows {
            h2 { "Windows" }
            @if known.is_empty() { p { "Hosts may be changed at any time. With windows, rollouts wait for one of theirs:" } }
            ul.plain {
                @for window in known {
                    li data-window=(window.id) {
                        p {
                            b { (name(window)) } " " (window.told())
                            @if window.tag.as_ref().is_some_and(|tag| view.tagged(tag).next().is_none()) {
                                " " span.t-due { "for no host: none has the tag" }
                            }
                        }
                        form method="post" action={ "/settings/maintenance/windows/" (window.id) "/remove" } {
                            (csrf_field(csrf))
                            button.quiet type="submit" aria-label={ "Remove the window of " (name(window)) } { "Remove" }
                        }
                    }
                }
            }
            form.fields method="post" action="/settings/maintenance/windows" {
                (csrf_field(csrf))
                label for="window-tag" { "For hosts with the tag" }
                select #window-tag name="tag" {
                    option value="" { "all hosts" }
                    @for tag in tagged(view).keys() { option value=(tag) { (tag) } }
                }
                fieldset {
                    legend { "Opens on" }
                    @for day in Day::ALL {
                        label { input type="checkbox" name="days" value=(day.name()); " " (day.label()) " " }
                    }
                }
                label for="window-from" { "From" }
                input #window-from name="from" required placeholder="22:00" pattern="[0-9]{1,2}:[0-9]{2}" autocomplete="off";
                label for="window-to" { "To, on the next day where that is earlier" }
                input #window-to name="to" required placeholder="04:00" pattern="[0-9]{1,2}:[0-9]{2}" autocomplete="off";
                label for="window-zone" { "Time zone" }
                input #window-zone name="time_zone" placeholder="UTC" autocomplete="off" spellcheck="false";
                p.buttons { button type="submit" data-op="add-window" { "Add the window" } }
            }
        }
    }
}

fn tags(view: &FleetView, csrf: &str) -> Markup {
    let all = tagged(view);
    html! {
        section #tag-list {
            h2 { "Tags" }
            @if all.is_empty() { p { "No host has a tag yet." } }
            ul.plain {
                @for (tag, hosts) in &all {
                    li data-tag=(tag) {
                        p {
                            b { (tag) } " "
                            a href={ "/?" (query(&[("q", &format!("tag:{tag}"))])) } { (counted(hosts.hosts.len(), "host")) }
                        }
                        div.buttons {
                            a href={ "/rollouts/new?op=update&tag=" (tag) } data-dialog-open aria-label={ "Update " (tag) "…" } { "Update…" }
                            @if hosts.added > 0 {
                                form method="post" action={ "/settings/maintenance/tags/" (tag) "/remove" } {
                                    (csrf_field(csrf))
                                    button.quiet type="submit" aria-label={ "Remove " (tag) } { "Remove" }
                                }
                            }
                        }
                    }
                }
            }
            form.fields method="post" action="/settings/maintenance/tags" {
                (csrf_field(csrf))
                label for="new-tag" { "Tag" }
                input #new-tag name="tag" required pattern="[a-z0-9][a-z0-9._\\-]*" maxlength="40" autocomplete="off" autocapitalize="none" spellcheck="false";
                label for="tag-hosts" { "Hosts, with spaces between them" }
                input #tag-hosts name="hosts" required autocomplete="off" autocapitalize="none" spellcheck="false";
                p.buttons { button type="submit" { "Add the tag" } }
            }
            p.quiet.small { "A host's configuration can give it tags too; those are changed there." }
        }
    }
}
