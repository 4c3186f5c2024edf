//! How much is enough: one table of every bound on what outsiders make the dashboard read, keep or
//! show (spec: protocol, "What one host makes the dashboard store is bounded").
//!
//! SECURITY.md prints this table, and a test compares.

/// A bound, as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What is bounded.
    pub what: &'static str,
    /// How much there may be.
    pub most: u64,
    /// Of what.
    pub unit: &'static str,
    /// What becomes of more.
    pub beyond: &'static str,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, most, unit, beyond } = self;
        write!(f, "{what}: at most {most} {unit}; {beyond}")
    }
}

/// Writes each bound once: the constant that the code uses, and its row.
macro_rules! bounds {
    ($($name:ident: $type:ty = $most:expr, $unit:literal, $what:literal, $beyond:literal;)+) => {
        $(
            #[doc = concat!($what, ", in ", $unit, ". More: ", $beyond, ".")]
            pub const $name: $type = $most;
        )+

        /// The rows of the table, by the names of the constants.
        pub mod rows {
            use super::Bound;

            $(
                #[doc = concat!($what, ".")]
                pub const $name: &Bound =
                    &Bound { what: $what, most: $most as u64, unit: $unit, beyond: $beyond };
            )+
        }

        /// Every bound.
        pub const ALL: &[&Bound] = &[$(rows::$name,)+];
    };
}

bounds! {
    // A link.
    FRAME: usize = 1024 * 1024, "bytes",
        "a message of an agent, whole or in fragments", "the link is closed with 1009";
    BROWSER_FRAME: usize = 4096, "bytes",
        "a message of a browser", "the connection is closed";
    UNREAD: usize = 64 * 1024, "bytes",
        "what is read of a link and not yet handled, beside one message", "the rest waits in TCP";
    REGISTERS_WITHIN_S: u64 = 30, "seconds",
        "the time until an agent registers", "the link is closed with 1008";
    SILENT_S: u64 = 45, "seconds",
        "the silence of a link", "the link is closed with 1013";
    UNSTORED_MESSAGES: usize = 256, "messages",
        "what a 3.x agent says while SQLite cannot be written", "the link is closed with 1013";
    UNSTORED_BYTES: usize = 1024 * 1024, "bytes",
        "the output among that", "the link is closed with 1013";
    GATHERED_BYTES: usize = 256 * 1024, "bytes",
        "lines of a 3.x agent that are stored together", "they are stored at once";
    // What a host says.
    JOBS: usize = 256, "jobs",
        "jobs in a `register`", "the rest is not looked at, and an event";
    UNKNOWN_JOBS_A_MINUTE: u32 = 8, "commands a minute",
        "jobs of a host that the dashboard did not ask for", "they become no commands, and an event";
    GENERATIONS: usize = 10, "generations",
        "generations of a host", "the rest is dropped, and an event";
    DISKS: usize = 16, "disks",
        "disks of a host", "dropped";
    TAGS: usize = 16, "tags",
        "tags that a host gives itself, and that users add to it", "dropped, or 400";
    SIGNERS: usize = 4, "files",
        "files that say who may sign what a host takes", "dropped";
    HELD: usize = 8, "systems",
        "what a host repeats that it left, and what users released of that", "the oldest are dropped";
    NOTICES: usize = 8, "events a minute",
        "what an agent says that it did by itself", "not recorded, and an event";
    NAME: usize = 200, "characters",
        "a name, a version, a branch, the name of a test", "cut, and an event";
    TEXT: usize = 300, "characters",
        "a reason or message of a host", "cut";
    PATH: usize = 4096, "bytes",
        "a path or an address of a host", "dropped, and an event";
    TEST_OUTPUT: usize = 64 * 1024, "bytes",
        "what a test printed", "the middle goes, and an event";
    TEST_OUTPUTS: usize = 8 * 1024 * 1024, "bytes",
        "what all tests of a run printed", "left out, and an event";
    TEST_RESULTS: u32 = 10_000, "results",
        "the tests of a run", "dropped, and an event";
    OUTPUT: u64 = 64 * 1024 * 1024, "bytes",
        "the output of a command", "the middle goes, its log says how much, and an event";
    LINE_NUMBER_JUMP: u64 = 1_000_000_000, "lines",
        "lines that a host says it left out at once", "refused, and an event";
    EXCEEDED_TOLD_EVERY_S: u64 = 3600, "seconds",
        "the time between two events of a host about one bound", "not recorded";
    ODD_MESSAGES: u32 = 20, "events",
        "events about messages of a link that make no sense", "not recorded until it reconnects";
    NEW_HOSTS: u32 = 100, "hosts",
        "hosts that the shared token adds at once", "the link is closed with 1013, and an event";
    NEW_HOST_EVERY_S: u64 = 6, "seconds",
        "the time between further ones", "the link is closed with 1013, and an event";
    // Refused ones.
    BAD_NAMES: u32 = 20, "events",
        "events about names that are none, at once and then one a minute", "not recorded";
    REFUSALS_TOLD_EVERY_S: u64 = 60, "seconds",
        "the time between two rows or log lines about refusals of one address", "counted";
    REFUSED_ADDRESSES: usize = 200, "addresses",
        "addresses whose refusals are counted apart", "counted together";
    // Requests.
    BODY: usize = 64 * 1024, "bytes",
        "a body of a call", "413";
    FORM: usize = 256 * 1024, "bytes",
        "a form of a page", "413";
    LOGIN_FORM: usize = 8 * 1024, "bytes",
        "the form of the login", "413";
    HOOK: usize = 5 * 1024 * 1024, "bytes",
        "a webhook, which is checked and not kept", "413";
    BODY_WITHIN_S: u64 = 10, "seconds",
        "the time until a body is there", "408, and the connection is closed";
    STRANGERS: usize = 256, "requests",
        "bodies that are read at once before it is proved who sends them", "503";
    STRANGERS_OF_ONE: usize = 16, "requests",
        "those of one address", "503";
    // What is shown.
    COLUMNS: usize = 16_384, "columns",
        "a line of output on a page", "cut";
    GROWTH: usize = 4, "times",
        "how much longer escapes make a line on its way to browsers", "further escapes are ignored";
    PAGE_OF_OUTPUT: usize = 1024 * 1024, "bytes",
        "lines that a page shows at once", "earlier ones come on a click";
    SEARCH_FOR_S: u64 = 2, "seconds",
        "the time of a search in a log", "what was found until then, and a note";
}

