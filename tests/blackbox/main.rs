//! Black-box tests: the real binary, real git, real sockets, a real browser.
// A test that cannot go on says so by a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod agent;
mod bad_input;
mod browser;
mod cuts;
mod day;
mod demo;
mod faults;
mod old_agent;
mod operate;
mod packaging;
mod pages;
mod real_nix;
mod remotes;
mod rollouts;
mod scale;
mod start;
mod support;
