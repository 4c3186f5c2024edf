//! What a simulated host does when it is asked for something: what it prints, and how that ends.

use crate::domain::closure_diff;
use crate::domain::command::WorkPhase;
use crate::domain::operation::Operation;
use crate::domain::test_report::TestCaseOutcome;
use std::collections::VecDeque;

/// One step. Between two of them a little time passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It prints a line.
    Line(String),
    /// It does something else from now on.
    Phase(WorkPhase),
    /// Its network is gone, and with it the link.
    Cut,
    /// A test ends: its name, how, and what it printed.
    Test(&'static str, TestCaseOutcome, &'static str),
}

/// How it all ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The exit code.
    pub exit_code: i64,
    /// What went wrong.
    pub message: Option<&'static str>,
}

const WELL: End = End { exit_code: 0, message: None };
/// Its guard took back what it had activated.
pub(super) const RETURNED: End =
    End { exit_code: 1, message: Some("Rolled back by itself: no link to the dashboard.") };

/// What a system is built of, and what of it does not build where something does not.
struct Parts {
    all: [&'static str; 3],
    /// What the compiler says of the first of them.
    cause: &'static str,
    told: &'static str,
    /// A line of a build that takes very long, before the number and after it.
    long: [&'static str; 2],
    /// What an activation starts again.
    services: &'static str,
}

const NIXOS: Parts = Parts {
    all: ["linux-6.12.7-modules-shrunk", "initrd-linux-6.12.7", "nixos-system"],
    cause: "modprobe: FATAL: Module dm_thin_pool not found in directory /lib/modules/6.12.7",
    told: "linux-6.12.7-modules-shrunk did not build",
    long: ["CC kernel/drivers/module-", ".o"],
    services: "restarting the following units: nginx.service, sshd.service",
};

const DARWIN: Parts = Parts {
    all: ["swift-corelibs-6.1", "darwin-manual-html", "darwin-system"],
    cause: "ld: framework not found UniformTypeIdentifiers",
    told: "swift-corelibs-6.1 did not build",
    long: ["Compiling Foundation-", ".swift"],
    services: "reloading service org.nixos.nix-daemon",
};

/// Where a derivation is.
fn derivation(name: &str) -> String {
    format!("/nix/store/3k1q9xq2j0v4p5b8r7s6d1f0g9h8j7k6-{name}.drv")
}

/// The tests that each host has.
pub(super) const TESTS: [&str; 4] =
    ["Network connectivity", "SSH service", "Last backup", "GPU acceleration"];
/// So many lines has a build that takes very long.
const LONG: usize = 900;

/// What may go wrong on a host, and what it is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Luck<'a> {
    /// It runs macOS.
    pub darwin: bool,
    /// Its name.
    pub host: &'a str,
    /// How the commit that is checked out begins.
    pub commit: &'a str,
    /// What is checked out does not build.
    pub unbuildable: bool,
    /// Its tests fail on what runs.
    pub failing: bool,
    /// It builds for very long.
    pub slow: bool,
    /// What is checked out cuts its network.
    pub cuts: bool,
}

impl Luck<'_> {
    const fn parts(&self) -> &'static Parts {
        if self.darwin { &DARWIN } else { &NIXOS }
    }
}

/// What an operation does, and how it ends.
pub(super) fn of(op: Operation, luck: Luck<'_>) -> (VecDeque<Step>, End) {
    let mut steps = Vec::new();
    let end = match op {
        Operation::Pull => pull(&mut steps),
        Operation::Switch => switch(luck, &mut steps),
        Operation::PullSwitch => {
            steps.push(Step::Phase(WorkPhase::Pull));
            pull(&mut steps);
            switch(luck, &mut steps)
        }
        Operation::Test => tests(luck, &mut steps),
        Operation::Rollback => guarded(Luck { cuts: false, ..luck }, &mut steps),
        Operation::DryRun => dry_run(luck, &mut steps),
        Operation::RestartAgent | Operation::Reboot => WELL,
    };
    (steps.into(), end)
}

fn say(steps: &mut Vec<Step>, line: impl Into<String>) {
    steps.push(Step::Line(line.into()));
}

fn pull(steps: &mut Vec<Step>) -> End {
    say(steps, "Fetching origin");
    say(steps, "HEAD is now at the head of origin/main");
    WELL
}

fn build(luck: Luck<'_>, steps: &mut Vec<Step>) -> End {
    say(steps, "building the system configuration...");
    say(steps, "these 3 derivations will be built:");
    let Parts { all, cause, told, long: [before, after], .. } = luck.parts();
    for what in all {
        say(steps, format!("  {}", derivation(what)));
    }
    if luck.slow {
        for n in 1..=LONG {
            say(steps, format!("[{n}/{LONG}] {before}{n}{after}"));
        }
    }
    if !luck.unbuildable {
        say(steps, format!("building the system of {} from {}", luck.host, luck.commit));
        return WELL;
    }
    let [first, .., system] = all;
    say(steps, *cause);
    say(steps, format!("error: builder for '{}' failed with exit code 1", derivation(first)));
    say(steps, format!("error: 1 dependencies of derivation '{system}.drv' failed to build"));
    End { exit_code: 1, message: Some(told) }
}

