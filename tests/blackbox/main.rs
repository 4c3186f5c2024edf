//! Black-box tests: the real binary, real git, real sockets, a real browser.
// A test that cannot go on says so by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// A test program has no face: what its files share is plainly `pub`.
#![allow(unreachable_pub)]

mod account;
mod agent;
mod bad_input;
mod browser;
mod cuts;
mod day;
mod demo;
mod faults;
mod forge_limits;
mod old_agent;
mod old_day;
mod operate;
mod packaging;
mod pages;
mod real_nix;
mod remotes;
mod rollouts;
mod scale;
mod skins;
mod start;
mod stored;
mod support;
mod unkind_git;
