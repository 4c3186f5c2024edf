//! Which remotes there are, what each says, and which one a host follows.

mod comparisons;
pub(crate) mod fetcher;
pub(crate) mod pull_requests;
pub(crate) mod requests;
pub(crate) mod source;
#[cfg(test)]
mod tests;
mod worker;

use crate::dashboard::clock::Clock;
use crate::dashboard::config::{DashboardConfig, NamedSource, SourceSetting};
use crate::dashboard::live::Attention;
use crate::dashboard::live::model::{Remotes, SourceState};
use crate::dashboard::live::news::WasRead;
use crate::domain::desired::{Desired, MergedPr, same_repository};
use crate::domain::forge::{Forge, ForgeKind};
use actix::prelude::*;
use comparisons::UNKNOWN_AGAIN;
use fetcher::{Limits, Settings, VersionFetcher};
use requests::Publish;
use source::Opening;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a remote may take to answer. Each of its requests has a shorter limit of its own.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// As long may git take that brings a whole history.
const HISTORY_WITHIN: Duration = Duration::from_secs(300);

/// One remote.
pub(crate) struct Seat {
    /// Its name.
    pub name: Arc<str>,
    /// Reads it; `None` if no source is configured.
    pub fetcher: Option<Addr<VersionFetcher>>,
    /// What it said last.
    pub desired: Arc<Desired>,
    settings: Option<Settings>,
    address: String,
    branch: String,
}

/// All remotes, the default first. There is always one: without a configured source it is
/// one that says so.
pub(crate) struct Seats(Vec<Seat>);

/// What fetchers need of the house.
pub(crate) struct House<'a> {
    /// The settings.
    pub config: &'a DashboardConfig,
    /// Whether somebody looks.
    pub attention: &'a Attention,
    /// Who is told what is new.
    pub subscriber: Recipient<Publish>,
    /// Who is told when it was read.
    pub readings: Recipient<WasRead>,
    /// The time.
    pub clock: Clock,
}

fn address(source: &NamedSource) -> String {
    match &source.setting {
        SourceSetting::GitHub { owner, repo } => format!("github:{owner}/{repo}"),
        SourceSetting::Gitea { site, owner, repo } => format!("{site}/{owner}/{repo}"),
        SourceSetting::Git(url) | SourceSetting::VersionJson(url) => url.clone(),
    }
}

impl Seat {
    fn start(settings: Settings, address: String) -> Self {
        let desired = Arc::new(Desired::NotYetFetched);
        let fetcher = VersionFetcher::new(settings.clone(), Arc::clone(&desired));
        Self {
            name: Arc::clone(&settings.name),
            fetcher: Some(fetcher.start()),
            desired,
            address,
            branch: settings.branch.clone(),
            settings: Some(settings),
        }
    }
}

/// What a source is opened with.
pub(crate) fn opening(config: &DashboardConfig, source: &NamedSource) -> Opening {
    Opening {
        setting: source.setting.clone(),
        branch: source.branch.clone(),
        data_dir: config.data_dir.clone(),
        github_api: config.github_api.clone(),
        github_token: config.github_token.clone(),
        gitea_token: config.gitea_token.clone(),
        ssh_key: config.ssh_key.clone(),
        pull_requests: config.pull_requests.clone(),
    }
}

/// Where the forge of a source has pages of it, if that is known.
fn forge(config: &DashboardConfig, source: &NamedSource) -> Option<Forge> {
    match &source.setting {
        SourceSetting::GitHub { owner, repo } => {
            Forge::at(ForgeKind::GitHub, &source::github_address(&config.github_api, owner, repo))
        }
        SourceSetting::Gitea { site, owner, repo } => {
            Forge::at(ForgeKind::Gitea, &format!("{site}/{owner}/{repo}"))
        }
        SourceSetting::Git(url) => Forge::of(url),
        SourceSetting::VersionJson(_) => None,
    }
}

