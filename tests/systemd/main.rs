//! Tests with a real systemd: a container that boots it, the units as the modules make them, a
//! switch that really replaces the agent. Where a machine cannot do that they say `NOT RUN` and
//! why; nobody may take that for a pass.
// A test that cannot go on says so by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// A test program has no face: what its files share is plainly `pub`.
#![allow(unreachable_pub)]

mod faults;
mod home;
mod host;
mod machine;
mod modules;
mod runner;
mod stops;
// The black-box tests use more of it.
#[allow(dead_code, unused_imports)]
#[path = "../blackbox/support/mod.rs"]
mod support;
mod switches;
mod tree;

fn main() -> std::process::ExitCode {
    let tests =
        [modules::TESTS, switches::TESTS, stops::TESTS, faults::TESTS, home::TESTS].concat();
    runner::run(&tests)
}
