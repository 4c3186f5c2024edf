//! Things that every room needs and that know nothing of nixfleet: how a program is run within
//! bounds, how git is asked, how a file is replaced, how a secret is kept,
//! where log lines go.

pub mod atomic_file;
pub mod checks;
pub mod child;
pub mod env_file;
pub mod git;
pub mod hex;
pub mod launch;
pub mod log_output;
pub mod process;
pub mod prompt;
pub mod resident;
pub mod secret;
