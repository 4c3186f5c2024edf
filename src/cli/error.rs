//! What is wrong with a command line.

/// Why a command line is not understood.
#[derive(Debug)]
pub enum CliError {
    /// What clap says: also `--help` and `--version`.
    Clap(Box<clap::Error>),
    /// A setting is not as expected. The text names it.
    Setting(String),
}
