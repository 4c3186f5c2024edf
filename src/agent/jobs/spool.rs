//! A job's output on disk: numbered lines that survive agent, link and dashboard.
//!
//! Lines are appended to segment files named after the number of their first line. A line
//! is a byte for its stream (`o`, `e`), the text, and a line feed. The spool is bounded:
//! beyond that, segments of the middle are dropped, and their numbers stay used.

use crate::protocol::{Line, Stream};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A line is cut into several at so many bytes.
pub const MAX_LINE: usize = 16 * 1024;
/// Size of a segment, in bytes.
const SEGMENT: u64 = 4 * 1024 * 1024;
/// Segments kept from the beginning.
const HEAD: usize = 8;
/// Segments kept in all: 64 MiB.
const SEGMENTS: usize = 16;
const DROPPED: &str = "dropped";

fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("out-{first:016}.log"))
}

/// The first numbers of all segments, in order.
fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut firsts: Vec<u64> = fs::read_dir(dir)?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_prefix("out-")?.strip_suffix(".log")?.parse().ok()
        })
        .collect();
    firsts.sort_unstable();
    Ok(firsts)
}

/// Writes a spool. There is one writer: the job's supervisor. It never fails: lines that the disk
/// has no room for are lost and counted, and the log says so as soon as there is room again.
pub struct SpoolWriter {
    dir: PathBuf,
    segment: Option<File>,
    /// Whole lines that are not in the file yet.
    waiting: Vec<u8>,
    waiting_lines: u64,
    /// Bytes of whole lines in the file.
    segment_bytes: u64,
    /// Number of the last line that is in a file.
    written: u64,
    lost: Lost,
    segment_limit: u64,
}

/// Lines that could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lost {
    /// How many in all.
    pub lines: u64,
    /// How many of them the log does not tell yet.
    untold: u64,
    /// What the system said last.
    pub why: String,
}

/// So many bytes are handed to the system at once.
const AT_ONCE: usize = 64 * 1024;

impl SpoolWriter {
    /// Starts a spool in an existing directory.
    pub fn create(dir: &Path) -> Self {
        Self::with_segments_of(dir, SEGMENT)
    }

    /// Goes on in the spool of a writer that is gone.
    pub fn resume(dir: &Path) -> Self {
        Self { written: last_seq(dir).unwrap_or(0), ..Self::create(dir) }
    }

