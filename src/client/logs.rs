//! `nixfleet logs`: what a command printed.

use super::api::{Api, read, segment};
use super::ending::{Ending, Trouble};
use super::output::Out;
use super::progress::Progress;
use super::text;
use super::waiting::{Command, Patience};
use crate::domain::ids::CommandId;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Id {
    command_id: String,
}

#[derive(Deserialize)]
struct LogLine {
    seq: u64,
    text: String,
}

/// Prints the log of a command, or of the last command of a host.
pub(super) fn show(
    api: &Api,
    out: &mut Out,
    of: &str,
    follow: bool,
    last: Option<u64>,
) -> Result<Ending, Trouble> {
    let id = match CommandId::parse(of) {
        Some(id) => id.to_string(),
        None => last_command_of(api, of)?,
    };
    let mut after = match last {
        // Nothing comes after the last number there can be: the answer only tells which is last.
        Some(count) => api.lines(&output(&id, u64::from(u32::MAX)))?.0.saturating_sub(count),
        None => 0,
    };
    if !follow {
        print(api, out, &id, &mut after)?;
        return Ok(Ending::Done);
    }
    let (mut patience, mut progress) = (Patience::new(), Progress::new());
    loop {
        // First whether it is over: what it printed last is there then.
        let command = api.get(&format!("/api/commands/{}", segment(&id)));
        let command = patience.with(command, &mut progress)?;
        let command = command.as_ref().map(read::<Command>).transpose()?;
        if command.is_some() {
            let printed = print(api, out, &id, &mut after);
            let printed = patience.with(printed, &mut progress)?;
            if let Some(over) = command.filter(|one| printed.is_some() && one.is_over()) {
                super::output::complain(&text::safe(&over.says()));
                return Ok(over.ending());
            }
        }
        Patience::pause();
    }
}

fn output(id: &str, after: u64) -> String {
    format!("/api/commands/{}/output?format=jsonl&ansi=1&after={after}", segment(id))
}

fn last_command_of(api: &Api, host: &str) -> Result<String, Trouble> {
    let list = api.get(&format!("/api/hosts/{}/commands?limit=1", segment(host)))?;
    let last = read::<Vec<Id>>(&list)?.into_iter().next().map(|one| one.command_id);
    last.ok_or_else(|| Trouble::Refused {
        code: "no_such_command".to_owned(),
        message: format!("{host} has had no command yet."),
    })
}

/// Prints what is new; remembers how far that is, also where it breaks off.
fn print(api: &Api, out: &mut Out, id: &str, after: &mut u64) -> Result<(), Trouble> {
    let (_, mut lines) = api.lines(&output(id, *after))?;
    while let Some(value) = lines.next()? {
        let line: LogLine = read(&value)?;
        tell(out, &value, &line)?;
        *after = line.seq;
    }
    Ok(())
}

fn tell(out: &mut Out, value: &Value, line: &LogLine) -> Result<(), Trouble> {
    if out.for_programs() {
        return out.json_line(value);
    }
    let colours = out.colours();
    out.line(&text::log_line(&line.text, colours))
}
