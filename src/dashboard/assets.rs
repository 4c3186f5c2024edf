//! What is compiled into the binary and served under names that hold a hash of the bytes.

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    url: String,
    kind: &'static str,
    bytes: Cow<'static, [u8]>,
}

/// The style: what has names, the fleet and what is around every page, and the other pages.
const STYLE: &str = concat!(
    include_str!("../../assets/tokens.css"),
    include_str!("../../assets/page.css"),
    include_str!("../../assets/cards.css"),
    include_str!("../../assets/pages.css"),
);

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files: [(&str, &str, &[u8]); 8] = [
        ("nixfleet.css", "text/css; charset=utf-8", STYLE.as_bytes()),
        (
            "nixfleet.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../assets/nixfleet.js"),
        ),
        ("hands.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/hands.js")),
        ("log.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/log.js")),
        ("look.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/look.js")),
        ("icon.svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
        ("icon-failed.svg", "image/svg+xml", include_bytes!("../../assets/icon-failed.svg")),
        ("icons.svg", "image/svg+xml", include_bytes!("../../assets/icons.svg")),
    ];
    files
        .into_iter()
        .map(|(name, kind, bytes)| {
            let bytes = match name {
                "nixfleet.js" | "hands.js" | "log.js" | "look.js" => {
                    Cow::Owned(dense(bytes).into_bytes())
                }
                "nixfleet.css" => Cow::Owned(tight(&dense(bytes)).into_bytes()),
                _ => Cow::Borrowed(bytes),
            };
            let hash = crate::base::hex::encode(&Sha256::digest(&bytes)[..4]);
            let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
            Asset { name, url: format!("/assets/{stem}.{hash}.{ending}"), kind, bytes }
        })
        .collect()
});

/// Our own files without indentation and whole-line comments: what a browser has no use for.
fn dense(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("//")).collect();
    lines.join("\n")
}

/// What of a style is there for readers alone, and what is served instead.
const BETWEEN: [(&str, &str); 6] =
    [(" { ", "{"), ("; }", "}"), (" }", "}"), ("; ", ";"), (": ", ":"), (", ", ",")];

/// A style without the blanks that mean nothing.
fn tight(style: &str) -> String {
    BETWEEN.iter().fold(style.to_owned(), |style, (from, to)| style.replace(from, to))
}

/// The address of an asset; the empty string if there is none of that name.
pub(crate) fn url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.url.as_str())
}

/// The asset with that address, as it is served: its type and its bytes.
pub(crate) fn served(url: &str) -> Option<(&'static str, &'static [u8])> {
    let asset = ASSETS.iter().find(|asset| asset.url == url)?;
    Some((asset.kind, &asset.bytes))
}

#[cfg(test)]
mod tests {
    use super::ASSETS;
    use crate::base::hex;
    use sha2::{Digest, Sha256};
    use std::path::Path;

    fn served(name: &str) -> String {
        let asset = ASSETS.iter().find(|asset| asset.name == name).unwrap();
        String::from_utf8(asset.bytes.to_vec()).unwrap()
    }

    #[test]
    // Compressed sizes are checked where they are served.
    fn what_a_browser_loads_stays_within_its_budget() {
        let css = served("nixfleet.css");
        // All there is: nothing is vendored. What a page needs before anybody touches it, and what is
        // loaded when it is used.
        for (name, allowed) in [
            ("nixfleet.js", 20 * 1024),
            ("look.js", 512),
            ("hands.js", 14 * 1024),
            ("log.js", 5 * 1024),
        ] {
            let len = served(name).len();
            assert!(len <= allowed, "{name}: {len} bytes");
        }
        assert!(css.len() <= 60 * 1024, "style: {} bytes", css.len());
        let sprite = served("icons.svg");
        assert!(sprite.len() <= 16 * 1024, "sprite: {} bytes", sprite.len());
    }

    #[test]
    fn nothing_is_lost_by_serving_our_files_without_indentation() {
        // A text over several lines would lose its own.
        for own in [
            include_str!("../../assets/nixfleet.js"),
            include_str!("../../assets/hands.js"),
            include_str!("../../assets/log.js"),
        ] {
            assert!(!own.contains('`'));
        }
    }

    #[test]
    fn no_quoted_text_of_the_style_is_changed_by_serving_it_without_blanks() {
        for (at, quoted) in super::STYLE.split('"').enumerate() {
            let quoted = quoted.replace("', '", "");
            let changes = super::BETWEEN.iter().any(|(from, _)| quoted.contains(from));
            assert!(at % 2 == 0 || !changes, "{quoted}");
        }
    }

    #[test]
    fn vendored_libraries_are_what_their_lists_say() {
        check_vendored(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendor"));
    }

    fn check_vendored(dir: &Path) {
        let list = std::fs::read_to_string(dir.join("VENDORED.md")).unwrap();
        let rows = list.lines().filter(|line| line.starts_with("| `"));
        let mut count = 0;
        for row in rows {
            let cells: Vec<&str> =
                row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let (file, sum) = (cells[1], cells[5]);
            let bytes = std::fs::read(dir.join(file)).unwrap();
            assert_eq!(hex::encode(&Sha256::digest(bytes)), sum, "{file}");
            count += 1;
        }
        let files = std::fs::read_dir(dir).unwrap().flatten();
        let scripts = files.filter(|file| file.path().extension().is_some_and(|e| e == "js"));
        assert_eq!(scripts.count(), count, "a file is not in the list");
    }
}
