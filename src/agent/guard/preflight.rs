//! What is looked at before a guarded switch changes anything.

use super::boot;
use crate::agent::jobs::Order;
use crate::agent::jobs::work::Failure;
use crate::agent::platform;
use crate::agent::site::Site;
use crate::base::child::{self, Bounds};
use crate::base::secret;
use crate::domain::guard::FORMAT;
use crate::domain::operation::Regardless;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long an agent may take to say which format it knows.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// What is to be switched to.
pub(crate) struct Target {
    /// The system, in the store.
    pub system: PathBuf,
    /// Of a rollback: its generation.
    pub generation: Option<u64>,
}

/// Whether the agent of the new system can confirm it: it is asked.
pub(super) fn agent_can_confirm(site: &Site, system: &Path) -> Result<(), Failure> {
    let agent = platform::contained_agent_of(system);
    let format = agent.as_deref().and_then(|agent| {
        let mut command = Command::new(Path::new(agent).join("bin/nixfleet"));
        secret::hide_from(&mut command);
        command.args(["--agent", "--guard-format"]);
        let bounds = Bounds { timeout: Some(ANSWERS_WITHIN), ..Bounds::default() };
        let answer = child::output(&mut command, 100, &bounds).ok()?;
        let text = String::from_utf8(answer.stdout).ok().filter(|_| answer.ended.ok())?;
        text.trim().parse::<u32>().ok()
    });
    if format.is_some_and(|format| format >= FORMAT) {
        return Ok(());
    }
    let of = site.hostname.as_str();
    let why = match agent {
        Some(_) => format!("The agent in the new system of {of} cannot confirm a guarded switch"),
        None => format!("The new system of {of} contains no agent that could confirm it"),
    };
    Err(Failure::Blocked(format!("{why}: switch without guard?"), Some(Regardless::Guard)))
}

/// Looks at what of the new system boots, and at what keeps it from being activated now. Answers why it
/// is to be booted instead, if it is.
pub(super) fn why_to_boot(order: &Order, target: &Target) -> Result<Option<String>, Failure> {
    let site = &order.site;
    let regardless = |what| order.args.regardless.contains(&what);
    let asked = order.args.boots().then(|| "It is to start at the next boot.".to_owned());
    let Some(old) = platform::of(site).running_path(site) else { return Ok(asked) };
    if !regardless(Regardless::Space) {
        boot::has_room(site, &old, &target.system)?;
    }
    if asked.is_some() {
        return Ok(asked);
    }
    let inhibitors = boot::inhibitors(&old, &target.system);
    if inhibitors.is_empty() || regardless(Regardless::Inhibitors) {
        return Ok(None);
    }
    let why = format!(
        "The system cannot be activated while this one runs: {} would change.",
        inhibitors.join(", ")
    );
    if target.generation.is_some() {
        let ask = "Activate it regardless, or have it start at the next boot.";
        return Err(Failure::Blocked(format!("{why} {ask}"), Some(Regardless::Inhibitors)));
    }
    Ok(Some(why))
}
