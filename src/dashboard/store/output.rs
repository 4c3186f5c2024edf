//! Output of commands, a row per batch of lines.
//!
//! A batch is one blob: per line a byte for the stream (`o` or `e`), the text, and a line
//! feed; a line feed inside a text is stored as U+2424. Numbers may jump between batches
//! (the host's spool dropped lines, or a number belongs to a test result), never inside one.

use super::StoreError;
use crate::domain::closure_diff::{self, Change};
use crate::domain::ids::CommandId;
use crate::domain::terminal::{are_plain, plain};
use crate::protocol::{Line, Stream};
use rusqlite::{Connection, params};
use std::time::Instant;

/// So many lines of a log are searched for a closure diff.
const DIFF_WITHIN: u32 = 20_000;

/// Stores lines numbered from `first_seq`. Lines whose number is stored already are
/// skipped. Returns the number of the last line stored.
pub(crate) fn append(
    conn: &Connection,
    id: CommandId,
    first_seq: u64,
    lines: &[Line],
) -> Result<u64, StoreError> {
    let stored = last_seq(conn, id)?;
    let skip = usize::try_from((stored + 1).saturating_sub(first_seq)).unwrap_or(usize::MAX);
    let Some(new) = lines.get(skip..).filter(|new| !new.is_empty()) else {
        return Ok(stored);
    };
    let first = first_seq.saturating_add(skip as u64);
    let last = first.saturating_add(new.len() as u64 - 1);
    let column = |seq: u64| {
        i64::try_from(seq).map_err(|_| StoreError::Corrupt(format!("line number {seq}")))
    };
    conn.prepare_cached(
        "INSERT INTO output (command_id, first_seq, last_seq, lines) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![id.to_string(), column(first)?, column(last)?, pack(new)])?;
    Ok(last)
}

/// The number of the last line stored; 0 if there is none.
pub(crate) fn last_seq(conn: &Connection, id: CommandId) -> Result<u64, StoreError> {
    let last: Option<i64> = conn
        .prepare_cached("SELECT max(last_seq) FROM (SELECT last_seq FROM output WHERE command_id = ?1 ORDER BY first_seq DESC LIMIT 1)")?
        .query_row([id.to_string()], |row| row.get(0))?;
    Ok(u64::try_from(last.unwrap_or(0)).unwrap_or(0))
}

/// Up to `limit` lines after number `after`, with their numbers.
pub(crate) fn read(
    conn: &Connection,
    id: CommandId,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, Line)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT first_seq, lines FROM output
         WHERE command_id = ?1 AND last_seq > ?2 ORDER BY first_seq",
    )?;
    let after_column = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![id.to_string(), after_column])?;
    let limit = limit as usize;
    let mut lines = Vec::new();
    while lines.len() < limit
        && let Some(row) = rows.next()?
    {
        let first = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
        let numbered = (first..).zip(unpack(row.get_ref(1)?.as_blob().unwrap_or_default()));
        lines.extend(numbered.filter(|(seq, _)| *seq > after).take(limit - lines.len()));
    }
    Ok(lines)
}

/// The last `count` lines of those numbered below `before`, with their numbers.
pub(crate) fn tail(
    conn: &Connection,
    id: CommandId,
    count: u32,
    before: Option<u64>,
) -> Result<Vec<(u64, Line)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT first_seq, last_seq FROM output
         WHERE command_id = ?1 AND first_seq < ?2 ORDER BY first_seq DESC",
    )?;
    let below = before.unwrap_or(u64::MAX);
    let below_column = i64::try_from(below).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![id.to_string(), below_column])?;
    let (mut after, mut found) = (0, 0_u64);
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        found += u64::try_from(last.min(below_column - 1) - first + 1).unwrap_or(0);
        if found >= u64::from(count) {
            let surplus = found - u64::from(count);
            after = (u64::try_from(first).unwrap_or(1) + surplus).saturating_sub(1);
            break;
        }
    }
    let lines = read(conn, id, after, count)?;
    Ok(lines.into_iter().filter(|(seq, _)| *seq < below).collect())
}

/// The last `count` lines that contain `text`, in either case, as a terminal shows them; and whether
/// all lines were looked at before `until`.
pub(crate) fn search(
    conn: &Connection,
    id: CommandId,
    text: &str,
    count: usize,
    until: Instant,
) -> Result<(Vec<(u64, Line)>, bool), StoreError> {
    let wanted = text.to_lowercase();
    let mut statement = conn.prepare_cached(
        "SELECT first_seq, lines FROM output WHERE command_id = ?1 ORDER BY first_seq DESC",
    )?;
    let mut rows = statement.query([id.to_string()])?;
    let mut found = Vec::new();
    let mut in_time = true;
    while found.len() < count
        && in_time
        && let Some(row) = rows.next()?
    {
        let first = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
        let blob = row.get_ref(1)?.as_blob().unwrap_or_default();
        if says_nothing_of(blob, &wanted) {
            in_time = Instant::now() < until;
            continue;
        }
        let mut here: Vec<(u64, Line)> = (first..)
            .zip(unpack(blob))
            .take_while(|_| {
                in_time = Instant::now() < until;
                in_time
            })
            .filter(|(_, line)| plain(&line.text).to_lowercase().contains(&wanted))
            .collect();
        here.reverse();
        found.extend(here);
    }
    found.truncate(count);
    found.reverse();
    Ok((found, in_time))
}

