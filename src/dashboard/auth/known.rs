//! Who logged in before: addresses, which are stored, and browsers, which keep a signed cookie.
//! They get in no easier, but an attacker cannot use up their tries (finding 15).

use super::limiter::Source;
use super::{Auth, LoginError, Peer, random_token, same};
use crate::dashboard::store::{StoreError, settings};
use crate::domain::timestamp::Timestamp;
use rusqlite::Connection;
use std::time::Duration;

/// Addresses are stored below this.
const ADDRESS: &str = "login-address/";
/// So many addresses are kept, the newest.
const ADDRESSES: usize = 256;
/// An address or a browser is known for so long after its last login.
pub(crate) const KNOWN_FOR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The addresses from which somebody logged in lately.
pub(super) fn addresses(conn: &Connection) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let stored = settings::below(conn, ADDRESS)?.into_iter();
    Ok(stored.filter_map(|(name, at)| Some((name, Timestamp::parse(&at)?))).collect())
}

/// Remembers an address; the oldest go where there are too many.
pub(super) fn remember(conn: &Connection, peer: &str, now: Timestamp) -> Result<(), StoreError> {
    settings::set(conn, &format!("{ADDRESS}{peer}"), &now.to_string())?;
    let mut all = addresses(conn)?;
    all.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    for (name, _) in all.iter().skip(ADDRESSES) {
        settings::remove(conn, &format!("{ADDRESS}{name}"))?;
    }
    Ok(())
}

impl Auth {
    /// For whom a try to log in counts. `browser` is the cookie that tells who logged in before.
    pub(super) async fn source(
        &self,
        peer: &Peer,
        browser: Option<&str>,
    ) -> Result<Source, LoginError> {
        if let Some(id) = browser.and_then(|cookie| self.known_browser(cookie)) {
            return Ok(Source::Browser(id));
        }
        let counted = peer.counted();
        let (key, now) = (counted.to_string(), self.clock.now());
        let last = self.store.read(move |conn| settings::get(conn, &format!("{ADDRESS}{key}")));
        let last = last.await?.and_then(|at| Timestamp::parse(&at));
        let known = last.is_some_and(|at| now.since(at) < KNOWN_FOR);
        Ok(if known { Source::Address(counted) } else { Source::Stranger(counted) })
    }

    /// A cookie for a browser in which somebody just logged in.
    pub(super) fn browser_cookie(&self) -> Result<String, LoginError> {
        let id = format!("{}.{}", random_token()?, self.clock.now().as_millis());
        let signed = self.mac("browser:", &id);
        Ok(format!("{id}.{signed}"))
    }

    /// The id of a browser whose cookie is ours and not too old.
    fn known_browser(&self, cookie: &str) -> Option<String> {
        let (id, signed) = cookie.rsplit_once('.')?;
        if !same(&self.mac("browser:", id), signed) {
            return None;
        }
        let at = id.rsplit_once('.')?.1.parse().ok().map(Timestamp::from_millis)?;
        (self.clock.now().since(at) < KNOWN_FOR).then(|| id.to_owned())
    }
}
