//! The guard's service: the only place where the old system comes back
//! (`nixfleet guard-return DIR`). It is started by its timer, by a stop, by a supervisor whose
//! system did not prove itself, and by systemd when a supervisor dies. It is started again when it
//! is killed, and goes on with what it finds.

use super::intent::{self, End, Intent};
use super::tail::Tail;
use super::{activate, end, evidence, keep, systemd};
use crate::agent::facts;
use crate::agent::jobs::spool::SpoolWriter;
use crate::agent::jobs::{Job, Order, activation};
use crate::base::secret;
use crate::domain::command::WorkPhase;
use crate::domain::guard::{self, AfterTry, Claim, Found, GuardDoes, Runs};
use crate::domain::ids::CommandId;
use crate::protocol::{OutcomeStatus, Stream};
use nix::fcntl::Flock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Why a system comes back of which nobody said more.
const KILLED: &str = "its job was killed";
/// How often it is looked again at what others do.
const LOOK: Duration = Duration::from_millis(100);
/// How long one who keeps may take: its own limit, and some.
const KEEPS_WITHIN: Duration = Duration::from_secs(6 * 60);
/// How long a supervisor may be there after SIGKILL.
const DIES_WITHIN: Duration = Duration::from_secs(60);
/// How long somebody else's activation is waited for.
const LOCKED_WITHIN: Duration = Duration::from_secs(60);
/// How long one try may take.
const TRY_WITHIN: Duration = Duration::from_secs(5 * 60);
/// From one try to the next.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// How long what was there at arm may take to be there again.
const EVIDENCE_WITHIN: Duration = Duration::from_secs(60);
/// How long a shutdown may take before it is forced.
const SHUTS_DOWN_WITHIN: Duration = Duration::from_secs(180);

/// Does what is to be done for the job in `dir`.
///
/// # Errors
///
/// Its files cannot be used: systemd starts it again.
pub fn run(dir: &Path) -> io::Result<()> {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let id = CommandId::parse(name).ok_or_else(|| io::Error::other("not a job's directory"))?;
    let job = Job { id, dir: dir.to_owned() };
    let waited = Instant::now();
    loop {
        let Some(found) = found(&job)? else { return Ok(()) };
        match guard::guard(found) {
            GuardDoes::Nothing => return Ok(()),
            GuardDoes::Claims => drop(intent::rename(dir, Claim::Armed, Claim::Return)?),
            GuardDoes::WaitsForTheKeeper => {
                if waited.elapsed() >= KEEPS_WITHIN {
                    systemd::kill(&systemd::job_unit(id));
                }
                thread::sleep(LOOK);
            }
            GuardDoes::FinishesTheKeep => {
                if let Some(mut guard) = Guard::take_over(&job, Duration::ZERO)? {
                    return guard.finish_the_keep();
                }
            }
            GuardDoes::Repairs | GuardDoes::TellsOfTheReturn | GuardDoes::TellsOfTheRestart => {
                return match Guard::take_over(&job, DIES_WITHIN)? {
                    Some(mut guard) => guard.after_a_restart(guard::guard(found)),
                    None => Err(io::Error::other("somebody holds the job")),
                };
            }
            GuardDoes::Returns | GuardDoes::EndsUnchanged => {
                // Who only looks at the lock holds it for a moment.
                let lived = found.job_lives && systemd::is_active(&systemd::job_unit(id));
                return match Guard::kill_and_take_over(&job)? {
                    Some(mut guard) => guard.returns(lived, found.activating),
                    None => Err(io::Error::other("the supervisor cannot be killed")),
                };
            }
        }
    }
}

/// What is there of the job's intent; `None`: it has none.
fn found(job: &Job) -> io::Result<Option<Found>> {
    let (Some(claim), Some(intent)) = (intent::claim(&job.dir), intent::intent(&job.dir)?) else {
        return Ok(None);
    };
    Ok(Some(Found {
        claim,
        this_boot: facts::boot_id().is_some_and(|boot| boot == intent.boot_id),
        activating: intent::is_activating(&job.dir),
        done: intent::is_done(&job.dir),
        job_lives: job.try_lock()?.is_none(),
        timer: false,
        guard_runs: true,
    }))
}

/// The guard in the place of the supervisor.
struct Guard {
    job: Job,
    order: Order,
    intent: Intent,
    spool: SpoolWriter,
    _lock: Flock<File>,
}

