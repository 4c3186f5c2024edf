//! `nixfleet update` and `nixfleet rollout`.

use super::api::{Api, read, segment};
use super::config::{RolloutAsk, Which};
use super::ending::{Ending, Trouble};
use super::output::Out;
use super::progress::{Line, Progress};
use super::text::{painted, safe};
use super::waiting::Patience;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A rollout, as far as it is shown here.
#[derive(Debug, Deserialize)]
struct Rollout {
    rollout_id: String,
    title: String,
    steps: Vec<String>,
    over: bool,
    halted: Option<String>,
    created_at: String,
    counts: BTreeMap<String, usize>,
    hosts: BTreeMap<String, OfHost>,
}

#[derive(Debug, Deserialize)]
struct OfHost {
    state: String,
    step: Option<usize>,
    why: Option<String>,
    note: Option<String>,
    #[serde(default)]
    away: bool,
}

impl Rollout {
    /// Whether nothing more comes, but for hosts that are away: that may take a day.
    fn waits_only_for_who_is_away(&self) -> bool {
        let is_over = |one: &OfHost| !matches!(one.state.as_str(), "waiting" | "running");
        self.hosts.values().all(|one| is_over(one) || (one.state == "waiting" && one.away))
    }
}

pub(super) fn run(api: &Api, out: &mut Out, ask: &RolloutAsk) -> Result<Ending, Trouble> {
    match ask {
        RolloutAsk::List => list(api, out),
        RolloutAsk::Show { id, wait } => {
            let rollout = api.get(&path(id))?;
            if *wait { watch(api, out, rollout) } else { show(api, out, &rollout) }
        }
        RolloutAsk::Start { op, hosts, wait, .. } => {
            let body = body_of(ask, op, hosts);
            match api.post("/api/rollouts", &body) {
                Ok(rollout) if *wait => watch(api, out, rollout),
                Ok(rollout) => begun(out, &rollout),
                Err(trouble) => nothing_to_do(api, out, op, hosts, trouble),
            }
        }
        RolloutAsk::Change { id, what, field } => {
            let body = field.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            let body = Value::Object(body.collect());
            let rollout = api.post(&format!("{}/{what}", path(id)), &body)?;
            show(api, out, &rollout)?;
            Ok(Ending::Done)
        }
        RolloutAsk::Retry { id, totp, regardless } => {
            let mut body = json!({});
            if !regardless.is_empty() {
                body["regardless"] = json!(regardless);
            }
            if let Some(code) = totp {
                body["totp"] = json!(code);
            }
            begun(out, &api.post(&format!("{}/retry", path(id)), &body)?)
        }
    }
}

