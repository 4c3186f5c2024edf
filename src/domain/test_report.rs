//! Results of test runs.

use serde::{Deserialize, Serialize};

/// How many tests of a run passed and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestCounts {
    /// Passed.
    pub passed: u32,
    /// Failed, timed out included.
    pub failed: u32,
    /// How many there were to run.
    pub total: u32,
}

/// One test's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// 1-based position in the run.
    pub index: u32,
    /// How many tests the run has.
    pub total: u32,
    /// The test's name. Hostile text.
    pub name: String,
    /// How it ended.
    pub outcome: TestCaseOutcome,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What it printed, cut to a bound. Hostile text.
    #[serde(default)]
    pub output: String,
    /// What its own subtests said, where it printed TAP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtests: Option<TestCounts>,
}

/// How one test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestCaseOutcome {
    /// Exit 0.
    Passed,
    /// Another exit, or it could not be started.
    Failed,
    /// It took too long and was killed.
    TimedOut,
}

/// Counts the subtests in the output of a test that speaks TAP; `None` if it does not. It
/// does if a line is its plan (`1..N`). What is to do or was skipped counts as passed.
pub fn tap(output: &str) -> Option<TestCounts> {
    let plan = output.lines().find_map(|line| line.trim_end().strip_prefix("1..")?.parse().ok());
    let planned: u32 = plan?;
    let mut counts = TestCounts { total: planned, ..TestCounts::default() };
    for line in output.lines() {
        let directive = line.split_once('#').map(|(_, text)| text.trim().to_ascii_lowercase());
        let excused = directive.is_some_and(|d| d.starts_with("todo") || d.starts_with("skip"));
        if line.starts_with("ok ") || line == "ok" {
            counts.passed += 1;
        } else if line.starts_with("not ok") {
            if excused { counts.passed += 1 } else { counts.failed += 1 }
        }
    }
    counts.total = counts.total.max(counts.passed + counts.failed);
    Some(counts)
}

/// The counts of a list of results.
pub fn count(results: &[TestResult]) -> TestCounts {
    let passed = results.iter().filter(|r| r.outcome == TestCaseOutcome::Passed).count();
    let total = results.iter().map(|r| r.total as usize).max().unwrap_or(0).max(results.len());
    let as_u32 = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    TestCounts {
        passed: as_u32(passed),
        failed: as_u32(results.len() - passed),
        total: as_u32(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtests_are_counted_where_a_test_speaks_tap() {
        let counts = |passed, failed, total| Some(TestCounts { passed, failed, total });
        for (output, expected) in [
            ("1..3\nok 1 - a\nnot ok 2 - b\nok 3\n", counts(2, 1, 3)),
            ("TAP version 13\nok 1\nok 2\n1..2", counts(2, 0, 2)),
            ("1..2\nnot ok 1 # TODO later\nok 2 # SKIP no display", counts(2, 0, 2)),
            ("1..4\nok 1\n", counts(1, 0, 4)),
            ("ok\nfine", None),
            ("1..many", None),
            ("", None),
        ] {
            assert_eq!(tap(output), expected, "{output:?}");
        }
    }
}