impl Guard {
    /// Takes the job, once nobody has it; `None`: somebody still has it after `within`.
    fn take_over(job: &Job, within: Duration) -> io::Result<Option<Self>> {
        let until = Instant::now() + within;
        let lock = loop {
            if let Some(lock) = job.try_lock()? {
                break lock;
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            thread::sleep(LOOK);
        };
        let missing = || io::Error::other("the job has no order or no intent");
        Ok(Some(Self {
            order: job.order()?.ok_or_else(missing)?,
            intent: intent::intent(&job.dir)?.ok_or_else(missing)?,
            spool: SpoolWriter::resume(&job.dir),
            job: job.clone(),
            _lock: lock,
        }))
    }

    /// Kills the supervisor as often as it takes: systemd gives no answer while it starts itself anew.
    fn kill_and_take_over(job: &Job) -> io::Result<Option<Self>> {
        let until = Instant::now() + DIES_WITHIN;
        loop {
            systemd::kill(&systemd::job_unit(job.id));
            kill_outside_of_units(job);
            let guard = Self::take_over(job, Duration::from_secs(1))?;
            if guard.is_some() || Instant::now() >= until {
                return Ok(guard);
            }
        }
    }

    fn say(&mut self, text: &str) {
        let text = format!("nixfleet: {text}");
        self.spool.line(Stream::Stderr, &secret::without_credentials(&text));
        self.spool.flush();
    }

    fn end(&mut self, end: &End) -> io::Result<()> {
        if let Some(message) = &end.message {
            let message = message.clone();
            self.say(&message);
        }
        self.spool.flush();
        end::write(&self.job, &self.order, &self.intent, end, self.spool.last())
    }

    fn runs(&self) -> Runs {
        keep::runs(&self.order.site, &self.intent)
    }

    /// The machine was restarted, and has booted what it boots.
    fn after_a_restart(&mut self, what: GuardDoes) -> io::Result<()> {
        if what == GuardDoes::Repairs {
            return self.repair();
        }
        if what == GuardDoes::TellsOfTheReturn {
            let why = intent::reason(&self.job.dir).unwrap_or_else(|| KILLED.to_owned());
            let more = " The machine was restarted for that.";
            return self.end(&self.ended(|| End::rolled_back(&why, more)));
        }
        let text = "Interrupted by a restart of the machine: the system of before was booted.";
        self.end(&End::with(OutcomeStatus::Interrupted, text))
    }

    /// It was being kept: what runs becomes profile and boot entry.
    fn repair(&mut self) -> io::Result<()> {
        self.job.enters(WorkPhase::Keep);
        let (site, intent) = (&self.order.site, &self.intent);
        let told = match self.runs() {
            Runs::New => match keep::new(site, intent) {
                Ok(()) => {
                    let what = intent.new.display();
                    End::kept(Some(format!("{what} was kept after a restart: it was booted")))
                }
                Err(why) => {
                    End::with(OutcomeStatus::Error, format!("The new system runs, but {why}"))
                }
            },
            Runs::Old => match keep::old(site, intent) {
                Ok(()) => End::with(
                    OutcomeStatus::Interrupted,
                    "Interrupted by a restart of the machine in its last step: the system of \
                     before was booted.",
                ),
                Err(why) => End::with(
                    OutcomeStatus::Error,
                    format!("Interrupted by a restart; the system of before runs, but {why}"),
                ),
            },
            Runs::Other | Runs::Unknown => {
                End::with(OutcomeStatus::Error, "Another system was booted: it was left as it is.")
            }
        };
        self.end(&told)
    }

    fn finish_the_keep(&mut self) -> io::Result<()> {
        self.job.enters(WorkPhase::Keep);
        self.say("the supervisor is gone: the keep is finished");
        let boots = intent::boots(&self.job.dir);
        match keep::new(&self.order.site, &self.intent) {
            Ok(()) if boots => self.end(&End::boots(&self.intent)),
            Ok(()) => self.end(&End::kept(None)),
            Err(why) if boots => self.end(&keep::not_booted(&self.order.site, &self.intent, &why)),
            Err(why) => self.keep_failed(&why),
        }
    }

    fn keep_failed(&mut self, why: &str) -> io::Result<()> {
        self.say(&format!("it cannot be kept: {why}"));
        intent::give_reason(&self.job.dir, why);
        if let Err(error) = keep::old(&self.order.site, &self.intent) {
            self.say(&format!("the boot entry cannot be put back: {error}"));
        }
        intent::rename(&self.job.dir, Claim::Keep, Claim::Return)?;
        self.returns(false, true)
    }

    /// `lived`: the supervisor lived when this began.
    fn returns(&mut self, lived: bool, activating: bool) -> io::Result<()> {
        let why = intent::reason(&self.job.dir).unwrap_or_else(|| match lived {
            true => "nothing was heard of it within its time".to_owned(),
            false => KILLED.to_owned(),
        });
        if !activating {
            let text = "The job was killed before it activated anything; nothing has changed.";
            return self.end(&self.ended(|| End::with(OutcomeStatus::Interrupted, text)));
        }
        self.job.enters(WorkPhase::Return);
        self.say(&format!("the system that ran before comes back: {}", self.stopped_or(&why)));
        systemd::stop(&systemd::activation_unit(self.intent.id));
        self.wait_for_the_lock();
        match self.try_until_it_runs()? {
            AfterTry::Back => self.prove(&why),
            AfterTry::HandsOff => self.end(&End::with(
                OutcomeStatus::Error,
                "Another system was activated meanwhile: it was left as it is.",
            )),
            AfterTry::Again | AfterTry::GivenUp => {
                self.last_resort(&why, "the system of before could not be activated")
            }
        }
    }

    fn stopped_or(&self, why: &str) -> String {
        if self.job.is_told_to_stop() { "it was told to stop".to_owned() } else { why.to_owned() }
    }

    /// What a stop makes of an end.
    fn ended(&self, end: impl FnOnce() -> End) -> End {
        if self.job.is_told_to_stop() { End::stopped() } else { end() }
    }

    fn wait_for_the_lock(&mut self) {
        let until = Instant::now() + LOCKED_WITHIN;
        while activation::has_the_lock(&self.order.site) && Instant::now() < until {
            thread::sleep(LOOK);
        }
    }

    fn try_until_it_runs(&mut self) -> io::Result<AfterTry> {
        if self.runs() == Runs::Other {
            return Ok(AfterTry::HandsOff);
        }
        let same = self.intent.old == self.intent.new;
        if intent::tries(&self.job.dir) >= guard::TRIES {
            return Ok(AfterTry::GivenUp);
        }
        loop {
            let number = intent::count_a_try(&self.job.dir)?;
            let code = self.one_try(number);
            match guard::after_try(code, self.runs(), same, number) {
                AfterTry::Again => thread::sleep(TRY_AGAIN),
                decided => return Ok(decided),
            }
        }
    }

    /// Activates the old system in a unit of its own; answers its exit code.
    fn one_try(&mut self, number: u32) -> Option<i32> {
        let unit = format!("nixfleet-return-{}-{number}.service", self.intent.id);
        let status = self.job.dir.join(format!("returned.{number}"));
        let log = self.job.dir.join("return.log");
        let mut tail = Tail::of_what_comes(log.clone());
        self.say(&format!("activating {}, try {number}", self.intent.old.display()));
        let begun = systemd::activate(
            &self.intent,
            &unit,
            &self.intent.old,
            &status,
            &log,
            systemd::Activates::Old(TRY_WITHIN),
        );
        if let Err(error) = begun {
            self.say(&error);
            return None;
        }
        let until = Instant::now() + TRY_WITHIN + Duration::from_secs(60);
        let code = loop {
            self.pass_on(&mut tail, false);
            if let Some(code) = activate::code(&status) {
                break Some(code);
            }
            if !systemd::is_active(&unit) || Instant::now() >= until {
                break activate::code(&status);
            }
            thread::sleep(LOOK);
        };
        self.pass_on(&mut tail, true);
        code
    }

    fn pass_on(&mut self, tail: &mut Tail, at_end: bool) {
        for line in tail.lines(at_end) {
            self.spool.line(Stream::Stderr, &secret::without_credentials(&line));
        }
        self.spool.flush();
    }

    /// The old system runs; what it had at arm must be there again.
    fn prove(&mut self, why: &str) -> io::Result<()> {
        let until = Instant::now() + EVIDENCE_WITHIN;
        let missing = loop {
            let known = self.intent.dashboard_at;
            let (now, _) = evidence::gather(&self.order.site, known);
            match now.missing_since(self.intent.evidence) {
                None => break None,
                Some(what) if Instant::now() >= until => break Some(what),
                Some(_) => thread::sleep(Duration::from_secs(1)),
            }
        };
        match missing {
            None => self.end(&self.ended(|| End::rolled_back(why, ""))),
            // It came back all the same: what was left is held.
            Some(what) if !self.order.site.guard.reboot => {
                let more = format!(" But {what} is missing, and guard.reboot is off.");
                self.say(&more);
                self.end(&self.ended(|| End::rolled_back(why, &more)))
            }
            Some(what) => {
                self.last_resort(why, &format!("the system of before runs, but {what} is missing"))
            }
        }
    }

    /// The default of the next boot is still the old system.
    fn last_resort(&mut self, why: &str, what: &str) -> io::Result<()> {
        self.say(what);
        if !self.order.site.guard.reboot {
            let text = format!("Not confirmed: {why}. Then {what}, and guard.reboot is off.");
            return self.end(&End::with(OutcomeStatus::Error, text));
        }
        self.say("rebooting into the system of before");
        nix::unistd::sync();
        if let Err(error) = systemd::reboot(false) {
            self.say(&error);
        }
        thread::sleep(SHUTS_DOWN_WITHIN);
        if let Err(error) = systemd::reboot(true) {
            self.say(&error);
        }
        thread::sleep(SHUTS_DOWN_WITHIN);
        Err(io::Error::other("the machine does not reboot"))
    }
}

/// The supervisor of an agent that is no service, by its process. A number that is another process's
/// by now is left alone.
fn kill_outside_of_units(job: &Job) {
    let Some(pid) = job.pid() else { return };
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let of_the_job = format!("job-run\0{}\0", job.dir.display());
    if String::from_utf8_lossy(&command).ends_with(&of_the_job) {
        // It may have ended in this moment.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
