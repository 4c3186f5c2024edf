//! Follows a file that another process appends to, line by line.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// A file that is followed from its beginning. It may not be there yet.
pub(crate) struct Tail {
    path: PathBuf,
    at: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// Follows this file.
    pub(crate) fn of(path: PathBuf) -> Self {
        Self { path, at: 0, partial: Vec::new() }
    }

    /// From its present end.
    pub(crate) fn of_what_comes(path: PathBuf) -> Self {
        let at = std::fs::metadata(&path).map_or(0, |data| data.len());
        Self { path, at, partial: Vec::new() }
    }

    /// Whole lines that have come since; at the end also the one that was not ended.
    pub(crate) fn lines(&mut self, at_end: bool) -> Vec<String> {
        let mut bytes = Vec::new();
        // What cannot be read is not worth an activation.
        if let Ok(mut file) = File::open(&self.path)
            && file.seek(SeekFrom::Start(self.at)).is_ok()
            && let Ok(read) = file.read_to_end(&mut bytes)
        {
            self.at += read as u64;
        }
        self.partial.extend_from_slice(&bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        if at_end && !self.partial.is_empty() {
            lines.push(String::from_utf8_lossy(&self.partial).into_owned());
            self.partial.clear();
        }
        lines
    }
}
