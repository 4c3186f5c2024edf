//! Tests with a real systemd: a container that boots it, the units as the modules make them, a
//! switch that really replaces the agent. Where a machine cannot do that they say `NOT RUN` and
//! why; nobody may take that for a pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]
#![allow(
    unreachable_pub,
    reason = "a test program has no face: what its files share is plainly `pub`"
)]

mod faults;
mod guard;
mod home;
mod host;
mod machine;
mod modules;
mod relay;
mod runner;
mod silence;
mod stops;
#[allow(dead_code, unused_imports, reason = "the black-box tests use more of it")]
#[path = "../blackbox/support/mod.rs"]
mod support;
mod switches;
mod tree;

fn main() -> std::process::ExitCode {
    let guard = [guard::TESTS, guard::boots::TESTS, guard::restarts::TESTS].concat();
    let tests = [modules::TESTS, switches::TESTS, stops::TESTS, faults::TESTS, &guard, home::TESTS]
        .concat();
    runner::run(&tests, &[stops::LONG, guard::LONG].concat())
}