fn switch(luck: Luck<'_>, steps: &mut Vec<Step>) -> End {
    steps.push(Step::Phase(WorkPhase::Build));
    let built = build(luck, steps);
    if built == WELL { guarded(luck, steps) } else { built }
}

/// Activates, with all phases that a guarded host goes through. The guard is simulated as all of
/// these hosts is: it has the words of the real one, and no systemd. A Mac has none.
fn guarded(luck: Luck<'_>, steps: &mut Vec<Step>) -> End {
    let phase = |steps: &mut Vec<Step>, phase| {
        if !luck.darwin {
            steps.push(Step::Phase(phase));
        }
    };
    phase(steps, WorkPhase::Preflight);
    phase(steps, WorkPhase::Arm);
    steps.push(Step::Phase(WorkPhase::Activate));
    activate(luck, steps);
    phase(steps, WorkPhase::Confirm);
    if luck.cuts {
        steps.push(Step::Cut);
        steps.push(Step::Phase(WorkPhase::Return));
        say(steps, "nixfleet: the system that ran before comes back: no link to the dashboard");
        activate(luck, steps);
        return RETURNED;
    }
    phase(steps, WorkPhase::Keep);
    WELL
}

fn activate(luck: Luck<'_>, steps: &mut Vec<Step>) {
    say(steps, "activating the configuration...");
    say(steps, "setting up /etc...");
    say(steps, luck.parts().services);
}

fn tests(luck: Luck<'_>, steps: &mut Vec<Step>) -> End {
    for (n, name) in TESTS.into_iter().enumerate() {
        let fails = luck.failing && n + 1 == TESTS.len();
        let (outcome, printed) = if fails {
            (TestCaseOutcome::Failed, "Error: nvidia-smi not found")
        } else {
            (TestCaseOutcome::Passed, "fine")
        };
        say(steps, format!("{name}: {printed}"));
        steps.push(Step::Test(name, outcome, printed));
    }
    if luck.failing { End { exit_code: 1, message: Some("1 of 4 tests failed") } } else { WELL }
}

fn dry_run(luck: Luck<'_>, steps: &mut Vec<Step>) -> End {
    let built = build(luck, steps);
    if built == WELL {
        say(steps, format!("{}: the system that runs to {}", closure_diff::BEGINS, luck.commit));
        say(steps, "firefox: 140.0.2 → 140.0.4, +312.5 KiB");
        say(steps, "openssl: 3.4.1 → 3.4.2");
        say(steps, closure_diff::ENDS);
        say(steps, format!("would {}", luck.parts().services.replacen("ing", "", 1)));
    }
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Luck<'_> = Luck {
        darwin: false,
        host: "web",
        commit: "abc1234",
        unbuildable: false,
        failing: false,
        slow: false,
        cuts: false,
    };

    fn lines(op: Operation, luck: Luck<'_>) -> (Vec<String>, i64) {
        let (steps, end) = of(op, luck);
        let line = |step| if let Step::Line(line) = step { Some(line) } else { None };
        (steps.into_iter().filter_map(line).collect(), end.exit_code)
    }

    #[test]
    fn what_does_not_build_is_never_activated() {
        for op in [Operation::Switch, Operation::PullSwitch, Operation::DryRun] {
            let (said, code) = lines(op, Luck { unbuildable: true, ..GOOD });
            assert_eq!(code, 1, "{op}");
            assert!(said.iter().any(|line| line.contains("shrunk.drv' failed")), "{op}: {said:?}");
            assert!(!said.iter().any(|line| line.contains("activating")), "{op}: {said:?}");
            assert_eq!(lines(op, GOOD).1, 0, "{op}");
        }
    }

    #[test]
    fn what_cuts_the_network_comes_back_and_is_never_kept() {
        let phases = |luck| {
            let (steps, end) = of(Operation::Switch, luck);
            let phase = |step| if let Step::Phase(phase) = step { Some(phase) } else { None };
            (steps.into_iter().filter_map(phase).collect::<Vec<_>>(), end)
        };
        let (told, end) = phases(Luck { cuts: true, ..GOOD });
        assert_eq!(end, RETURNED);
        assert_eq!(told.last(), Some(&WorkPhase::Return));
        assert!(!told.contains(&WorkPhase::Keep), "{told:?}");
        let (told, end) = phases(GOOD);
        assert_eq!((told.last(), end), (Some(&WorkPhase::Keep), WELL));
        let (told, _) = phases(Luck { darwin: true, ..GOOD });
        assert_eq!(told, [WorkPhase::Build, WorkPhase::Activate]);
    }

    #[test]
    fn a_mac_builds_no_linux() {
        for op in Operation::ALL {
            for unbuildable in [true, false] {
                let luck = Luck { darwin: true, slow: true, unbuildable, ..GOOD };
                let (said, _) = lines(op, luck);
                let linux = |line: &&String| {
                    ["linux", "nixos-system", "kernel", ".service", "modprobe"]
                        .iter()
                        .any(|word| line.contains(word))
                };
                assert_eq!(said.iter().find(linux), None, "{op}");
            }
        }
    }

    #[test]
    fn a_dry_run_tells_what_would_change_as_a_host_does() {
        let (said, _) = lines(Operation::DryRun, GOOD);
        let changes = closure_diff::read(said.iter().map(String::as_str)).unwrap();
        assert_eq!(changes.len(), 2, "{changes:?}");
    }
}
