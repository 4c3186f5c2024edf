//! `nixfleet pull`, `switch`, `test`: one operation on some hosts.

use super::api::{Api, read};
use super::config::Which;
use super::ending::{Ending, Trouble};
use super::output::Out;
use super::progress::Progress;
use super::text::{painted, safe};
use super::waiting::{self, Begun, Command};
use crate::domain::operation::Operation;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is asked.
pub(super) struct Asked<'a> {
    pub(super) op: Operation,
    pub(super) hosts: &'a Which,
    pub(super) queue: bool,
    pub(super) boot: bool,
    pub(super) regardless: &'a [String],
    pub(super) wait: bool,
}

/// What the dashboard says of one host.
#[derive(Deserialize)]
struct OfHost {
    host_id: String,
    command_id: Option<String>,
    state: Option<String>,
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    code: String,
    message: String,
}

pub(super) fn run(api: &Api, out: &mut Out, asked: &Asked<'_>) -> Result<Ending, Trouble> {
    let hosts = match asked.hosts {
        Which::Named(names) => names.clone(),
        Which::All => super::hosts::names(api)?,
    };
    let mut body = json!({ "op": asked.op.name(), "hosts": hosts, "queue": asked.queue });
    if !asked.regardless.is_empty() {
        body["args"]["regardless"] = json!(asked.regardless);
    }
    if asked.boot {
        body["args"]["boot"] = json!(true);
    }
    let answer = api.post("/api/commands", &body)?;
    let of_hosts: Vec<OfHost> = read(&answer)?;
    if !asked.wait {
        out.programs(&answer)?;
        let endings = of_hosts.iter().map(|one| begun(out, asked.op, one));
        return Ok(Ending::of_all(endings.collect::<Result<Vec<_>, _>>()?));
    }
    wait(api, out, asked.op, of_hosts)
}

/// Says that it was taken, or why not.
fn begun(out: &mut Out, op: Operation, one: &OfHost) -> Result<Ending, Trouble> {
    let ending = if one.error.is_none() { Ending::Done } else { Ending::Refused };
    if !out.for_programs() {
        let says = match (&one.error, &one.state, &one.command_id) {
            (Some(error), _, _) => refused(out, &error.message),
            (None, state, id) => safe(&format!(
                "{op} {} ({})",
                state.as_deref().unwrap_or("taken"),
                id.as_deref().unwrap_or_default()
            )),
        };
        out.line(&format!("{}: {says}", safe(&one.host_id)))?;
    }
    Ok(ending)
}

fn refused(out: &Out, message: &str) -> String {
    format!("{}: {}", painted("refused", "refused", out.colours()), safe(message))
}

fn wait(api: &Api, out: &mut Out, op: Operation, of_hosts: Vec<OfHost>) -> Result<Ending, Trouble> {
    let mut going = Vec::new();
    let mut refusals = Vec::new();
    for one in of_hosts {
        let Some(id) = one.command_id.filter(|_| one.error.is_none()) else {
            let unsaid = || Refused { code: String::new(), message: "no reason given".to_owned() };
            refusals.push((one.host_id, one.error.unwrap_or_else(unsaid)));
            continue;
        };
        let state = one.state.unwrap_or_else(|| "sent".to_owned());
        let command = Command { op: op.name().to_owned(), state, reason: None, finished_at: None };
        going.push(Begun { host: one.host_id, id, last: Value::Null, command });
    }
    let mut progress = Progress::new();
    let waited = waiting::for_commands(api, &mut progress, &mut going);
    progress.end();
    tell(out, &going, &refusals)?;
    waited?;
    let ended = going.iter().map(|one| one.command.ending());
    Ok(Ending::of_all(ended.chain(refusals.iter().map(|_| Ending::Refused))))
}

/// Says how each ended; where the wait was given up, how it was seen last.
fn tell(out: &mut Out, going: &[Begun], refusals: &[(String, Refused)]) -> Result<(), Trouble> {
    if out.for_programs() {
        let mut list: Vec<Value> = going.iter().map(|one| one.last.clone()).collect();
        list.extend(refusals.iter().map(|(host, error)| {
            json!({ "host_id": host, "error": { "code": error.code, "message": error.message } })
        }));
        return out.programs(&json!(list));
    }
    for one in going {
        let state = one.command.state.as_str();
        let says = safe(&one.command.says());
        let says = says.replacen(state, &painted(state, state, out.colours()), 1);
        out.line(&format!("{}: {says}", safe(&one.host)))?;
    }
    for (host, error) in refusals {
        let says = refused(out, &error.message);
        out.line(&format!("{}: {says}", safe(host)))?;
    }
    Ok(())
}
