//! The audit log, and its export.

use super::{Answer, object};
use crate::base::hex;
use crate::dashboard::http::actions::Wanted;
use crate::dashboard::http::error::HttpError;
use crate::dashboard::http::extract::{By, Query, Reader};
use crate::dashboard::store::events::{self, EventRecord};
use crate::dashboard::store::{self, StoreError};
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::stream;
use std::borrow::Cow;

/// So many entries are read from SQLite at once.
const PAGE: u32 = 1000;
/// So many are answered where nothing is said.
const USUAL: u32 = 100;

pub(super) fn configure(service: &mut web::ServiceConfig) {
    service.route("/events", web::get().to(list));
}

#[derive(Clone, Copy)]
enum Format {
    JsonLines,
    Csv,
}

async fn list(By(reader, Query(wanted)): By<Reader, Query<Wanted>>) -> Answer {
    let filter = wanted.read(wanted.limit.unwrap_or(USUAL).min(PAGE))?;
    match wanted.format.as_str() {
        "" | "json" => {
            let found = reader.stored(move |conn| store::events::list(conn, &filter)).await?;
            let list: Vec<_> = found.iter().map(object::event).collect();
            Ok(HttpResponse::Ok().json(list))
        }
        "jsonl" => Ok(export(reader, &wanted, filter, Format::JsonLines)),
        "csv" => Ok(export(reader, &wanted, filter, Format::Csv)),
        _ => Err(HttpError::bad("format", "expected json, jsonl or csv").into()),
    }
}

/// All that fits, a page at a time: years of entries are never whole in memory.
fn export(
    reader: Reader,
    wanted: &Wanted,
    filter: events::EventFilter,
    format: Format,
) -> HttpResponse {
    let mut left = wanted.limit.map_or(u64::MAX, u64::from);
    let head = match format {
        Format::JsonLines => String::new(),
        Format::Csv => csv_line(&COLUMNS.map(Cow::Borrowed)),
    };
    let start = Some((reader, filter, head));
    let pages = stream::try_unfold(start, move |state| {
        let limit = PAGE.min(u32::try_from(left).unwrap_or(PAGE));
        left = left.saturating_sub(limit.into());
        async move {
            let Some((reader, mut filter, mut text)) = state else {
                return Ok(None);
            };
            filter.limit = limit;
            let asked = filter.clone();
            let page = reader.stored(move |conn| store::events::list(conn, &asked)).await?;
            for event in &page {
                text += &written(event, format);
            }
            filter.before = page.last().map(|event| event.id);
            let more = page.len() == limit as usize && limit > 0;
            let next = more.then(|| (reader, filter, String::new()));
            Ok::<_, StoreError>(Some((Bytes::from(text), next)))
        }
    });
    let (kind, name) = match format {
        Format::JsonLines => ("application/x-ndjson", "audit.jsonl"),
        Format::Csv => ("text/csv; charset=utf-8", "audit.csv"),
    };
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(Box::pin(pages))
}

fn written(event: &EventRecord, format: Format) -> String {
    match format {
        Format::JsonLines => format!("{}\n", object::event(event)),
        Format::Csv => csv_line(&cells(event)),
    }
}

const COLUMNS: [&str; 10] =
    ["id", "at", "host_id", "category", "message", "by", "from", "result", "hash", "command_id"];

fn cells(event: &EventRecord) -> [Cow<'_, str>; 10] {
    let text = |text: &'_ Option<String>| Cow::Owned(text.clone().unwrap_or_default());
    [
        Cow::Owned(event.id.to_string()),
        Cow::Owned(event.at.to_string()),
        Cow::Borrowed(event.host.as_ref().map_or("", |host| host.as_str())),
        Cow::Borrowed(&event.category),
        Cow::Borrowed(&event.message),
        text(&event.by),
        text(&event.from),
        text(&event.result),
        Cow::Owned(hex::encode(&event.hash)),
        Cow::Owned(event.command.map(|id| id.to_string()).unwrap_or_default()),
    ]
}

/// A line as RFC 4180 has it. A cell that a spreadsheet would take for a formula begins with an
/// apostrophe, so that hosts cannot make it calculate or fetch anything.
fn csv_line(cells: &[Cow<'_, str>]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
    format!("{}\r\n", cells.join(","))
}

fn csv_cell(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
        || text.starts_with(['\t', '\r', '\n']);
    let safe = if formula { format!("'{text}") } else { text.to_owned() };
    if safe.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", safe.replace('"', "\"\""))
    } else {
        safe
    }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;
    use proptest::prelude::*;

    #[test]
    fn no_cell_is_a_formula_and_each_is_one_cell() {
        for (text, cell) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=cmd|' /C calc'!A0,\"", "\"'=cmd|' /C calc'!A0,\"\"\""),
        ] {
            assert_eq!(csv_cell(text), cell, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_host_says_no_cell_begins_a_formula(text in "\\PC{0,20}|[=+@\\-\t\r\n ,\"a]{0,8}") {
            let cell = csv_cell(&text);
            let inside = cell.strip_prefix('"').unwrap_or(&cell);
            prop_assert!(!inside.trim_start().starts_with(['=', '+', '-', '@']));
        }
    }
}
