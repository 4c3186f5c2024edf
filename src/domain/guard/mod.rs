//! The guarded switch: a pure state machine over the files of an intent (spec: guard).
//!
//! Three parties act for one switch: the job's **supervisor**, which arms, activates, asks for a
//! confirmation and keeps; the **guard**, a service that belongs to systemd and is the only one that
//! returns; and whichever **agent** runs, which looks after intents that nobody acts for. They share
//! nothing but files, so each of them decides by what it finds. One rename decides between keeping
//! and returning.

mod boot;
mod evidence;
#[cfg(test)]
mod tests;

pub use boot::{INHIBITORS, inhibitors, room_to_boot};
pub use evidence::{AfterActivation, Evidence, Verdict, Witness, after_activation, verdict};

use std::path::Path;

/// The number of the format of an intent and of the files beside it. It only grows; an agent that
/// answers it can confirm a switch of any smaller one.
pub const FORMAT: u32 = 1;

/// What a side of the wire calls it that knows guarded switches.
pub const FEATURE: &str = "guard";

/// The name that an intent has: who renames it has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has decided.
    Armed,
    /// The new system is kept.
    Keep,
    /// The old system comes back.
    Return,
}

impl Claim {
    /// All names.
    pub const ALL: [Self; 3] = [Self::Armed, Self::Keep, Self::Return];

    /// The file's name.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Armed => "intent.armed",
            Self::Keep => "intent.keep",
            Self::Return => "intent.return",
        }
    }
}

/// What a party finds of a guarded switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What was decided.
    pub claim: Claim,
    /// The intent is of this boot of the machine.
    pub this_boot: bool,
    /// The activation may have begun: its mark is there.
    pub activating: bool,
    /// How it ended is written.
    pub done: bool,
    /// Somebody holds the job: its supervisor, or the guard after it.
    pub job_lives: bool,
    /// The timer waits for its time.
    pub timer: bool,
    /// The guard's service runs, or is about to.
    pub guard_runs: bool,
}

/// What an agent does about an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentDoes {
    /// It is over.
    Nothing,
    /// Somebody acts for it.
    Waits,
    /// Nobody does, and nobody would, because the machine was restarted or the timer is lost: it is
    /// armed again, with a second.
    ArmsAgain,
}

/// What the agent does about what it finds.
pub const fn agent(found: Found) -> AgentDoes {
    if found.done {
        return AgentDoes::Nothing;
    }
    if found.job_lives || found.timer || found.guard_runs {
        AgentDoes::Waits
    } else {
        AgentDoes::ArmsAgain
    }
}

/// What the guard does once it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardDoes {
    /// It is over.
    Nothing,
    /// It tries to rename the intent, and looks again.
    Claims,
    /// The one who keeps lives: it is waited for.
    WaitsForTheKeeper,
    /// The one who kept is gone: its work is finished.
    FinishesTheKeep,
    /// The old system comes back.
    Returns,
    /// Nothing was activated: that is said, and nothing else is done.
    EndsUnchanged,
    /// The machine was restarted in a keep: what runs becomes profile and boot entry.
    Repairs,
    /// The machine was restarted in a return: the old system was booted, as the return wanted.
    TellsOfTheReturn,
    /// The machine was restarted before anything was decided: the old system was booted.
    TellsOfTheRestart,
}

/// What the guard does about what it finds. Whether the guard's own service runs plays no part.
pub const fn guard(found: Found) -> GuardDoes {
    if found.done {
        return GuardDoes::Nothing;
    }
    if !found.this_boot {
        return match found.claim {
            Claim::Keep => GuardDoes::Repairs,
            Claim::Return if found.activating => GuardDoes::TellsOfTheReturn,
            Claim::Return | Claim::Armed => GuardDoes::TellsOfTheRestart,
        };
    }
    match found.claim {
        Claim::Armed => GuardDoes::Claims,
        Claim::Keep if found.job_lives => GuardDoes::WaitsForTheKeeper,
        Claim::Keep => GuardDoes::FinishesTheKeep,
        Claim::Return if found.activating => GuardDoes::Returns,
        Claim::Return => GuardDoes::EndsUnchanged,
    }
}

/// What a stop of the command means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMeans {
    /// The supervisor ends; nothing has changed.
    Ends,
    /// The return begins now.
    Returns,
    /// It comes too late.
    Refused,
}

/// What a stop means for a job with such an intent.
pub const fn stop(found: Found) -> StopMeans {
    match found.claim {
        Claim::Armed if !found.activating => StopMeans::Ends,
        Claim::Armed | Claim::Return => StopMeans::Returns,
        Claim::Keep => StopMeans::Refused,
    }
}

/// Which system runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// The one that is being activated.
    New,
    /// The one before.
    Old,
    /// Somebody activated another one meanwhile.
    Other,
    /// That cannot be told.
    Unknown,
}

impl Runs {
    /// Which of the two `running` is. Where both are one path, that counts as the new one.
    pub fn of(running: Option<&Path>, old: &Path, new: &Path) -> Self {
        match running {
            Some(path) if path == new => Self::New,
            Some(path) if path == old => Self::Old,
            Some(_) => Self::Other,
            None => Self::Unknown,
        }
    }
}

/// What comes after one try of the return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterTry {
    /// The old system runs.
    Back,
    /// Once more.
    Again,
    /// It does not come back this way.
    GivenUp,
    /// A third system runs: it is somebody's, and stays.
    HandsOff,
}

/// How often the old system is activated, in all.
pub const TRIES: u32 = 5;

/// What comes after `tries` tries, of which the last ended with `code`. `current-system` alone says
/// too little: it is the old one before the old one's units run.
pub const fn after_try(code: Option<i32>, runs: Runs, same: bool, tries: u32) -> AfterTry {
    let activated = matches!(code, Some(0 | 4));
    match runs {
        Runs::Other => AfterTry::HandsOff,
        Runs::Old if activated => AfterTry::Back,
        // Old and new are one path.
        Runs::New if activated && same => AfterTry::Back,
        Runs::Old | Runs::New | Runs::Unknown if tries < TRIES => AfterTry::Again,
        Runs::Old | Runs::New | Runs::Unknown => AfterTry::GivenUp,
    }
}
