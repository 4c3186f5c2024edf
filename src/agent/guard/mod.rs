//! The guarded switch: a timer of systemd's brings the old system back unless the new one has
//! proved itself (spec: guard). What is to be done given what is found is decided in
//! [`crate::domain::guard`]; here it is found and done.

pub mod activate;
mod boot;
pub(crate) mod confirm;
pub(crate) mod end;
mod evidence;
pub(crate) mod intent;
pub mod keep;
pub(crate) mod preflight;
mod probes;
pub mod returning;
pub(crate) mod roots;
pub(crate) mod switch;
pub(crate) mod systemd;
pub(crate) mod tail;
mod units;
pub(crate) mod watch;
