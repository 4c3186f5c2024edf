//! The supervisor's part of a guarded switch: preflight, arm, activate, confirm, keep. It never
//! returns to the old system itself: it asks the guard to, and waits to be ended.

use super::intent::{self, End, Intent};
use super::preflight::Target;
use super::tail::Tail;
use super::{activate, confirm, evidence, keep, preflight, probes, roots, systemd, units};
use crate::agent::facts;
use crate::agent::jobs::Order;
use crate::agent::jobs::child::Lines;
use crate::agent::jobs::work::{Failure, STOPPED, Work};
use crate::agent::platform;
use crate::agent::site::Site;
use crate::base::hex;
use crate::domain::command::WorkPhase;
use crate::domain::guard::{
    self, AfterActivation, Claim, FORMAT, Runs, Verdict, Witness, after_activation,
};
use crate::domain::operation::Regardless;
use crate::protocol::{OutcomeStatus, Stream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked at what others do.
const LOOK: Duration = Duration::from_millis(100);
/// How often systemd is asked whether the activation's unit is still there.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// What the timer waits for beside activation and window: probes, own evidence, the claim.
const BESIDE: Duration = Duration::from_secs(60);
/// How long the guard may take to end this process, once it was asked to.
const ENDED_WITHIN: Duration = Duration::from_secs(120);
/// The unit of the agent, as the module names it.
const AGENT: &str = "nixfleet-agent.service";

/// Switches to the target, or leaves everything to the guard.
pub(crate) fn run(order: &Order, target: Target, work: &mut Work<'_>) -> Result<(), Failure> {
    work.enters(WorkPhase::Preflight);
    let site = &order.site;
    let regardless = |what| order.args.regardless.contains(&what);
    if !order.args.boots() {
        preflight::agent_can_confirm(site, &target.system)?;
    }
    let inhibited = preflight::why_to_boot(order, &target)?;
    let regardless_of_checks = regardless(Regardless::Inhibitors);
    let switch = Switch { intent: arm(order, target, work)?, site, regardless_of_checks };
    if let Some(why) = inhibited {
        return switch.boots_instead(&why, work);
    }
    let code = switch.activate(work)?;
    match after_activation(code) {
        AfterActivation::Confirm => {}
        AfterActivation::NeedsBoot => {
            let why = "The new system cannot replace the one that runs: nothing was activated.";
            return switch.boots_instead(why, work);
        }
        AfterActivation::SomebodyElse => {
            let why = "Somebody else activates a system on this machine now: wait until it ended.";
            return switch.nothing_was_activated(why, work);
        }
        AfterActivation::Return => {
            let why = match code {
                Some(code) => format!("the activation ended with exit code {code}"),
                None => "the activation ended without a word".to_owned(),
            };
            return switch.asks_for_the_return(&why, work);
        }
    }
    let without_word = switch.confirm(work)?;
    switch.keep(without_word, work)
}

/// Prepares the way back. Nothing has changed when this fails.
fn arm(order: &Order, target: Target, work: &mut Work<'_>) -> Result<Intent, Failure> {
    work.enters(WorkPhase::Arm);
    let (id, site) = (order.command_id, &order.site);
    let refused = |why: String| {
        Failure::Refused(1, format!("The way back cannot be prepared; nothing has changed: {why}"))
    };
    let platform = platform::of(site);
    let old = platform.running_path(site).ok_or_else(|| refused("nothing runs".to_owned()))?;
    let exe = std::env::current_exe().map_err(|error| refused(error.to_string()))?;
    let (evidence, dashboard_at) = evidence::gather(site, None);
    let intent = Intent {
        format: FORMAT,
        id,
        boot_id: facts::boot_id().ok_or_else(|| refused("no boot id".to_owned()))?,
        old,
        new: target.system,
        exe,
        old_generation: platform.generation_of_profile(site),
        generation: target.generation,
        evidence,
        dashboard_at,
        units: systemd::units().map_err(refused)?,
        built: work.built(),
    };
    if work.is_stopped() || work.is_told_to_stop() {
        return Err(Failure::Ended(STOPPED));
    }
    let dir = work.dir().to_owned();
    let limits = &site.guard;
    let armed = roots::add(site, &intent)
        .and_then(|()| intent::arm(&dir, &intent))
        .map_err(|error| error.to_string())
        .and_then(|()| systemd::arm(&intent, &dir, limits.activation + limits.window + BESIDE));
    if let Err(why) = armed {
        let _ = intent::disarm(&dir);
        roots::remove(site, &intent);
        return Err(refused(why));
    }
    let (activation, window) = (limits.activation.as_secs(), limits.window.as_secs());
    work.say(&format!(
        "guarded: {} comes back unless the new system is confirmed (activation within \
         {activation} s, confirmation within {window} s)",
        intent.old.display()
    ));
    Ok(intent)
}

struct Switch<'a> {
    intent: Intent,
    site: &'a Site,
    /// The user goes on regardless of what the new system checks before it is activated.
    regardless_of_checks: bool,
}

