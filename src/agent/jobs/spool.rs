//! A job's output on disk: numbered lines that survive agent, link and dashboard.
//!
//! Lines are appended to segment files named after the number of their first line. A line
//! is a byte for its stream (`o`, `e`), the text, and a line feed. The spool is bounded:
//! beyond that, segments of the middle are dropped, and their numbers stay used.

use crate::protocol::{Line, Stream};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
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

/// Writes a spool. There is one writer: the job's supervisor.
pub struct SpoolWriter {
    dir: PathBuf,
    segment: Option<BufWriter<File>>,
    segment_bytes: u64,
    last: u64,
    segment_limit: u64,
}

impl SpoolWriter {
    /// Starts a spool in an existing directory.
    pub fn create(dir: &Path) -> Self {
        Self::with_segments_of(dir, SEGMENT)
    }

    fn with_segments_of(dir: &Path, segment_limit: u64) -> Self {
        Self { dir: dir.to_owned(), segment: None, segment_bytes: 0, last: 0, segment_limit }
    }

    /// The number of the last line.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Appends a line. Line feeds in it begin new lines.
    pub fn line(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        for line in text.split('\n') {
            let mut rest = line;
            loop {
                let (now, later) = rest.split_at(rest.floor_char_boundary(MAX_LINE));
                self.one(stream, now)?;
                if later.is_empty() {
                    break;
                }
                rest = later;
            }
        }
        Ok(())
    }

    fn one(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        if self.segment.is_none() || self.segment_bytes >= self.segment_limit {
            self.next_segment()?;
        }
        if let Some(segment) = &mut self.segment {
            let kind = match stream {
                Stream::Stdout => b'o',
                Stream::Stderr => b'e',
            };
            segment.write_all(&[kind])?;
            segment.write_all(text.as_bytes())?;
            segment.write_all(b"\n")?;
            self.segment_bytes += text.len() as u64 + 2;
            self.last += 1;
        }
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        self.flush()?;
        let path = segment_path(&self.dir, self.last + 1);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        self.segment = Some(BufWriter::with_capacity(64 * 1024, file));
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

    /// Hands everything to the system, so that a reader sees it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.segment.as_mut().map_or(Ok(()), Write::flush)
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
                writer.line(stream, text).unwrap();
                expected.push((writer.last(), Line { stream, text: text.clone() }));
            }
            writer.flush().unwrap();
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
        writer.line(Stream::Stdout, "one").unwrap();
        writer.flush().unwrap();
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
    fn long_lines_are_cut_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::create(dir.path());
        let text = "ä".repeat(20_000);
        writer.line(Stream::Stdout, &text).unwrap();
        writer.flush().unwrap();
        let lines = all(dir.path(), 0);
        assert!(lines.len() > 1 && lines.iter().all(|(_, line)| line.text.len() <= MAX_LINE));
        assert_eq!(lines.iter().map(|(_, line)| line.text.as_str()).collect::<String>(), text);
    }

    #[test]
    fn the_middle_of_too_much_output_is_dropped_and_that_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = SpoolWriter::with_segments_of(dir.path(), 100);
        for n in 1..=1000 {
            writer.line(Stream::Stdout, &format!("line {n}")).unwrap();
        }
        writer.flush().unwrap();
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
}
