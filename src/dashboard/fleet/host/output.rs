//! Output of commands on its way to SQLite, browsers and back to the agent as acknowledgements.

use super::{Done, HostActor, new_command_id, nothing};
use crate::dashboard::live::news::CommandOutput;
use crate::dashboard::store;
use crate::domain::host::{HostEffect, HostEvent};
use crate::domain::ids::CommandId;
use crate::protocol::{Ack, DashboardMessage, Line, Stream};
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Lines of a 3.x agent come one by one; they are stored together after so long.
const GATHER_LINES_FOR: Duration = Duration::from_millis(50);
/// And at the latest when there are so many.
const GATHER_LINES: usize = 1000;

impl HostActor {
    /// Stores lines of output, then tells browsers and the agent.
    pub(super) fn store_lines(
        &mut self,
        id: CommandId,
        first: u64,
        lines: Vec<Line>,
        ack: bool,
    ) -> Done {
        let lines: Arc<[Line]> = lines.into();
        let stored = Arc::clone(&lines);
        let write = self.around.store.write(move |conn| {
            let before = store::output::last_seq(conn, id)?;
            let after = store::output::append(conn, id, first, &stored)?;
            Ok((before, after))
        });
        Box::pin(write.into_actor(self).map(move |written, act, ctx| match written {
            Ok((before, after)) => {
                // What was stored before is not shown twice.
                let skip =
                    usize::try_from((before + 1).saturating_sub(first)).unwrap_or(usize::MAX);
                if skip < lines.len() {
                    act.around.broadcaster.do_send(CommandOutput {
                        host: act.state.id().clone(),
                        command_id: id,
                        first_seq: first + skip as u64,
                        lines: if skip == 0 { lines } else { lines[skip..].into() },
                    });
                }
                if ack {
                    act.send(&DashboardMessage::Ack(Ack { command_id: id, seq: after }));
                }
            }
            Err(error) => act.not_stored(&error, None, ctx),
        }))
    }

    /// Lines came: which command they belong to, with the number of the first, if there is
    /// such a command, and what else follows from that.
    pub(super) fn place(&mut self, lines: HostEvent) -> (Option<(CommandId, u64)>, Option<Done>) {
        let mut effects = self.state.apply(lines, self.now(), &mut new_command_id);
        let mut place = None;
        effects.retain(|effect| {
            if let HostEffect::StoreOutput { id, first_seq } = effect {
                place = Some((*id, *first_seq));
                return false;
            }
            true
        });
        let rest =
            if effects.is_empty() { None } else { Some(self.follow(effects, None, true, None)) };
        (place, rest)
    }

    /// Stores the gathered lines of a 3.x agent, before anything that comes after them.
    pub(super) fn store_gathered(&mut self) -> Option<Done> {
        let (id, first, lines) = self.gathered.take()?;
        Some(self.store_lines(id, first, lines, false))
    }

    pub(super) fn gather(&mut self, line: Line, ctx: &mut Context<Self>) -> Done {
        let last_error = (line.stream == Stream::Stderr).then(|| line.text.clone());
        let event = HostEvent::Output { id: None, first_seq: None, count: 1, last_error };
        let (place, rest) = self.place(event);
        let rest = rest.unwrap_or_else(nothing);
        let Some((id, seq)) = place else {
            log::debug!("{}: a line of output that belongs to no command", self.state.id());
            return rest;
        };
        let earlier = match &mut self.gathered {
            Some((whose, _, lines)) if *whose == id => {
                lines.push(line);
                if lines.len() >= GATHER_LINES { self.store_gathered() } else { None }
            }
            _ => {
                let earlier = self.store_gathered();
                self.gathered = Some((id, seq, vec![line]));
                ctx.run_later(GATHER_LINES_FOR, |act, ctx| {
                    if let Some(done) = act.store_gathered() {
                        ctx.wait(done);
                    }
                });
                earlier
            }
        };
        match earlier {
            Some(earlier) => Box::pin(rest.then(move |(), _, _| earlier)),
            None => rest,
        }
    }
}
