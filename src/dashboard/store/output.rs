//! Output of commands, a row per batch of lines.
//!
//! A batch is one blob: per line a byte for the stream (`o` or `e`), the text, and a line
//! feed; a line feed inside a text is stored as U+2424. Numbers may jump between batches
//! (the host's spool dropped lines, or a number belongs to a test result), never inside one.

use super::StoreError;
use crate::domain::closure_diff::{self, Change};
use crate::domain::ids::CommandId;
use crate::domain::terminal::plain;
use crate::protocol::{Line, Stream};
use rusqlite::{Connection, params};

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

/// The last `count` lines that contain `text`, in either case, as a terminal shows them.
pub(crate) fn search(
    conn: &Connection,
    id: CommandId,
    text: &str,
    count: usize,
) -> Result<Vec<(u64, Line)>, StoreError> {
    let wanted = text.to_lowercase();
    let mut statement = conn.prepare_cached(
        "SELECT first_seq, lines FROM output WHERE command_id = ?1 ORDER BY first_seq DESC",
    )?;
    let mut rows = statement.query([id.to_string()])?;
    let mut found = Vec::new();
    while found.len() < count
        && let Some(row) = rows.next()?
    {
        let first = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
        let numbered = (first..).zip(unpack(row.get_ref(1)?.as_blob().unwrap_or_default()));
        let mut here: Vec<(u64, Line)> = numbered
            .filter(|(_, line)| plain(&line.text).to_lowercase().contains(&wanted))
            .collect();
        here.reverse();
        found.extend(here);
    }
    found.truncate(count);
    found.reverse();
    Ok(found)
}

/// What a switch or dry run changes, if its log says so. The diff stands near the end.
pub(crate) fn changes(conn: &Connection, id: CommandId) -> Result<Option<Vec<Change>>, StoreError> {
    let lines = tail(conn, id, DIFF_WITHIN, None)?;
    Ok(closure_diff::read(lines.iter().map(|(_, line)| line.text.as_str())))
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
