//! `nixfleet status` and `nixfleet hosts`.

use super::api::{Api, read, segment};
use super::ending::{Ending, Trouble};
use super::output::Out;
use super::text::{counted, painted, safe};
use crate::domain::compartment::{Compartment, Standing, Status};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A host, as far as it is shown here.
#[derive(Debug, Deserialize)]
pub(super) struct Host {
    pub(super) host_id: String,
    hostname: String,
    online: bool,
    pending_command: Option<Pending>,
    busy_with: Option<String>,
    update_status: BTreeMap<String, Verdict>,
}

#[derive(Debug, Deserialize)]
struct Pending {
    op: String,
    state: String,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    status: Status,
    message: String,
}

impl Host {
    fn verdict(&self, compartment: Compartment) -> Option<&Verdict> {
        self.update_status.get(compartment.name())
    }

    fn status(&self, compartment: Compartment) -> Status {
        self.verdict(compartment).map_or(Status::Unknown, |verdict| verdict.status)
    }

    /// The whole row in one word, by the dashboard's own rule.
    pub(super) fn standing(&self) -> Standing {
        Standing::of(Compartment::ALL.map(|compartment| self.status(compartment)))
    }

    /// Green now: an offline host shows what was true when it was seen last.
    pub(super) fn is_current_now(&self) -> bool {
        self.online && self.standing() == Standing::Current
    }

    fn works_on(&self) -> String {
        match (&self.pending_command, &self.busy_with) {
            (Some(pending), _) => format!("{} {}", pending.op, pending.state),
            (None, Some(work)) => work.clone(),
            (None, None) => String::new(),
        }
    }

    /// What is to be said about it: the worst of its row.
    fn worst(&self) -> Option<(Compartment, &Verdict)> {
        let order = [Status::Error, Status::Working, Status::Outdated, Status::Unknown];
        let all = || Compartment::ALL.into_iter().filter_map(|c| Some((c, self.verdict(c)?)));
        order.into_iter().find_map(|status| all().find(|(_, verdict)| verdict.status == status))
    }
}

#[derive(Deserialize)]
struct Source {
    source: String,
    state: String,
    error: Option<String>,
    since: Option<String>,
    remote: Option<Remote>,
}

#[derive(Deserialize)]
struct Remote {
    branch: Option<String>,
    commit: String,
    subject: Option<String>,
    fetched_at: Option<String>,
}

/// The hosts' names.
pub(super) fn names(api: &Api) -> Result<Vec<String>, Trouble> {
    Ok(all(api)?.into_iter().map(|host| host.host_id).collect())
}

/// All hosts.
pub(super) fn all(api: &Api) -> Result<Vec<Host>, Trouble> {
    read(&api.get("/api/hosts")?)
}

pub(super) fn status(api: &Api, out: &mut Out, check: bool) -> Result<Ending, Trouble> {
    let version = api.get("/api/version")?;
    let sources = api.get("/api/desired")?;
    let hosts = all(api)?;
    let counts = counts(&hosts);
    if out.for_programs() {
        let hosts: Vec<Value> = hosts.iter().map(short).collect();
        out.programs(&json!({
            "url": api.address(), "version": version["version"], "counts": counts,
            "sources": sources, "hosts": hosts,
        }))?;
    } else {
        tell_status(api, out, &version, &sources, &hosts, &counts)?;
    }
    if !check {
        return Ok(Ending::Done);
    }
    let each = |host: &Host| if host.is_current_now() { Ending::Done } else { Ending::Failed };
    Ok(Ending::of_all(hosts.iter().map(each)))
}

fn short(host: &Host) -> Value {
    json!({
        "host_id": host.host_id, "online": host.online, "standing": host.standing().name(),
        "current": host.is_current_now(),
    })
}

/// How many hosts stand how, and how many are offline.
fn counts(hosts: &[Host]) -> BTreeMap<String, usize> {
    let standings = [
        Standing::Current,
        Standing::Busy,
        Standing::NeedsAction,
        Standing::Failed,
        Standing::Unknown,
    ];
    let stand = |standing: Standing| hosts.iter().filter(|h| h.standing() == standing).count();
    let mut counts: BTreeMap<String, usize> =
        standings.iter().map(|s| (s.name().replace('-', "_"), stand(*s))).collect();
    counts.insert("all".to_owned(), hosts.len());
    counts.insert("offline".to_owned(), hosts.iter().filter(|host| !host.online).count());
    counts
}

