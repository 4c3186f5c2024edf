//! The detached process that runs one job to its end.

use super::child::Ended;
use super::work::{self, Failure, Work};
use super::{Job, OUTCOME, Order, Outcome, activation, leftovers};
use crate::agent::facts::JobFacts;
use crate::agent::guard::intent::{self, End};
use crate::agent::operations;
use crate::base::atomic_file::{self, Reserved};
use crate::domain::ids::CommandId;
use crate::domain::operation::Operation;
use crate::protocol::OutcomeStatus;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long an activation may go on after a stop (spec: lifecycle).
const ACTIVATES_ON_FOR: Duration = Duration::from_secs(60);
/// How long the rebuild program may take to end by itself once the activation is over.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// How often a stop is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the job in `dir` (`nixfleet job-run DIR`).
///
/// # Errors
///
/// What could not be done before the job began. The job's own failure is no error, it is recorded as
/// its outcome.
pub fn run(dir: &Path) -> io::Result<()> {
    // A session of its own: what ends the agent's session or group does not reach it.
    // It fails only for a process that leads a group already.
    let _ = nix::unistd::setsid();
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let id = CommandId::parse(name).ok_or_else(|| io::Error::other("not a job's directory"))?;
    let job = Job { id, dir: dir.to_owned() };
    let Some(_lock) = job.try_lock()? else {
        return Err(io::Error::other("the job has a supervisor already"));
    };
    if job.outcome()?.is_some() || job.has_begun() {
        return Err(io::Error::other("the job was run already"));
    }
    let Some(order) = job.order()? else {
        return Err(io::Error::other("the job has no order"));
    };
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&asked))?;
    }
    let room = Reserved::keep(&dir.join(OUTCOME), super::OUTCOME_ROOM, 0o600)?;
    // From here on it can be stopped, so from here on it may be known.
    job.write_pid()?;
    if job.is_told_to_stop() {
        asked.store(true, Ordering::SeqCst);
    }
    leftovers::adopt();
    let outcome = carry_out(&job, &order, &asked)?;
    write_into(&job, room, &outcome)
}

fn carry_out(job: &Job, order: &Order, asked: &Arc<AtomicBool>) -> io::Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    pass_on_a_stop(job, order, Arc::clone(asked), Arc::clone(&stop))?;
    let mut work = Work::new(&job.dir, &stop);
    let mut result = operations::run(order, &mut work);
    if matches!(result, Err(Failure::Abandoned)) {
        // A failure of this process starts the guard, where it does not run yet.
        return Err(io::Error::other("the guard has the job"));
    }
    if intent::is_done(&job.dir) {
        // What was decided is not made undone by who ends the machine.
        return Ok(work.outcome(order, result, false));
    }
    if let Err(Failure::Ended(ended)) = &mut result
        && ended.stopped
        && job.is_told_to_stop()
    {
        // `stopped` is said only when nothing of the job lives any more.
        ended.alive |= !leftovers::end();
        if activates(order.op) {
            let left = activation::stop_units(&order.site);
            if !left.is_empty() {
                let units = left.join(", ");
                result = Err(Failure::Refused(1, format!("stopped, but {units} still runs")));
            }
        }
    }
    let goes_down = || activates(order.op) && activation::machine_goes_down(&order.site);
    let interrupted = !job.is_told_to_stop() && (asked.load(Ordering::SeqCst) || goes_down());
    if interrupted {
        result = result_of_the_interrupted(result, order.op);
    }
    Ok(work.outcome(order, result, interrupted))
}

/// What may be believed of a program that ended while the service manager ends everything. One that
/// activates in a unit of its own answers 0 or 1 when that unit is stopped.
fn result_of_the_interrupted(result: Result<(), Failure>, op: Operation) -> Result<(), Failure> {
    match result {
        Ok(()) if activates(op) => Err(Failure::Ended(work::STOPPED)),
        Err(Failure::Ended(ended)) => Err(Failure::Ended(Ended { stopped: true, ..ended })),
        other
        @ (Ok(()) | Err(Failure::Refused(..) | Failure::Blocked(..) | Failure::Abandoned)) => other,
    }
}

fn activates(op: Operation) -> bool {
    match op {
        Operation::Switch | Operation::PullSwitch | Operation::Rollback => true,
        Operation::Pull
        | Operation::Test
        | Operation::DryRun
        | Operation::RestartAgent
        | Operation::Reboot => false,
    }
}

/// Passes a stop on to what the job runs; while something activates, only after that or when its
/// time is up. Who ends the machine is not kept waiting.
fn pass_on_a_stop(
    job: &Job,
    order: &Order,
    asked: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
) -> io::Result<()> {
    let (job, site) = (job.clone(), order.site.clone());
    let may_activate = activates(order.op);
    let work = move || {
        while !asked.load(Ordering::SeqCst) {
            thread::sleep(LOOK);
        }
        let until = Instant::now() + ACTIVATES_ON_FOR;
        let mut waited = false;
        while may_activate
            && job.is_told_to_stop()
            && Instant::now() < until
            && activation::in_progress(&site).is_some()
        {
            waited = true;
            thread::sleep(LOOK * 4);
        }
        if waited && Instant::now() < until {
            thread::sleep(ENDS_WITHIN);
        }
        stop.store(true, Ordering::SeqCst);
    };
    thread::Builder::new().name("stop".to_owned()).spawn(work).map(|_| ())
}

/// Writes how a job ended whose supervisor is gone.
///
/// # Errors
///
/// What the system says.
pub(crate) fn write_outcome(job: &Job, outcome: &Outcome) -> io::Result<()> {
    let room = Reserved::keep(&job.dir.join(OUTCOME), super::OUTCOME_ROOM, 0o600)?;
    write_into(job, room, outcome)
}

/// Writes the outcome into the room that was kept for it. A full disk may lose words of it, never
/// how it ended.
fn write_into(job: &Job, room: Reserved, outcome: &Outcome) -> io::Result<()> {
    let bytes = serde_json::to_vec(outcome)?;
    let fits = bytes.len() as u64 <= super::OUTCOME_ROOM;
    if !fits && atomic_file::write(&job.dir.join(OUTCOME), &bytes, 0o600).is_ok() {
        return Ok(());
    }
    let bytes = if fits {
        bytes
    } else {
        let short = Outcome { message: None, facts: JobFacts::default(), ..outcome.clone() };
        serde_json::to_vec(&short)?
    };
    room.write(&bytes)
}

impl Outcome {
    /// Of a job that nobody saw the end of.
    pub(super) fn of_the_dead(message: &str, last_seq: u64) -> Self {
        Self {
            status: OutcomeStatus::Interrupted,
            exit_code: 137,
            timed_out: false,
            message: Some(message.to_owned()),
            blocked_by: Vec::new(),
            last_seq,
            notice: None,
            facts: JobFacts::default(),
        }
    }

    /// Of a guarded switch whose supervisor did not say how it ended.
    pub(crate) fn of_the_guard(end: &End, last_seq: u64) -> Self {
        let exit_code = match end.status {
            OutcomeStatus::Ok => 0,
            OutcomeStatus::Error | OutcomeStatus::Blocked | OutcomeStatus::TimedOut => 1,
            OutcomeStatus::Stopped => 130,
            OutcomeStatus::Interrupted => 137,
        };
        Self {
            status: end.status,
            exit_code,
            message: end.message.clone(),
            notice: end.notice.clone(),
            ..Self::of_the_dead("", last_seq)
        }
    }
}
