//! What is made from the options themselves: completions and manual pages.

use clap::Command;
use std::io::{self, Write};
use std::path::PathBuf;

/// A page that is made from the options.
#[derive(Debug)]
pub enum Page {
    /// A text for standard output.
    Printed(Vec<u8>),
    /// A manual page for each command, in a directory.
    Manual(PathBuf, Box<Command>),
}

impl Page {
    pub(super) fn completions(shell: clap_complete::Shell, mut command: Command) -> Self {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "nixfleet", &mut text);
        Self::Printed(text)
    }

    pub(super) fn manual(to: Option<&PathBuf>, command: Command) -> io::Result<Self> {
        if let Some(dir) = to {
            return Ok(Self::Manual(dir.clone(), Box::new(command)));
        }
        let mut text = Vec::new();
        clap_mangen::Man::new(command).render(&mut text)?;
        Ok(Self::Printed(text))
    }

    /// Prints it, or writes the files.
    ///
    /// # Errors
    ///
    /// Standard output or the directory cannot be written.
    pub fn write(self) -> io::Result<()> {
        match self {
            Self::Printed(text) => io::stdout().lock().write_all(&text),
            Self::Manual(dir, command) => {
                std::fs::create_dir_all(&dir)?;
                clap_mangen::generate_to(*command, &dir)
            }
        }
    }
}
