//! Waiting for what was begun, over restarts of the dashboard.

use super::api::{Api, read, segment};
use super::ending::{Ending, Trouble};
use super::progress::{Line, Progress};
use super::text;
use serde::Deserialize;
use serde_json::Value;
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(400);
/// So many commands are asked for at each look: a large fleet is looked at in turn.
const ASKED_AT_ONCE: usize = 20;
/// How long a dashboard may be away: it may be in the middle of its own update.
const AWAY_AT_MOST: Duration = Duration::from_secs(30);

/// Bears a dashboard that is away for a while.
pub(super) struct Patience {
    away_since: Option<Instant>,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { away_since: None }
    }

    /// `None`: there was no answer, but there may be one soon. The error: it is enough.
    pub(super) fn with<T>(
        &mut self,
        answer: Result<T, Trouble>,
        progress: &mut Progress,
    ) -> Result<Option<T>, Trouble> {
        match answer {
            Ok(value) => {
                self.away_since = None;
                Ok(Some(value))
            }
            Err(trouble) if trouble.may_pass() => {
                let since = *self.away_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= AWAY_AT_MOST {
                    return Err(trouble);
                }
                progress.remark("the dashboard does not answer; trying again");
                Ok(None)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Until the next look.
    pub(super) fn pause() {
        thread::sleep(EVERY);
    }
}

/// A command, as far as it is worked with here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Command {
    pub(super) op: String,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) finished_at: Option<String>,
}

impl Command {
    pub(super) fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    pub(super) fn ending(&self) -> Ending {
        if self.state == "succeeded" { Ending::Done } else { Ending::Failed }
    }

    /// "switch failed: the build did not succeed".
    pub(super) fn says(&self) -> String {
        let Self { op, state, reason, .. } = self;
        let state = state.replace('_', " ");
        match reason {
            Some(reason) if self.is_over() && self.state != "succeeded" => {
                format!("{op} {state}: {reason}")
            }
            Some(_) | None => format!("{op} {state}"),
        }
    }
}

/// A command that was begun.
pub(super) struct Begun {
    pub(super) host: String,
    pub(super) id: String,
    /// What the dashboard said of it last.
    pub(super) last: Value,
    pub(super) command: Command,
}

/// Waits until all are over.
pub(super) fn for_commands(
    api: &Api,
    progress: &mut Progress,
    begun: &mut [Begun],
) -> Result<(), Trouble> {
    let mut patience = Patience::new();
    let mut turn = 0;
    loop {
        let lines: Vec<Line> = begun.iter().map(line).collect();
        progress.show(&lines);
        let mut going: Vec<_> = begun.iter_mut().filter(|one| !one.command.is_over()).collect();
        if going.is_empty() {
            return Ok(());
        }
        let by = turn % going.len();
        going.rotate_left(by);
        for one in going.into_iter().take(ASKED_AT_ONCE) {
            let story = api.get(&format!("/api/commands/{}", segment(&one.id)));
            let Some(story) = patience.with(story, progress)? else { break };
            one.command = read(&story)?;
            one.last = story;
        }
        turn = turn.wrapping_add(ASKED_AT_ONCE);
        Patience::pause();
    }
}

fn line(one: &Begun) -> Line {
    let says = one.command.says();
    let progress = one.last["progress"].as_str().filter(|_| !one.command.is_over());
    let says = progress.map_or_else(|| says.clone(), |doing| format!("{says}: {doing}"));
    Line { name: one.host.clone(), says: text::safe(&says), over: one.command.is_over() }
}
