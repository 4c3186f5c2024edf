//! The detached process that runs one job to its end.

use super::work::Work;
use super::{Job, ORDER, OUTCOME, Order, PID, read_whole, write_whole};
use crate::agent::operations;
use crate::domain::ids::CommandId;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Runs the job in `dir` (`nixfleet job-run DIR`). The error says what could not be done;
/// the job's own failure is no error, it is recorded as its outcome.
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
    if job.outcome()?.is_some() || job.pid().is_some() {
        return Err(io::Error::other("the job was run already"));
    }
    let Some(order) = read_whole::<Order>(&dir.join(ORDER))? else {
        return Err(io::Error::other("the job has no order"));
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    // From here on it can be stopped, so from here on it may be known.
    std::fs::write(dir.join(PID), std::process::id().to_string())?;
    let mut work = Work::new(dir, &stop);
    let result = operations::run(&order, &mut work);
    let outcome = work.outcome(&order, result);
    write_whole(&dir.join(OUTCOME), &outcome)
}
