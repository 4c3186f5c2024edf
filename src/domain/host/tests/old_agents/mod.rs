//! Agents of 3.x, as the installed ones behave (spec: protocol, lifecycle "3.x"). The numbers
//! are those of the findings about rows, commands and jobs.

mod model;
mod proofs;
mod words;

use super::*;

/// A host with a 3.x agent.
struct Old {
    lab: Lab,
    binary: &'static str,
}

impl Old {
    /// Its checkout is the head, and nothing was ever done.
    fn new() -> Self {
        let mut old = Self { lab: Lab::new(), binary: "a" };
        old.connects();
        old
    }

    /// Switched and tested.
    fn green() -> Self {
        let mut old = Self::new();
        old.switches();
        old.tests();
        assert_eq!(old.lab.row(), "out ok ok ok ok");
        old
    }

    fn registration(&self) -> Registration {
        let mut registration = self.lab.registration("3.1.5");
        (registration.protocol, registration.jobs) = (None, None);
        registration.report.checkout = Some(commit(1));
        registration.report.binary =
            AgentBinary { binary_hash: Some(self.binary.into()), ..AgentBinary::default() };
        registration
    }

    fn connects(&mut self) {
        let registration = self.registration();
        self.lab.connects(registration);
        self.beats(None);
    }

    fn cut(&mut self) {
        self.lab.apply(HostEvent::Disconnected);
    }

    /// Its process ends, and another one connects.
    fn comes_back(&mut self) {
        self.cut();
        self.connects();
    }

    fn beats(&mut self, works_on: Option<&str>) {
        let work = works_on.map(|name| Work { id: None, name: name.to_owned() });
        let report = Report { lock: Some(lock(1)), ..Report::default() };
        self.lab.beat(report, work);
    }

    fn asks(&mut self, op: Operation) -> CommandId {
        self.lab.asks(op, false).expect("it may start").id
    }

    /// A command that it begins to work on.
    fn starts(&mut self, op: Operation) -> CommandId {
        let id = self.asks(op);
        self.beats(op.v3_name());
        id
    }

    fn status(&mut self, name: &str, kind: OutcomeKind, exit_code: i32, message: Option<&str>) {
        let outcome = Outcome {
            kind,
            exit_code,
            message: message.map(str::to_owned),
            blocked_by: Vec::new(),
        };
        let about = About::Name(name.to_owned());
        self.lab.apply(HostEvent::Ended { about, outcome, report: Box::default() });
    }

    /// A command ends: its `status`, and the heartbeat that still names it.
    fn ends(&mut self, op: Operation, exit_code: i32) {
        let name = op.v3_name().unwrap_or_default();
        match exit_code {
            0 => self.status(name, OutcomeKind::Exited, 0, None),
            code => self.status(name, OutcomeKind::Failed, code, Some("command failed")),
        }
        if op != Operation::Pull {
            self.beats(Some(name));
        }
    }

    fn switches(&mut self) -> CommandId {
        let id = self.starts(Operation::Switch);
        self.ends(Operation::Switch, 0);
        self.comes_back();
        assert_eq!(self.state_of(id), State::Succeeded);
        id
    }

    fn tests(&mut self) {
        // They may have started by themselves.
        let id = match self.lab.state.command().map(|c| c.id) {
            Some(id) => id,
            None => self.asks(Operation::Test),
        };
        self.beats(Some("test"));
        self.line("fine", false);
        self.ends(Operation::Test, 0);
        self.beats(None);
        assert_eq!(self.state_of(id), State::Succeeded);
    }

    fn line(&mut self, text: &str, error: bool) {
        let last_error = error.then(|| text.to_owned());
        self.lab.apply(HostEvent::Output { id: None, first_seq: None, count: 1, last_error });
    }

    /// Where a command is in its life.
    fn state_of(&self, id: CommandId) -> State {
        let state = &self.lab.state;
        let last = state.commands.last().filter(|c| c.id == id);
        state.find(id).or(last).map(|c| c.state).expect("the host knows it")
    }

    fn busy(&self) -> Option<(Operation, State)> {
        self.lab.state.command().map(|c| (c.op, c.state))
    }

    /// How often something was sent to the agent by the last event.
    fn sent(&self) -> usize {
        self.lab.effects.iter().filter(|e| matches!(e, HostEffect::Run { .. })).count()
    }

    /// Stops what runs.
    fn stops(&mut self, id: CommandId) {
        self.lab.apply(HostEvent::StopRequested { id, by: Author::Admin });
    }

    fn comes_back_at(&mut self, at: u32) {
        self.cut();
        let mut registration = self.registration();
        registration.report.checkout = Some(commit(at));
        self.lab.connects(registration);
        self.beats(None);
    }
}
