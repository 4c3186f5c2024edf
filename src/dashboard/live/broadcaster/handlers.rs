//! What the broadcaster hears: from hosts, the fleet and rollouts, and from browsers.

use super::{
    Broadcaster, Join, Leave, WantFullState, Watcher, compared_at, has_failed_tests, is_busy,
    outcome_fragment, send,
};
use crate::dashboard::live::frame::{Fragment, Frame};
use crate::dashboard::live::model::{FleetView, HostEntry};
use crate::dashboard::live::news::{
    Cause, CommandComplete, CommandOutput, CommandQueued, DesiredChanged, HostChanged, HostPulse,
    HostRemoved, Ping, ReadFleet, ReadHost, RolloutsChanged, Subscribe, WasRead,
};
use crate::dashboard::{metrics, views};
use actix::prelude::*;
use std::sync::Arc;

impl Handler<ReadFleet> for Broadcaster {
    type Result = Arc<FleetView>;

    fn handle(&mut self, _: ReadFleet, _: &mut Self::Context) -> Self::Result {
        self.attention.look();
        self.view()
    }
}

impl Handler<ReadHost> for Broadcaster {
    type Result = Option<HostEntry>;

    fn handle(&mut self, msg: ReadHost, _: &mut Self::Context) -> Self::Result {
        self.attention.look();
        let mut entry = self.hosts.get(&msg.0).cloned()?;
        entry.compared_at = compared_at(&self.read_at, &entry);
        Some(entry)
    }
}

impl Handler<HostChanged> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: HostChanged, _: &mut Self::Context) {
        let id = msg.snapshot.id.clone();
        let was_busy = self.hosts.get(&id).is_some_and(is_busy);
        let entry = HostEntry::new(msg.snapshot, msg.pulse);
        match (was_busy, is_busy(&entry)) {
            (false, true) => self.busy += 1,
            (true, false) => self.busy -= 1,
            _ => {}
        }
        self.attention.work(self.busy);
        let failed = has_failed_tests(&entry);
        let had = self.hosts.insert(id.clone(), entry).is_some_and(|old| has_failed_tests(&old));
        let kind = match msg.cause {
            Cause::WentOffline => "host_offline",
            Cause::Changed => "fragments",
        };
        self.change(kind, |act, frame| {
            frame.fragments = act.news_around();
            frame.fragments.extend(act.row_fragment(&id));
            if let Some(entry) = act.hosts.get(&id) {
                let live = entry.snapshot.command.iter().chain(&entry.snapshot.waiting);
                frame.fragments.extend(live.map(outcome_fragment));
            }
        });
        if failed != had {
            self.count_failed_tests(failed);
        }
    }
}

impl Handler<HostPulse> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: HostPulse, _: &mut Self::Context) {
        if let Some(entry) = self.hosts.get_mut(&msg.0) {
            entry.pulse = msg.1;
            self.view = None;
            self.pulsed.insert(msg.0);
        }
    }
}

impl Handler<HostRemoved> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: HostRemoved, _: &mut Self::Context) {
        let removed = self.hosts.remove(&msg.0);
        if removed.as_ref().is_some_and(is_busy) {
            self.busy -= 1;
            self.attention.work(self.busy);
        }
        if removed.as_ref().is_some_and(has_failed_tests) {
            self.count_failed_tests(false);
        }
        self.change("fragments", |act, frame| {
            frame.fragments = act.news_around();
            let id = views::host::row_id(&msg.0);
            frame.fragments.push(Fragment { id, html: String::new(), after: None });
        });
    }
}

impl Handler<DesiredChanged> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: DesiredChanged, _: &mut Self::Context) {
        self.remotes = msg.0;
        self.change("fragments", |act, frame| frame.fragments = act.news_around());
    }
}

impl Handler<RolloutsChanged> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: RolloutsChanged, _: &mut Self::Context) {
        self.rollouts = msg.rollouts;
        self.maintenance = msg.maintenance;
        self.change("fragments", |act, frame| frame.fragments = act.news_around());
    }
}

impl Handler<Subscribe> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: Subscribe, _: &mut Self::Context) {
        self.subscribers.push(msg.0);
    }
}

impl Handler<WasRead> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: WasRead, _: &mut Self::Context) {
        // Nothing on a page hangs on it: it is told to whoever asks.
        self.read_at.insert(msg.source, msg.at);
        self.view = None;
    }
}

impl Handler<CommandQueued> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: CommandQueued, _: &mut Self::Context) {
        let host = msg.0.host.clone();
        let command = msg.0;
        self.change("command_queued", |_, frame| {
            frame.host = Some(host.to_string());
            frame.command_id = Some(command.id.to_string());
        });
    }
}

impl Handler<CommandOutput> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: CommandOutput, _: &mut Self::Context) {
        self.change("command_output", |_, frame| {
            frame.host = Some(msg.host.to_string());
            frame.command_id = Some(msg.command_id.to_string());
            frame.first_seq = Some(msg.first_seq);
            frame.count = Some(msg.lines.len());
            let numbered = (msg.first_seq..).zip(msg.lines.iter());
            frame.html = Some(views::log::lines(numbered, None).into_string());
        });
    }
}

impl Handler<CommandComplete> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: CommandComplete, _: &mut Self::Context) {
        for subscriber in &self.subscribers {
            if subscriber.try_send(msg.clone()).is_err() {
                // It looks into SQLite for what it did not hear.
                log::debug!("a subscriber did not hear that a command is over");
            }
        }
        let command = msg.0;
        metrics::command_over(&command);
        self.change("command_complete", |_, frame| {
            frame.host = Some(command.host.to_string());
            frame.command_id = Some(command.id.to_string());
            frame.fragments.push(outcome_fragment(&command));
        });
    }
}

impl Handler<Join> for Broadcaster {
    type Result = usize;

    fn handle(&mut self, msg: Join, _: &mut Self::Context) -> Self::Result {
        let number = self.next_watcher;
        self.next_watcher += 1;
        let behind = !send(&msg.0, Frame::new("init", self.version).text());
        self.watchers.insert(number, Watcher { browser: msg.0, behind });
        self.attention.watch(self.watchers.len());
        number
    }
}

impl Handler<Leave> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: Leave, _: &mut Self::Context) {
        self.watchers.remove(&msg.0);
        self.attention.watch(self.watchers.len());
    }
}

impl Handler<WantFullState> for Broadcaster {
    type Result = ();

    fn handle(&mut self, msg: WantFullState, _: &mut Self::Context) {
        let text = self.full_state();
        if let Some(watcher) = self.watchers.get_mut(&msg.0) {
            watcher.behind = !send(&watcher.browser, text);
        }
    }
}

impl Handler<Ping> for Broadcaster {
    type Result = ();

    fn handle(&mut self, _: Ping, _: &mut Self::Context) {}
}
