//! One round of one scenario with one subject.

mod guard;
mod hostile;
mod load;
mod siege;
mod soak;
mod user;

use crate::options::{Options, Scenario};
use crate::report::Figure;
use crate::server::Prepared;
use tokio::task::LocalSet;

/// Runs it; answers the figures.
pub(crate) fn run(
    scenario: Scenario,
    options: &Options,
    prepared: &Prepared,
) -> anyhow::Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Agents and browsers are tasks of this one thread: the other processor is the server's.
    LocalSet::new().block_on(&runtime, async {
        match scenario {
            Scenario::Open => load::open(options, prepared).await,
            Scenario::Closed => load::closed(options, prepared).await,
            Scenario::Browsers => load::browsers(options, prepared).await,
            Scenario::Pages => user::pages(options, prepared).await,
            Scenario::Clicks => user::clicks(options, prepared).await,
            Scenario::Logs => user::logs(options, prepared).await,
            Scenario::Start => user::start(options, prepared).await,
            Scenario::Soak => soak::run(options, prepared).await,
            Scenario::Siege => siege::run(options, prepared).await,
            Scenario::Guard => guard::run(options, prepared).await,
            Scenario::Hostile => hostile::run(options, prepared).await,
        }
    })
}
