//! `GET /metrics`: what was recorded, and how hosts stand now.

use crate::dashboard::live::model::FleetView;
use crate::dashboard::metrics;
use crate::domain::compartment::{Compartment, Status};

/// All statuses a compartment can have.
const STATUSES: [Status; 5] =
    [Status::Ok, Status::Outdated, Status::Error, Status::Working, Status::Unknown];

/// The metrics as Prometheus reads them. The error says what could not be written.
pub(crate) fn text(view: &FleetView) -> Result<String, String> {
    for compartment in Compartment::ALL {
        for status in STATUSES {
            let hosts = view.hosts.values();
            let count =
                hosts.filter(|host| host.snapshot.row[compartment].status == status).count();
            metrics::hosts(compartment, status, count);
        }
    }
    metrics::hosts_online(view.hosts.values().filter(|host| host.snapshot.online).count());
    metrics::rollouts_running(view.rollouts.iter().filter(|rollout| !rollout.is_over()).count());
    metrics::text()
}