fn tell_status(
    api: &Api,
    out: &mut Out,
    version: &Value,
    sources: &Value,
    hosts: &[Host],
    counts: &BTreeMap<String, usize>,
) -> Result<(), Trouble> {
    let version = version["version"].as_str().unwrap_or("of an unknown version");
    out.line(&safe(&format!("nixfleet {version} at {}", api.address())))?;
    let words = [
        ("current", "current"),
        ("busy", "busy"),
        ("needs_action", "needs action"),
        ("failed", "failed"),
        ("unknown", "not known yet"),
        ("offline", "offline"),
    ];
    let some = words.iter().filter_map(|(key, word)| {
        let count = counts.get(*key).copied().filter(|count| *count > 0)?;
        Some(format!("{count} {}", painted(word, word, out.colours())))
    });
    let some: Vec<String> = some.collect();
    let ends = if some.is_empty() { String::new() } else { format!(": {}", some.join(", ")) };
    out.line(&format!("{}{ends}", counted(hosts.len(), "host")))?;
    for source in read::<Vec<Source>>(sources)? {
        out.line(&safe(&told(&source)))?;
    }
    let not_current = hosts.iter().filter(|host| !host.is_current_now());
    let rows: Vec<Vec<String>> = not_current.map(row_of_status).collect();
    if !rows.is_empty() {
        out.line("")?;
    }
    out.table(&rows)
}

fn row_of_status(host: &Host) -> Vec<String> {
    let word = match host.standing() {
        _ if !host.online => "offline",
        Standing::Current => "current",
        Standing::Busy => "busy",
        Standing::NeedsAction => "needs action",
        Standing::Failed => "failed",
        Standing::Unknown => "not known yet",
    };
    let says = host
        .worst()
        .map(|(compartment, verdict)| format!("{}: {}", compartment.label(), verdict.message));
    vec![host.hostname.clone(), word.to_owned(), says.unwrap_or_default()]
}

fn told(source: &Source) -> String {
    let name = &source.source;
    match &source.remote {
        Some(remote) => {
            let commit: String = remote.commit.chars().take(7).collect();
            format!(
                "{name}: {} at {commit} ({}), read at {}",
                remote.branch.as_deref().unwrap_or("its branch"),
                remote.subject.as_deref().unwrap_or("no subject"),
                remote.fetched_at.as_deref().unwrap_or("an unknown time"),
            )
        }
        None => {
            let state = source.state.replace('_', " ");
            let since = source.since.as_ref().map(|at| format!(" since {at}")).unwrap_or_default();
            let why = source.error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{name}: {state}{since}{why}")
        }
    }
}

pub(super) fn list(api: &Api, out: &mut Out, names: &[String]) -> Result<Ending, Trouble> {
    let objects = if names.is_empty() {
        api.get("/api/hosts")?
    } else {
        let one = |name: &String| api.get(&format!("/api/hosts/{}", segment(name)));
        Value::Array(names.iter().map(one).collect::<Result<_, _>>()?)
    };
    let hosts: Vec<Host> = read(&objects)?;
    out.programs(&objects)?;
    if out.for_programs() {
        return Ok(Ending::Done);
    }
    let head = ["HOST", "LINK", "AGENT", "GIT", "LOCK", "SYSTEM", "TESTS", "RUNS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(hosts.iter().map(row));
    out.table(&rows)?;
    // Whoever names hosts wants to know why.
    for host in hosts.iter().filter(|_| !names.is_empty()) {
        out.line("")?;
        for compartment in Compartment::ALL {
            let says = host.verdict(compartment).map_or("not said", |verdict| &verdict.message);
            out.line(&safe(&format!("{} {}: {says}", host.hostname, compartment.label())))?;
        }
    }
    Ok(Ending::Done)
}

fn row(host: &Host) -> Vec<String> {
    let link = if host.online { "online" } else { "offline" };
    let mut row = vec![host.hostname.clone(), link.to_owned()];
    row.extend(Compartment::ALL.map(|one| host.status(one).name().to_owned()));
    row.push(host.works_on());
    row
}