/// Whether none of these lines can contain the text, which is in lower case. Most lines of a log are
/// not those that somebody looks for: they are passed over by the hundred, not one by one.
fn says_nothing_of(blob: &[u8], wanted: &str) -> bool {
    let lines = String::from_utf8_lossy(blob);
    are_plain(&lines) && !lines.to_lowercase().contains(wanted)
}

/// What a switch or dry run changes, if its log says so. The diff stands near the end.
pub(crate) fn changes(conn: &Connection, id: CommandId) -> Result<Option<Vec<Change>>, StoreError> {
    let lines = tail(conn, id, DIFF_WITHIN, None)?;
    Ok(closure_diff::read(lines.iter().map(|(_, line)| line.text.as_str())))
}

/// How much room the output of a command takes, in bytes.
pub(crate) fn size(conn: &Connection, id: CommandId) -> Result<u64, StoreError> {
    let mut size = 0;
    each_row(conn, id, |row| size += row.size)?;
    Ok(size)
}

/// How the line begins that says how much is left out.
const LEFT_OUT: &str = "[… ";
/// What one row takes beside its lines.
const ROW: u64 = 128;

/// A row of the table, without its lines.
struct Row {
    first: i64,
    last: i64,
    size: u64,
}

fn each_row(conn: &Connection, id: CommandId, mut take: impl FnMut(Row)) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT first_seq, last_seq, length(lines) FROM output
         WHERE command_id = ?1 ORDER BY first_seq",
    )?;
    let mut rows = statement.query([id.to_string()])?;
    while let Some(row) = rows.next()? {
        let length = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
        take(Row { first: row.get(0)?, last: row.get(1)?, size: length + ROW });
    }
    Ok(())
}

/// What more lines take.
pub(crate) fn size_of(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.text.len() as u64 + 2).sum::<u64>() + ROW
}

/// Leaves out the middle of an output, until an eighth of `most` is free. The log says how much.
/// Answers what it takes then, and whether it is the first time.
pub(crate) fn leave_out_the_middle(
    conn: &Connection,
    id: CommandId,
    most: u64,
) -> Result<(u64, bool), StoreError> {
    let mut rows = Vec::new();
    each_row(conn, id, |row| rows.push(row))?;
    let mut size: u64 = rows.iter().map(|row| row.size).sum();
    let mut head = 0;
    let begin = rows.iter().position(|row| {
        head += row.size;
        head >= most / 2
    });
    let begin = begin.map_or(rows.len(), |at| at + 1);
    let mut end = begin;
    while end + 1 < rows.len() && size > most / 8 * 7 {
        size -= rows[end].size;
        end += 1;
    }
    let (Some(head), Some(tail), true) = (rows.get(begin - 1), rows.get(end), end > begin) else {
        return Ok((size, false));
    };
    let said_before = read(conn, id, u64::try_from(head.last).unwrap_or(0), 1)?
        .iter()
        .any(|(_, line)| line.text.starts_with(LEFT_OUT));
    conn.prepare_cached(
        "DELETE FROM output WHERE command_id = ?1 AND first_seq > ?2 AND first_seq < ?3",
    )?
    .execute(params![id.to_string(), head.first, tail.first])?;
    let (place, gone) = (head.last + 1, tail.first - head.last - 1);
    let text = format!(
        "{LEFT_OUT}{gone} lines are left out here: the output of a command may have {} MiB …]",
        most >> 20
    );
    let said = [Line { stream: Stream::Stderr, text }];
    conn.prepare_cached(
        "INSERT INTO output (command_id, first_seq, last_seq, lines) VALUES (?1, ?2, ?2, ?3)",
    )?
    .execute(params![id.to_string(), place, pack(&said)])?;
    Ok((size + size_of(&said), !said_before))
}

fn pack(lines: &[Line]) -> Vec<u8> {
    let size = lines.iter().map(|line| line.text.len() + 2).sum();
    let mut blob = Vec::with_capacity(size);
    for line in lines {
        blob.push(match line.stream {
            Stream::Stdout => b'o',
            Stream::Stderr => b'e',
        });
        if line.text.contains('\n') {
            blob.extend_from_slice(line.text.replace('\n', "\u{2424}").as_bytes());
        } else {
            blob.extend_from_slice(line.text.as_bytes());
        }
        blob.push(b'\n');
    }
    blob
}

fn unpack(blob: &[u8]) -> impl Iterator<Item = Line> + '_ {
    let lines = blob.strip_suffix(b"\n").unwrap_or(blob).split(|byte| *byte == b'\n');
    lines.map(|line| {
        let (stream, text) = line.split_first().unwrap_or((&b'o', &[]));
        Line {
            stream: if *stream == b'e' { Stream::Stderr } else { Stream::Stdout },
            text: String::from_utf8_lossy(text).into_owned(),
        }
    })
}