/// A text of at most so many characters.
pub fn characters(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// A text of at most `most` bytes: of more, the middle goes, and a line says how much.
pub fn without_middle(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let half = most.saturating_sub(64) / 2;
    let head = &text[..text.floor_char_boundary(half)];
    let tail = &text[text.ceil_char_boundary(text.len() - half)..];
    let gone = text.len() - head.len() - tail.len();
    format!("{head}\n[… {gone} bytes are left out …]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_of_bounds_is_that_of_the_program_9() {
        let page = include_str!("../../SECURITY.md");
        let rows = page.split_once("| what | at most | beyond |\n").expect("the table").1;
        let told: Vec<&str> =
            rows.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
        let bounds = ALL.iter().map(|bound| {
            let Bound { what, most, unit, beyond } = bound;
            format!("| {what} | {most} {unit} | {beyond} |")
        });
        let table: Vec<String> = bounds.collect();
        assert_eq!(told, table, "as it should be:\n{}", table.join("\n"));
    }

    proptest! {
        #[test]
        fn a_text_whose_middle_goes_fits_and_says_so(text in "\\PC{0,400}") {
            let cut = without_middle(text.clone(), 200);
            prop_assert!(cut.len() <= 200);
            prop_assert_eq!(cut == text, text.len() <= 200);
            prop_assert!(text.len() <= 200 || cut.contains("bytes are left out"));
        }
    }
}
