//! What is compiled into the binary and served under names that hold a hash of the bytes.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    url: String,
    kind: &'static str,
    bytes: &'static [u8],
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files: [(&str, &str, &[u8]); 4] = [
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
    ];
    files
        .into_iter()
        .map(|(name, kind, bytes)| {
            let hash = super::auth::hex(&Sha256::digest(bytes)[..4]);
            let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
            Asset { name, url: format!("/assets/{stem}.{hash}.{ending}"), kind, bytes }
        })
        .collect()
});

/// The address of an asset; the empty string if there is none of that name.
pub fn url(name: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.url.as_str())
}

/// `GET /assets/{name}`
pub async fn serve(name: web::Path<String>) -> HttpResponse {
    let url = format!("/assets/{name}");
    match ASSETS.iter().find(|asset| asset.url == url) {
        Some(asset) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, asset.kind))
            .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(asset.bytes),
        None => HttpResponse::NotFound().body("no such asset\n"),
    }
}

#[cfg(test)]
mod tests {
    use crate::dashboard::auth::hex;
    use sha2::{Digest, Sha256};
    use std::path::Path;

    #[test]
    fn vendored_libraries_are_what_their_list_says() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vendor");
        let list = std::fs::read_to_string(dir.join("VENDORED.md")).unwrap();
        let rows = list.lines().filter(|line| line.starts_with("| `"));
        let mut count = 0;
        for row in rows {
            let cells: Vec<&str> =
                row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let (file, sum) = (cells[1], cells[5]);
            let bytes = std::fs::read(dir.join(file)).unwrap();
            assert_eq!(hex(&Sha256::digest(bytes)), sum, "{file}");
            count += 1;
        }
        let files = std::fs::read_dir(&dir).unwrap().flatten();
        let scripts = files.filter(|file| file.path().extension().is_some_and(|e| e == "js"));
        assert_eq!(scripts.count(), count, "a file is not in the list");
    }
}
