//! What knows nothing of nixfleet: processes, files, secrets.

pub mod hex;
pub mod process;
pub mod secret;
