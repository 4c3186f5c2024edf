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