impl Switch<'_> {
    /// Whether this process shall end: told by a user, by systemd, or because the guard has begun.
    fn is_over(&self, work: &Work<'_>) -> Option<Failure> {
        if work.is_told_to_stop() {
            systemd::start_the_guard(self.intent.id);
            return Some(waits_to_be_ended());
        }
        let armed = intent::claim(work.dir()) == Some(Claim::Armed);
        (work.is_stopped() || !armed).then_some(Failure::Abandoned)
    }

    /// Nothing was activated: the new system is made the one that boots.
    fn boots_instead(&self, why: &str, work: &mut Work<'_>) -> Result<(), Failure> {
        work.say(why);
        if let Some(over) = self.is_over(work) {
            return Err(over);
        }
        let dir = work.dir().to_owned();
        if let Err(error) = intent::mark_boots(&dir) {
            return self.nothing_was_activated(&format!("{why} {error}"), work);
        }
        if !matches!(intent::rename(&dir, Claim::Armed, Claim::Keep), Ok(true)) {
            return Err(waits_to_be_ended());
        }
        work.enters(WorkPhase::Keep);
        let end = match keep::new(self.site, &self.intent) {
            Ok(()) => End::boots(&self.intent),
            Err(why) => keep::not_booted(self.site, &self.intent, &why),
        };
        if intent::mark_done(&dir, &end).is_err() {
            // The guard finishes it.
            return Err(Failure::Abandoned);
        }
        self.disarm();
        if end.status != OutcomeStatus::Ok {
            return Err(Failure::Refused(1, end.message.unwrap_or_default()));
        }
        work.starts_at_the_next_boot(&self.intent.new);
        if let Some(notice) = end.notice {
            work.say(&notice);
            work.notice(notice);
        }
        Ok(())
    }

    /// Nothing was activated: the guard goes, and the command says why.
    fn nothing_was_activated(&self, why: &str, work: &mut Work<'_>) -> Result<(), Failure> {
        let dir = work.dir().to_owned();
        if !matches!(intent::rename(&dir, Claim::Armed, Claim::Return), Ok(true)) {
            return Err(waits_to_be_ended());
        }
        let end = End::with(OutcomeStatus::Blocked, why);
        if intent::mark_done(&dir, &end).is_err() {
            return Err(Failure::Abandoned);
        }
        self.disarm();
        Err(Failure::Blocked(why.to_owned(), None))
    }

    fn disarm(&self) {
        systemd::disarm(self.intent.id);
        roots::remove(self.site, &self.intent);
    }

    fn asks_for_the_return(&self, why: &str, work: &mut Work<'_>) -> Result<(), Failure> {
        work.say(&format!("not confirmed: {why}"));
        intent::give_reason(work.dir(), why);
        systemd::start_the_guard(self.intent.id);
        Err(waits_to_be_ended())
    }

    /// Activates the new system; answers the exit code, if there is one.
    fn activate(&self, work: &mut Work<'_>) -> Result<Option<i32>, Failure> {
        if work.is_stopped() || work.is_told_to_stop() {
            // Nothing has changed yet: the intent is taken back, if the guard did not begin.
            if intent::disarm(work.dir()).is_ok() {
                self.disarm();
                return Err(Failure::Ended(STOPPED));
            }
            return Err(waits_to_be_ended());
        }
        work.enters(WorkPhase::Activate);
        let dir = work.dir().to_owned();
        let unit = systemd::activation_unit(self.intent.id);
        let (status, log) = (dir.join("activated"), dir.join("activate.log"));
        let marked = intent::mark_activating(&dir).map_err(|error| error.to_string());
        let new = &self.intent.new;
        let how = match self.regardless_of_checks {
            true => systemd::Activates::Regardless,
            false => systemd::Activates::New,
        };
        let begun =
            marked.and_then(|()| systemd::activate(&self.intent, &unit, new, &status, &log, how));
        if let Err(error) = begun {
            self.asks_for_the_return(&format!("the activation cannot be started: {error}"), work)?;
        }
        let mut tail = Tail::of(log);
        let until = Instant::now() + self.site.guard.activation;
        let mut asked = Instant::now();
        let code = loop {
            pass_on(&mut tail, work, false);
            if let Some(code) = activate::code(&status) {
                break Some(code);
            }
            if let Some(over) = self.is_over(work) {
                return Err(over);
            }
            if Instant::now() >= until {
                let limit = self.site.guard.activation.as_secs();
                let why = format!("the activation did not come to an end within {limit} s");
                self.asks_for_the_return(&why, work)?;
            }
            if asked.elapsed() >= ASK_EVERY {
                asked = Instant::now();
                if !systemd::is_active(&unit) {
                    break activate::code(&status);
                }
            }
            thread::sleep(LOOK);
        };
        pass_on(&mut tail, work, true);
        Ok(code)
    }

    /// Waits until the new system has proved itself. True: without the dashboard's word.
    fn confirm(&self, work: &mut Work<'_>) -> Result<bool, Failure> {
        work.enters(WorkPhase::Confirm);
        let nonce = nonce();
        let until = Instant::now() + self.site.guard.window;
        if let Err(error) = confirm::ask(work.dir(), &nonce) {
            self.asks_for_the_return(&format!("the agent cannot be asked: {error}"), work)?;
        }
        let verdict = loop {
            if let Some(over) = self.is_over(work) {
                return Err(over);
            }
            match guard::verdict(&self.witness(work.dir(), &nonce, until)) {
                Verdict::Waits => thread::sleep(LOOK),
                verdict => break verdict,
            }
        };
        let without_word = match verdict {
            Verdict::No(why) => {
                self.asks_for_the_return(&format!("{why} is missing"), work)?;
                false
            }
            Verdict::ConfirmedWithoutWord => true,
            Verdict::Confirmed | Verdict::Waits => false,
        };
        self.units_are_well(work)?;
        if let Some(failed) = probes::run(self.site, work) {
            self.asks_for_the_return(&failed, work)?;
        }
        self.units_are_well(work)?;
        Ok(without_word)
    }

    /// What costs time is asked only when the window is over.
    fn witness(&self, dir: &Path, nonce: &str, until: Instant) -> Witness {
        let confirmed = confirm::is_confirmed(dir, nonce);
        let window_over = Instant::now() >= until;
        let mut witness = Witness {
            confirmed,
            window_over,
            agent_active: false,
            agent_tries: false,
            missing: None,
            dashboard_answers: false,
        };
        if confirmed || !window_over {
            return witness;
        }
        witness.agent_active = systemd::is_up(AGENT);
        witness.agent_tries = confirm::was_tried(dir, nonce);
        let (now, _) = evidence::gather(self.site, self.intent.dashboard_at);
        witness.missing = now.missing_since(self.intent.evidence);
        witness.dashboard_answers = evidence::dashboard_answers(self.site);
        // It may have come in the meantime.
        witness.confirmed = confirm::is_confirmed(dir, nonce);
        witness
    }

    fn units_are_well(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let broken = systemd::units()
            .map(|now| units::broken(&self.intent.units, &now, &self.site.guard.ignore_units));
        match broken {
            Ok(broken) if broken.is_empty() => Ok(()),
            Ok(broken) => self.asks_for_the_return(&format!("{} failed", broken.join(", ")), work),
            Err(error) => self.asks_for_the_return(&error, work),
        }
    }

    fn keep(&self, without_word: bool, work: &mut Work<'_>) -> Result<(), Failure> {
        if keep::runs(self.site, &self.intent) != Runs::New {
            return self.hands_off(work);
        }
        let dir = work.dir().to_owned();
        if let Some(over) = self.is_over(work) {
            return Err(over);
        }
        if !matches!(intent::rename(&dir, Claim::Armed, Claim::Keep), Ok(true)) {
            return Err(waits_to_be_ended());
        }
        work.enters(WorkPhase::Keep);
        if let Err(why) = keep::new(self.site, &self.intent) {
            return self.keep_failed(&why, work);
        }
        let notice = without_word.then(|| {
            let what = self.intent.new.display();
            format!("{what} was kept without the dashboard's word: it did not answer")
        });
        if intent::mark_done(&dir, &End::kept(notice.clone())).is_err() {
            // The guard finishes it.
            return Err(Failure::Abandoned);
        }
        self.disarm();
        work.say(&format!("kept: {} is what boots", self.intent.new.display()));
        if let Some(notice) = notice {
            work.say(&notice);
            work.notice(notice);
        }
        Ok(())
    }

    /// A third system runs: it is somebody's, and stays.
    fn hands_off(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let why = "Another system was activated meanwhile: it was left as it is.";
        let dir = work.dir().to_owned();
        if !matches!(intent::rename(&dir, Claim::Armed, Claim::Return), Ok(true)) {
            return Err(waits_to_be_ended());
        }
        if intent::mark_done(&dir, &End::with(OutcomeStatus::Error, why)).is_err() {
            return Err(Failure::Abandoned);
        }
        self.disarm();
        Err(Failure::Refused(1, why.to_owned()))
    }

    fn keep_failed(&self, why: &str, work: &mut Work<'_>) -> Result<(), Failure> {
        if let Err(error) = keep::old(self.site, &self.intent) {
            work.say(&format!("the boot entry cannot be put back: {error}"));
        }
        intent::give_reason(work.dir(), why);
        let back = intent::rename(work.dir(), Claim::Keep, Claim::Return);
        if let Err(error) = back {
            work.say(&format!("{error}"));
        }
        self.asks_for_the_return(why, work)
    }
}

fn pass_on(tail: &mut Tail, work: &mut Work<'_>, at_end: bool) {
    for line in tail.lines(at_end) {
        Lines::line(work, Stream::Stderr, &line);
    }
    Lines::pause(work);
}

/// The guard ends this process. Should it not come, that is left to systemd, which starts the guard
/// when this one fails.
fn waits_to_be_ended() -> Failure {
    thread::sleep(ENDED_WITHIN);
    Failure::Abandoned
}

/// Without random numbers the time makes it another one than before.
fn nonce() -> String {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        bytes = since.map_or(0, |since| since.as_nanos()).to_ne_bytes();
    }
    hex::encode(&bytes)
}
