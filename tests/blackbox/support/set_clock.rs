//! A clock of the machine that a test sets, for one process.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Sets the time of day of a process, while it runs and before it starts again. Only where the
/// linker's variable for that is known.
pub struct SetClock {
    dir: tempfile::TempDir,
}

impl SetClock {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Self { dir };
        clock.set(0);
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/support/set_clock.c");
        // Whoever has compiled these tests has a C compiler: Rust links with it.
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(clock.library())
            .arg(source)
            .arg("-ldl")
            .status()
            .expect("there is a C compiler");
        assert!(built.success());
        clock
    }

    fn library(&self) -> String {
        self.dir.path().join("set_clock.so").to_str().unwrap().to_owned()
    }

    fn file(&self) -> String {
        self.dir.path().join("offset").to_str().unwrap().to_owned()
    }

    /// What the process must be started with.
    pub fn variables(&self) -> [(String, String); 2] {
        let preload = ("LD_PRELOAD".to_owned(), self.library());
        [preload, ("TEST_CLOCK_OFFSET".to_owned(), self.file())]
    }

    /// From now on its clock is ahead of the machine's by so many seconds.
    pub fn set(&self, ahead: i64) {
        // Whole or not at all: it is read at any time.
        let new = self.dir.path().join("new");
        fs::write(&new, ahead.to_string()).unwrap();
        fs::rename(new, self.file()).unwrap();
    }
}