    fn with_segments_of(dir: &Path, segment_limit: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            segment: None,
            waiting: Vec::new(),
            waiting_lines: 0,
            segment_bytes: 0,
            written: 0,
            lost: Lost::default(),
            segment_limit,
        }
    }

    /// The number of the last line.
    pub fn last(&self) -> u64 {
        self.written + self.waiting_lines
    }

    /// What could not be written.
    pub fn lost(&self) -> &Lost {
        &self.lost
    }

    /// Appends a line. Line feeds in it begin new lines.
    pub fn line(&mut self, stream: Stream, text: &str) {
        for line in text.split('\n') {
            let mut rest = line;
            loop {
                let (now, later) = rest.split_at(rest.floor_char_boundary(MAX_LINE));
                self.one(stream, now);
                if later.is_empty() {
                    break;
                }
                rest = later;
            }
        }
    }

    fn one(&mut self, stream: Stream, text: &str) {
        let kind = match stream {
            Stream::Stdout => b'o',
            Stream::Stderr => b'e',
        };
        self.waiting.push(kind);
        self.waiting.extend_from_slice(text.as_bytes());
        self.waiting.push(b'\n');
        self.waiting_lines += 1;
        let is_full = self.segment_bytes + self.waiting.len() as u64 >= self.segment_limit;
        if is_full || self.waiting.len() >= AT_ONCE {
            self.flush();
        }
    }

    /// Hands everything to the system, so that a reader sees it. What there is no room for is lost.
    pub fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.lost.untold > 0 {
            self.tell_of_the_lost();
        }
        if let Err(error) = self.write_waiting() {
            self.lost.lines += self.waiting_lines;
            self.lost.untold += self.waiting_lines;
            self.lost.why = error.to_string();
        }
        self.waiting.clear();
        self.waiting_lines = 0;
    }

    /// Puts a line about what was lost before the lines that wait.
    fn tell_of_the_lost(&mut self) {
        let lines = self.lost.untold;
        let told = format!("enixfleet: {lines} lines were lost here: {}\n", self.lost.why);
        let now = std::mem::replace(&mut self.waiting, told.into_bytes());
        let now_lines = std::mem::replace(&mut self.waiting_lines, 1);
        if self.write_waiting().is_ok() {
            self.lost.untold = 0;
        }
        self.waiting = now;
        self.waiting_lines = now_lines;
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        if self.segment.is_none() || self.segment_bytes >= self.segment_limit {
            self.next_segment()?;
        }
        let Some(segment) = &mut self.segment else {
            return Err(io::Error::other("no segment"));
        };
        if let Err(error) = segment.write_all(&self.waiting) {
            // Half a line in the file would become one with the next that fits.
            let _ = segment.set_len(self.segment_bytes);
            return Err(error);
        }
        self.segment_bytes += self.waiting.len() as u64;
        self.written += self.waiting_lines;
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let path = segment_path(&self.dir, self.written + 1);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        self.segment = Some(file);
        self.segment_bytes = 0;
        let firsts = segments(&self.dir)?;
        if firsts.len() > SEGMENTS {
            let path = segment_path(&self.dir, firsts[HEAD]);
            let bytes = fs::metadata(&path)?.len() + dropped_bytes(&self.dir);
            fs::write(self.dir.join(DROPPED), bytes.to_string())?;
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn dropped_bytes(dir: &Path) -> u64 {
    fs::read_to_string(dir.join(DROPPED)).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Reads a spool, also while it is written.
pub struct SpoolReader {
    dir: PathBuf,
    next: u64,
    open: Option<Open>,
}

struct Open {
    file: BufReader<File>,
    /// Number of the line at `offset`.
    at: u64,
    offset: u64,
}

impl SpoolReader {
    /// Reads from the line after number `after`.
    pub fn after(dir: &Path, after: u64) -> Self {
        Self { dir: dir.to_owned(), next: after + 1, open: None }
    }

    /// Up to about `max_bytes` of lines that follow each other, with the number of the
    /// first. `None`: there is nothing new.
    pub fn read(&mut self, max_bytes: usize) -> io::Result<Option<(u64, Vec<Line>)>> {
        let first = self.next;
        let mut lines = Vec::new();
        let mut bytes = 0;
        while bytes < max_bytes {
            match self.line()? {
                Some(line) => {
                    bytes += line.text.len() + 32;
                    lines.push(line);
                }
                None if lines.is_empty() => match self.jump()? {
                    Jump::Nothing => return Ok(None),
                    Jump::Silent => return self.read(max_bytes),
                    Jump::Told(number, line) => return Ok(Some((number, vec![line]))),
                },
                None => break,
            }
        }
        Ok(Some((first, lines)))
    }

    /// The next line of the segment that holds it.
    fn line(&mut self) -> io::Result<Option<Line>> {
        if self.open.is_none() && !self.find()? {
            return Ok(None);
        }
        loop {
            let Some(open) = &mut self.open else {
                return Ok(None);
            };
            let mut bytes = Vec::new();
            let read = open.file.read_until(b'\n', &mut bytes)? as u64;
            if bytes.pop() != Some(b'\n') {
                // Not whole yet, or the end: come back later.
                open.file.seek(SeekFrom::Start(open.offset))?;
                return if self.find_exactly()? { self.line() } else { Ok(None) };
            }
            open.offset += read;
            open.at += 1;
            if open.at - 1 < self.next {
                continue;
            }
            self.next = open.at;
            let (kind, text) = bytes.split_first().unwrap_or((&b'o', &[]));
            return Ok(Some(Line {
                stream: if *kind == b'e' { Stream::Stderr } else { Stream::Stdout },
                text: String::from_utf8_lossy(text).into_owned(),
            }));
        }
    }

    fn open_segment(&mut self, first: u64) -> io::Result<bool> {
        match File::open(segment_path(&self.dir, first)) {
            Ok(file) => {
                let file = BufReader::with_capacity(64 * 1024, file);
                self.open = Some(Open { file, at: first, offset: 0 });
                Ok(true)
            }
            // Dropped in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn find(&mut self) -> io::Result<bool> {
        let firsts = segments(&self.dir)?;
        match firsts.iter().rev().find(|first| **first <= self.next) {
            Some(first) => self.open_segment(*first),
            None => Ok(false),
        }
    }

    /// Goes on in the segment that begins with the next line, if there is one.
    fn find_exactly(&mut self) -> io::Result<bool> {
        let here = self.open.as_ref().is_some_and(|open| open.at == self.next && open.offset == 0);
        Ok(!here && self.open_segment(self.next)?)
    }

    /// What follows is not the next line: the middle was dropped, or there is nothing yet.
    fn jump(&mut self) -> io::Result<Jump> {
        let firsts = segments(&self.dir)?;
        let Some(after) = firsts.iter().find(|first| **first > self.next) else {
            return Ok(Jump::Nothing);
        };
        // Told only where the kept beginning ends, so that it is told once.
        let told = self.open.as_ref().is_some_and(|open| open.at == self.next);
        let (number, lines) = (self.next, after - self.next);
        self.next = *after;
        self.open = None;
        if !told {
            return Ok(Jump::Silent);
        }
        let bytes = dropped_bytes(&self.dir);
        let text = format!("[{lines} lines, about {bytes} bytes, were dropped here]");
        Ok(Jump::Told(number, Line { stream: Stream::Stderr, text }))
    }
}

enum Jump {
    Nothing,
    Silent,
    Told(u64, Line),
}

/// The number of the last whole line; 0 if there is none.
pub fn last_seq(dir: &Path) -> io::Result<u64> {
    let Some(first) = segments(dir)?.pop() else {
        return Ok(0);
    };
    let bytes = fs::read(segment_path(dir, first))?;
    let whole = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    Ok(first + whole - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(dir: &Path, after: u64) -> Vec<(u64, Line)> {
        let mut reader = SpoolReader::after(dir, after);
        let mut all = Vec::new();
        while let Some((first, lines)) = reader.read(200).unwrap() {
            all.extend((first..).zip(lines));
        }
        all
    }

    proptest! {
        #[test]
        fn lines_come_back_in_order_from_any_point(
            texts in prop::collection::vec(("[^\n]{0,40}", any::<bool>()), 0..60),
            after in 0_u64..70,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut writer = SpoolWriter::with_segments_of(dir.path(), 300);
            let mut expected = Vec::new();
            for (text, error) in &texts {
                let stream = if *error { Stream::Stderr } else { Stream::Stdout };
                writer.line(stream, text);
                expected.push((writer.last(), Line { stream, text: text.clone() }));
            }
            writer.flush();
            expected.retain(|(seq, _)| *seq > after);
            prop_assert_eq!(last_seq(dir.path()).unwrap(), texts.len() as u64);
            if texts.len() as u64 * 50 < 300 * 16 {
                prop_assert_eq!(all(dir.path(), after), expected);
            }
        }
    }

    #[test]
    fn a_reader_follows_a_writer_and_takes_no_half_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path());
        let mut reader = SpoolReader::after(dir.path(), 0);
        assert_eq!(reader.read(100).unwrap(), None);
        writer.line(Stream::Stdout, "one");
        writer.flush();
        let one = Line { stream: Stream::Stdout, text: "one".into() };
        assert_eq!(reader.read(100).unwrap(), Some((1, vec![one])));
        let path = segment_path(dir.path(), 1);
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"etw").unwrap();
        assert_eq!(reader.read(100).unwrap(), None);
        file.write_all(b"o\n").unwrap();
        let two = Line { stream: Stream::Stderr, text: "two".into() };
        assert_eq!(reader.read(100).unwrap(), Some((2, vec![two])));
    }

    #[test]
    fn a_spool_goes_on_after_the_last_whole_line_of_a_writer_that_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path());
        writer.line(Stream::Stdout, "one");
        writer.line(Stream::Stdout, "two");
        writer.flush();
        let mut file = OpenOptions::new().append(true).open(segment_path(dir.path(), 1)).unwrap();
        file.write_all(b"ohalf a li").unwrap();
        let mut next = SpoolWriter::resume(dir.path());
        next.line(Stream::Stderr, "three");
        next.flush();
        assert_eq!(next.last(), 3);
        let lines = all(dir.path(), 0);
        let texts: Vec<_> = lines.iter().map(|(seq, line)| (*seq, line.text.as_str())).collect();
        assert_eq!(texts, [(1, "one"), (2, "two"), (3, "three")]);
    }

    #[test]
    fn long_lines_are_cut_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path());
        let text = "ä".repeat(20_000);
        writer.line(Stream::Stdout, &text);
        writer.flush();
        let lines = all(dir.path(), 0);
        assert!(lines.len() > 1 && lines.iter().all(|(_, line)| line.text.len() <= MAX_LINE));
        assert_eq!(lines.iter().map(|(_, line)| line.text.as_str()).collect::<String>(), text);
    }

    #[test]
    fn the_middle_of_too_much_output_is_dropped_and_that_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::with_segments_of(dir.path(), 100);
        for n in 1..=1000 {
            writer.line(Stream::Stdout, &format!("line {n}"));
        }
        writer.flush();
        assert_eq!(segments(dir.path()).unwrap().len(), SEGMENTS);
        let lines = all(dir.path(), 0);
        let told: Vec<_> =
            lines.iter().filter(|(_, l)| l.text.contains("were dropped here")).collect();
        assert_eq!(told.len(), 1);
        assert_eq!(lines.last().map(|(seq, l)| (*seq, l.text.as_str())), Some((1000, "line 1000")));
        for (seq, line) in lines.iter().filter(|(_, l)| !l.text.contains("dropped")) {
            assert_eq!(line.text, format!("line {seq}"));
        }
        let marker = told[0].0;
        assert!(all(dir.path(), marker).iter().all(|(_, l)| !l.text.contains("were dropped")));
    }

    /// Finding 5: a full disk ended the supervisor, and that the switch.
    #[test]
    fn lines_without_room_are_lost_and_that_is_told_when_there_is_room_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path());
        writer.line(Stream::Stdout, "one");
        writer.flush();
        let disk =
            writer.segment.replace(OpenOptions::new().write(true).open("/dev/full").unwrap());
        writer.line(Stream::Stdout, "two");
        writer.line(Stream::Stdout, "three");
        writer.flush();
        assert_eq!((writer.last(), writer.lost().lines), (1, 2));
        writer.segment = disk;
        writer.line(Stream::Stdout, "four");
        writer.flush();
        let lines = all(dir.path(), 0);
        let texts: Vec<&str> = lines.iter().map(|(_, line)| line.text.as_str()).collect();
        assert_eq!((texts[0], texts[2], texts.len()), ("one", "four", 3));
        assert!(texts[1].contains("2 lines were lost here"), "{texts:?}");
        assert_eq!(writer.last(), 3);
    }
}
