//! Output of commands: what a 3.x agent says line by line is gathered, and stored lines are shown.

use super::happen::{Acknowledges, Happening};
use super::journal::StoredLines;
use super::{Done, HostActor, nothing};
use crate::dashboard::live::news::CommandOutput;
use crate::domain::bounds;
use crate::domain::host::HostEvent;
use crate::protocol::{Line, Stream};
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Lines of a 3.x agent come one by one; they are stored together after so long.
const GATHER_LINES_FOR: Duration = Duration::from_millis(50);
/// And at the latest when there are so many.
const GATHER_LINES: usize = 1000;

impl HostActor {
    /// Shows lines that are stored now.
    pub(super) fn show_lines(&self, stored: StoredLines, lines: &Arc<[Line]>) {
        // What was stored before is not shown twice.
        let known = (stored.before + 1).saturating_sub(stored.first_seq);
        let skip = usize::try_from(known).unwrap_or(usize::MAX);
        if skip >= lines.len() {
            return;
        }
        self.around.broadcaster.tell(CommandOutput {
            host: self.state.id().clone(),
            command_id: stored.id,
            first_seq: stored.first_seq + skip as u64,
            lines: if skip == 0 { Arc::clone(lines) } else { lines[skip..].into() },
        });
    }

    /// The lines that were gathered, as one event.
    pub(super) fn take_gathered(&mut self) -> Option<Happening> {
        let lines = self.gathered.take()?;
        self.gathered_bytes = 0;
        let event = output_event(None, None, &lines);
        Some(Happening::new(event, self.now()).with_lines(lines, Acknowledges::Nothing))
    }

    /// A line of a 3.x agent: it has no number, and comes alone.
    pub(super) fn gather(&mut self, line: Vec<Line>, ctx: &mut Context<Self>) -> Done {
        let lines = self.gathered.get_or_insert_default();
        self.gathered_bytes += line.iter().map(|line| line.text.len()).sum::<usize>();
        lines.extend(line);
        match lines.len() {
            GATHER_LINES.. => self.store_what_waits(),
            _ if self.gathered_bytes >= bounds::GATHERED_BYTES => self.store_what_waits(),
            1 => {
                ctx.run_later(GATHER_LINES_FOR, |act, ctx| {
                    let stored = act.store_what_waits();
                    ctx.wait(stored);
                });
                nothing()
            }
            _ => nothing(),
        }
    }
}

/// The event that lines came. `id` and `first_seq` are missing in protocol 3.
pub(super) fn output_event(
    id: Option<crate::domain::ids::CommandId>,
    first_seq: Option<u64>,
    lines: &[Line],
) -> HostEvent {
    let error = lines.iter().rev().find(|line| line.stream == Stream::Stderr);
    HostEvent::Output {
        id,
        first_seq,
        count: lines.len() as u64,
        last_error: error.map(|line| line.text.clone()),
    }
}
