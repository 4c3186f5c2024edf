//! `test`: the executable scripts `hosts/<host>/tests/T*.sh`, else `tests/T*.sh`, in name order.

use crate::agent::facts;
use crate::agent::jobs::child::Ended;
use crate::agent::jobs::work::{Failure, Work};
use crate::agent::read;
use crate::agent::site::Site;
use crate::domain::test_report::{TestCaseOutcome, TestResult};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// How much of a script is searched for its name.
const NAME_WITHIN: usize = 20;
/// The same in bytes: a line can be long.
const NAME_WITHIN_BYTES: u64 = 16 * 1024;

/// Runs every test; fails if one does.
pub(super) fn run(site: &Site, work: &mut Work<'_>) -> Result<(), Failure> {
    let scripts = facts::tests(site);
    if scripts.is_empty() {
        let dir = site.tests_dir();
        let common = site.common_tests_dir();
        let (dir, common) = (dir.display(), common.display());
        work.say(&format!("no tests found: neither {dir}/T*.sh nor {common}/T*.sh"));
        return Ok(());
    }
    let total = u32::try_from(scripts.len()).unwrap_or(u32::MAX);
    let mut failed = 0;
    for (index, script) in (1..).zip(&scripts) {
        let name = name_of(script);
        work.test_begins(index, total, &name);
        work.say(&format!("# Test {index} of {total}: {name}"));
        let result = one(site, script, work, |outcome, duration_ms, output| TestResult {
            index,
            total,
            name: name.clone(),
            outcome,
            duration_ms,
            output,
            subtests: None,
        })?;
        if result.outcome != TestCaseOutcome::Passed {
            failed += 1;
        }
        work.test_ended(&result);
    }
    work.say(&format!("# {} of {total} passed", total - failed));
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::Refused(1, format!("{failed} of {total} tests failed")))
}

/// Runs one test. A stop ends the whole run.
fn one(
    site: &Site,
    script: &Path,
    work: &mut Work<'_>,
    result: impl Fn(TestCaseOutcome, u64, String) -> TestResult,
) -> Result<TestResult, Failure> {
    let began = Instant::now();
    let millis = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let executable = fs::metadata(script)
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
    if !executable {
        let shown = script.strip_prefix(&site.repo_dir).unwrap_or(script).display();
        let why = format!("not executable: chmod +x {shown}");
        work.say(&why);
        return Ok(result(TestCaseOutcome::Failed, millis(), why));
    }
    let mut output = String::new();
    let mut command = Command::new(script);
    command.current_dir(&site.repo_dir).env("NIXFLEET_HOSTNAME", &site.hostname);
    let ended = match work.run_test(&mut command, site.test_timeout, &mut output) {
        Ok(ended) => ended,
        Err(error) => {
            let why = format!("cannot be run: {error}");
            work.say(&why);
            return Ok(result(TestCaseOutcome::Failed, millis(), why));
        }
    };
    if ended.stopped {
        return Err(Failure::Ended(ended));
    }
    let (outcome, said) = verdict(ended, site.test_timeout.as_secs());
    work.say(&format!("# {said}"));
    Ok(result(outcome, millis(), output))
}

fn verdict(ended: Ended, timeout: u64) -> (TestCaseOutcome, String) {
    if ended.timed_out {
        (TestCaseOutcome::TimedOut, format!("timed out after {timeout} s"))
    } else if ended.code == 0 {
        (TestCaseOutcome::Passed, "passed".to_owned())
    } else {
        (TestCaseOutcome::Failed, format!("failed with exit code {}", ended.code))
    }
}

/// What the script calls itself in a line `# Name: …` near its beginning, else its file name.
fn name_of(script: &Path) -> String {
    let file = || script.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = read::beginning(script, NAME_WITHIN_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().take(NAME_WITHIN).find_map(|line| line.strip_prefix("# Name:"));
    named
        .map(|name| name.trim().chars().take(200).collect())
        .filter(|n: &String| !n.is_empty())
        .unwrap_or_else(file)
}
