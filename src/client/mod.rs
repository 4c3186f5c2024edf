//! Commands against a running dashboard: `nixfleet status`, `switch`, `logs` and so on.
//!
//! They know the documented JSON API and nothing else of the dashboard. [`run`] answers the exit
//! code that docs/CLI.md lists.

mod api;
mod commands;
pub mod config;
mod ending;
mod events;
mod holds;
mod hosts;
mod logs;
mod output;
mod progress;
mod rollouts;
mod text;
mod waiting;

use api::Api;
use config::{Ask, ClientConfig};
use ending::{Ending, Trouble};
use output::Out;
use serde_json::json;

/// Does what is asked; answers the exit code.
pub fn run(config: &ClientConfig) -> u8 {
    let api = Api::new(config);
    let mut out = Out::new(config.json, config.colours);
    let ending = match ask(&api, &mut out, &config.ask) {
        Ok(ending) => ending,
        Err(trouble) => {
            say(&mut out, &trouble);
            trouble.ending()
        }
    };
    ending.code()
}

fn ask(api: &Api, out: &mut Out, ask: &Ask) -> Result<Ending, Trouble> {
    match ask {
        Ask::Status { check } => hosts::status(api, out, *check),
        Ask::Hosts { names } => hosts::list(api, out, names),
        Ask::Run { op, hosts, queue, boot, regardless, wait } => {
            let (op, queue, boot, wait) = (*op, *queue, *boot, *wait);
            commands::run(api, out, &commands::Asked { op, hosts, queue, boot, regardless, wait })
        }
        Ask::Rollout(ask) => rollouts::run(api, out, ask),
        Ask::Hold { hosts, reason } => holds::hold(api, out, hosts, reason.as_deref()),
        Ask::Release { hosts } => holds::release(api, out, hosts),
        Ask::Logs { of, follow, last } => logs::show(api, out, of, *follow, *last),
        Ask::Events { host, category, last, follow } => {
            let filter = events::Filter { host: host.as_deref(), category: category.as_deref() };
            events::show(api, out, &filter, *last, *follow)
        }
    }
}

/// Says what went wrong: for people on standard error, for programs also on standard output.
fn say(out: &mut Out, trouble: &Trouble) {
    let (code, message) = match trouble {
        // Whoever reads is gone: `nixfleet events | head`.
        Trouble::Output(error) => return log::debug!("what was to be said could not be: {error}"),
        Trouble::Refused { code, message } => (code.as_str(), message.as_str()),
        Trouble::Away(message) => ("no_answer", message.as_str()),
    };
    let hint = if code == "unauthorized" {
        " Is the token in NIXFLEET_API_TOKEN one of this dashboard?"
    } else {
        ""
    };
    output::complain(&format!("{}{hint}", text::safe(message)));
    if let Err(error) = out.programs(&json!({ "error": { "code": code, "message": message } })) {
        log::debug!("what went wrong could not be said: {error:?}");
    }
}