/// What a new rollout is asked with; what nobody said is left to the dashboard.
fn body_of(ask: &RolloutAsk, op: &str, hosts: &Which) -> Value {
    let mut body = match hosts {
        Which::All => json!({ "op": op, "all": true }),
        Which::Named(names) => json!({ "op": op, "hosts": names }),
    };
    let RolloutAsk::Start {
        at_once,
        stop_after,
        one_first,
        waves,
        soak,
        roll_back,
        reboot,
        totp,
        regardless,
        ..
    } = ask
    else {
        return body;
    };
    let given = [
        ("at_once", at_once.map(|number| json!(number))),
        ("stop_after", stop_after.map(|number| json!(number))),
        ("one_first", one_first.then_some(json!(true))),
        ("waves", (!waves.is_empty()).then(|| json!(waves))),
        ("soak", soak.map(|seconds| json!(seconds))),
        ("on_failure", roll_back.then_some(json!("roll_back"))),
        ("reboot", reboot.then_some(json!(true))),
        ("totp", totp.as_ref().map(|code| json!(code))),
        ("regardless", (!regardless.is_empty()).then(|| json!(regardless))),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body
}

fn path(id: &str) -> String {
    format!("/api/rollouts/{}", segment(id))
}

/// An update of hosts that are all current was refused, but nothing is left to be wished for.
fn nothing_to_do(
    api: &Api,
    out: &mut Out,
    op: &str,
    hosts: &Which,
    trouble: Trouble,
) -> Result<Ending, Trouble> {
    let Trouble::Refused { code, message } = &trouble else { return Err(trouble) };
    if code != "nothing_to_do" || op != "update" {
        return Err(trouble);
    }
    let asked = |name: &str| match hosts {
        Which::All => true,
        Which::Named(names) => names.iter().any(|asked| asked.eq_ignore_ascii_case(name)),
    };
    let all = super::hosts::all(api)?;
    if !all.iter().filter(|host| asked(&host.host_id)).all(super::hosts::Host::is_current_now) {
        return Err(trouble);
    }
    if out.for_programs() {
        out.programs(&json!({ "nothing_to_do": message }))?;
    } else {
        out.line(&safe(message))?;
    }
    Ok(Ending::Done)
}

fn begun(out: &mut Out, rollout: &Value) -> Result<Ending, Trouble> {
    out.programs(rollout)?;
    let rollout: Rollout = read(rollout)?;
    if !out.for_programs() {
        out.line(&safe(&format!("{} began ({})", rollout.title, rollout.rollout_id)))?;
        for (host, of_host) in rollout.hosts.iter().filter(|(_, one)| one.state == "left_out") {
            out.line(&says(out, &rollout, host, of_host))?;
        }
    }
    Ok(Ending::Done)
}

fn list(api: &Api, out: &mut Out) -> Result<Ending, Trouble> {
    let answer = api.get("/api/rollouts")?;
    out.programs(&answer)?;
    if out.for_programs() {
        return Ok(Ending::Done);
    }
    let row = |rollout: &Rollout| {
        let state = if rollout.over { "over" } else { "running" };
        vec![
            rollout.rollout_id.clone(),
            rollout.created_at.clone(),
            state.to_owned(),
            rollout.title.clone(),
            counted(rollout),
        ]
    };
    let rows: Vec<Vec<String>> = read::<Vec<Rollout>>(&answer)?.iter().map(row).collect();
    out.table(&rows)?;
    Ok(Ending::Done)
}

/// "2 done, 1 failed".
fn counted(rollout: &Rollout) -> String {
    let words = ["done", "failed", "running", "waiting", "skipped", "left_out", "rolled_back"];
    let some = words.iter().filter_map(|word| {
        let count = rollout.counts.get(*word).copied().filter(|count| *count > 0)?;
        Some(format!("{count} {}", word.replace('_', " ")))
    });
    some.collect::<Vec<_>>().join(", ")
}

/// How a rollout stands; the exit code tells how it ended, once it has.
fn show(api: &Api, out: &mut Out, object: &Value) -> Result<Ending, Trouble> {
    out.programs(object)?;
    let rollout: Rollout = read(object)?;
    if !out.for_programs() {
        let halted = rollout.halted.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        let state = if rollout.over { "ended" } else { "is running" };
        let counts = counted(&rollout);
        out.line(&safe(&format!("{} {state}: {counts}{halted}", rollout.title)))?;
        for (host, of_host) in &rollout.hosts {
            let line = says(out, &rollout, host, of_host);
            out.line(&line)?;
        }
    }
    if rollout.over { ending(api, &rollout) } else { Ok(Ending::Done) }
}

fn says(out: &Out, rollout: &Rollout, host: &str, of_host: &OfHost) -> String {
    let (state, rest) = (of_host.state.as_str(), in_words(rollout, of_host));
    let shown = state.replace('_', " ");
    format!("{}: {}{}", safe(host), painted(state, &safe(&shown), out.colours()), safe(&rest))
}

/// What follows the state: the step, and why.
fn in_words(rollout: &Rollout, of_host: &OfHost) -> String {
    let step = of_host.step.and_then(|step| rollout.steps.get(step));
    let step = step.filter(|_| of_host.state != "done");
    let step = step.map(|step| format!(" at {step}")).unwrap_or_default();
    let why = of_host.why.as_ref().or(of_host.note.as_ref());
    format!("{step}{}", why.map(|why| format!(": {why}")).unwrap_or_default())
}

/// A host that was left out because it was current already has what was asked for.
fn ending(api: &Api, rollout: &Rollout) -> Result<Ending, Trouble> {
    let left_out = |one: &OfHost| one.state == "left_out";
    let is_update = rollout.steps.len() > 1;
    let current: BTreeSet<String> = if is_update && rollout.hosts.values().any(left_out) {
        let hosts = super::hosts::all(api)?;
        let current = hosts.into_iter().filter(super::hosts::Host::is_current_now);
        current.map(|host| host.host_id).collect()
    } else {
        BTreeSet::new()
    };
    let each = |(host, one): (&String, &OfHost)| match one.state.as_str() {
        "done" => Ending::Done,
        "left_out" if current.contains(host) => Ending::Done,
        "left_out" | "waiting" => Ending::Refused,
        _ => Ending::Failed,
    };
    Ok(Ending::of_all(rollout.hosts.iter().map(each)))
}

/// Waits for its end.
fn watch(api: &Api, out: &mut Out, begun: Value) -> Result<Ending, Trouble> {
    let mut object = begun;
    let id = read::<Rollout>(&object)?.rollout_id;
    let (mut patience, mut progress) = (Patience::new(), Progress::new());
    loop {
        let rollout: Rollout = read(&object)?;
        progress.show(&lines(&rollout));
        if rollout.over || rollout.waits_only_for_who_is_away() {
            break;
        }
        Patience::pause();
        let answer = api.get(&path(&id));
        match patience.with(answer, &mut progress) {
            Ok(Some(new)) => object = new,
            Ok(None) => {}
            Err(trouble) => {
                progress.end();
                return Err(trouble);
            }
        }
    }
    progress.end();
    show(api, out, &object)?;
    // Who is away is delivered when it is back; nobody waits here for that.
    ending(api, &read(&object)?)
}

fn lines(rollout: &Rollout) -> Vec<Line> {
    let over = |one: &OfHost| !matches!(one.state.as_str(), "waiting" | "running");
    let line = |(host, one): (&String, &OfHost)| Line {
        name: host.clone(),
        says: format!("{}{}", one.state.replace('_', " "), in_words(rollout, one)),
        over: over(one),
    };
    rollout.hosts.iter().map(line).collect()
}
