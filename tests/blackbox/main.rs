//! Black-box tests: the real binary, real git, real sockets, a real browser.
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

mod account;
mod add_host;
mod agent;
mod audit;
mod bad_input;
mod browser;
mod cli;
mod cuts;
mod day;
mod demo;
mod edges;
mod faults;
mod fleet_page;
mod floods;
mod forge_limits;
mod from_3;
mod gitea;
mod guard;
mod held;
mod keys;
mod life;
mod log_dock;
mod maintenance;
mod notify;
mod old_agent;
mod old_day;
mod operate;
mod other_pages;
mod packaging;
mod pages;
mod plans;
mod real_nix;
mod recover;
mod regardless;
mod remotes;
mod rollouts;
mod scale;
mod sessions;
mod signed;
mod skins;
mod start;
mod steady;
mod stored;
mod strangers;
mod support;
mod tags;
mod tls;
mod tokens;
mod truth;
mod unkind_git;
mod waves;
