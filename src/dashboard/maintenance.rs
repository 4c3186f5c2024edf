//! What is kept to now. One value for the whole dashboard: the rollouts' actor changes it as soon as a
//! change is stored, and before that is answered; a host looks at it before anything begins there.

use crate::domain::maintenance::{Maintenance, Restraints};
use crate::domain::tag::Tags;
use crate::domain::timestamp::Timestamp;
use jiff::tz::TimeZone;
use std::sync::{Arc, PoisonError, RwLock};

/// The freeze and the windows that are kept to.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<RwLock<Arc<Maintenance>>>);

impl Kept {
    /// As it was stored.
    pub(crate) fn new(maintenance: Maintenance) -> Self {
        let kept = Self::default();
        kept.set(maintenance);
        kept
    }

    /// As it is now. A freeze that is over may still be in it.
    pub(crate) fn get(&self) -> Arc<Maintenance> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this.
    pub(crate) fn set(&self, maintenance: Maintenance) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(maintenance);
    }

    /// All that holds a host with these tags back.
    pub(crate) fn restraints(&self, tags: &Tags, now: Timestamp) -> Restraints {
        self.get().restraints(tags, now, &zone)
    }
}

/// The rules of a time zone.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}