fn settings(house: &House<'_>, source: &NamedSource) -> Settings {
    let config = house.config;
    let opening = opening(config, source);
    let is_read_by_git = match source.setting {
        SourceSetting::Git(_) | SourceSetting::Gitea { .. } => true,
        SourceSetting::GitHub { .. } => config.github_token.is_none(),
        SourceSetting::VersionJson(_) => false,
    };
    let (first, unknown_pause) = if is_read_by_git {
        // The clone answers comparisons for nothing.
        (HISTORY_WITHIN, Duration::ZERO)
    } else {
        (ANSWERS_WITHIN, UNKNOWN_AGAIN)
    };
    Settings {
        name: source.name.as_str().into(),
        branch: source.branch.clone(),
        forge: forge(config, source),
        open: Arc::new(move || source::open(&opening)),
        limits: Limits { first, later: ANSWERS_WITHIN },
        unknown_pause,
        ttl: config.fetch_ttl,
        attention: house.attention.clone(),
        subscriber: house.subscriber.clone(),
        readings: house.readings.clone(),
        clock: house.clock,
    }
}

impl Seats {
    /// Before any source was started.
    pub(crate) fn starting() -> Self {
        Self::only(Desired::NotYetFetched)
    }

    fn only(desired: Desired) -> Self {
        Self(vec![Seat {
            name: "default".into(),
            fetcher: None,
            desired: Arc::new(desired),
            settings: None,
            address: String::new(),
            branch: String::new(),
        }])
    }

    /// One source, for tests.
    #[cfg(test)]
    fn of(settings: Settings) -> Self {
        Self(vec![Seat::start(settings, String::new())])
    }

    /// Starts a fetcher for each source that is configured.
    pub(crate) fn start(house: &House<'_>) -> Self {
        let config = house.config;
        if config.sources.is_empty() {
            return Self::only(Desired::NotConfigured { setting: "NIXFLEET_SOURCE".to_owned() });
        }
        let start = |source: &NamedSource| Seat::start(settings(house, source), address(source));
        Self(config.sources.iter().map(start).collect())
    }

    /// Starts each fetcher again that panicked. It goes on from what is known.
    pub(crate) fn look_after(&mut self) {
        for seat in &mut self.0 {
            let (Some(fetcher), Some(settings)) = (&seat.fetcher, &seat.settings) else {
                continue;
            };
            if fetcher.connected() {
                continue;
            }
            log::error!("{}: its reader failed and is started again", seat.name);
            let desired = Arc::clone(&seat.desired);
            seat.fetcher = Some(VersionFetcher::new(settings.clone(), desired).start());
        }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.0.iter()
    }

    /// The one of that name; without a name the default.
    pub(crate) fn named(&self, name: Option<&str>) -> Option<&Seat> {
        match name {
            Some(name) => self.0.iter().find(|seat| *seat.name == *name),
            None => self.0.first(),
        }
    }

    /// Takes over what a source says. Returns its number, if there is such a source.
    pub(crate) fn learn(&mut self, name: &str, desired: Arc<Desired>) -> Option<usize> {
        let at = self.0.iter().position(|seat| *seat.name == *name)?;
        self.0[at].desired = desired;
        Some(at)
    }

    /// The number of the source that a host follows: the one with its repository and its
    /// branch, else the default.
    pub(crate) fn followed_by(&self, repo_url: &str, branch: Option<&str>) -> usize {
        let follows = |seat: &Seat| {
            same_repository(&seat.address, repo_url)
                && branch.is_none_or(|branch| branch == seat.branch)
        };
        self.0.iter().position(follows).unwrap_or(0)
    }

    /// The source with that number; the default if there is none.
    pub(crate) fn get(&self, number: usize) -> Option<&Seat> {
        self.0.get(number).or(self.0.first())
    }

    /// For pages and API. `merged` is what was last merged from here, by source.
    pub(crate) fn states(&self, merged: &BTreeMap<String, MergedPr>) -> Remotes {
        let state = |seat: &Seat| SourceState {
            name: Arc::clone(&seat.name),
            desired: Arc::clone(&seat.desired),
            merged: merged.get(&*seat.name).cloned(),
        };
        Arc::new(self.0.iter().map(state).collect())
    }
}
