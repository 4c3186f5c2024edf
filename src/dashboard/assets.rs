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

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files: [(&str, &str, &[u8]); 6] = [
        ("nixfleet.css", "text/css; charset=utf-8", include_bytes!("../../assets/nixfleet.css")),
        (
            "nixfleet.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../assets/nixfleet.js"),
        ),
        (
            "idiomorph.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../../assets/vendor/idiomorph-0.8.0.min.js"),
        ),
        ("icon.svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
        ("icon-failed.svg", "image/svg+xml", include_bytes!("../../assets/icon-failed.svg")),
        ("icons.svg", "image/svg+xml", include_bytes!("../../assets/icons.svg")),
    ];
    files
        .into_iter()
        .map(|(name, kind, bytes)| {
            let bytes = if name == "nixfleet.js" || name == "nixfleet.css" {
                Cow::Owned(dense(bytes))
            } else {
                Cow::Borrowed(bytes)
            };
            let hash = crate::base::hex::encode(&Sha256::digest(&bytes)[..4]);
            let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
            Asset { name, url: format!("/assets/{stem}.{hash}.{ending}"), kind, bytes }
        })
        .collect()
});

/// Our own files without indentation and whole-line comments: what a browser has no use for.
fn dense(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("//")).collect();
    lines.join("\n").into_bytes()
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
    fn what_a_browser_loads_stays_within_its_budget() {
        let (own, css) = (served("nixfleet.js"), served("nixfleet.css"));
        assert!(own.len() <= 12 * 1024, "own script: {} bytes", own.len());
        assert!(own.lines().count() <= 300, "own script: {} lines", own.lines().count());
        assert!(css.len() <= 30 * 1024, "style: {} bytes", css.len());
        let vendored = served("idiomorph.js").len();
        assert!(vendored <= 80 * 1024, "vendored scripts: {vendored} bytes");
    }

    #[test]
    fn nothing_is_lost_by_serving_our_files_without_indentation() {
        // A text over several lines would lose its own.
        let own = include_str!("../../assets/nixfleet.js");
        assert!(!own.contains('`'));
    }

    #[test]
    fn vendored_libraries_are_what_their_lists_say() {
        for dir in ["assets/vendor", "tests/vendor"] {
            check_vendored(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir));
        }
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
