//! Which remotes there are, what each says, and which one a host follows.

pub mod fetcher;
pub mod source;

use crate::dashboard::clock::Clock;
use crate::dashboard::config::{DashboardConfig, NamedSource, SourceSetting};
use crate::dashboard::live::Attention;
use crate::dashboard::live::model::{Remotes, SourceState};
use crate::dashboard::live::news::WasRead;
use crate::domain::desired::{Desired, MergedPr, same_repository};
use actix::prelude::*;
use fetcher::{Publish, VersionFetcher};
use source::Opening;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One remote.
pub struct Seat {
    /// Its name.
    pub name: Arc<str>,
    /// Reads it; `None` if no source is configured.
    pub fetcher: Option<Addr<VersionFetcher>>,
    /// What it said last.
    pub desired: Arc<Desired>,
    address: String,
    branch: String,
}

/// All remotes, the default first. There is always one: without a configured source it is
/// one that says so.
pub struct Seats(Vec<Seat>);

/// What fetchers need of the house.
pub struct House<'a> {
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
        SourceSetting::Git(url) | SourceSetting::VersionJson(url) => url.clone(),
    }
}

impl Seats {
    /// Before any source was started.
    pub fn starting() -> Self {
        Self::only(Desired::NotYetFetched)
    }

    fn only(desired: Desired) -> Self {
        Self(vec![Seat {
            name: "default".into(),
            fetcher: None,
            desired: Arc::new(desired),
            address: String::new(),
            branch: String::new(),
        }])
    }

    /// Starts a fetcher for each source that is configured.
    pub fn start(house: &House<'_>) -> Self {
        let config = house.config;
        if config.sources.is_empty() {
            return Self::only(Desired::NotConfigured { setting: "NIXFLEET_SOURCE".to_owned() });
        }
        let start = |source: &NamedSource| {
            let name: Arc<str> = source.name.as_str().into();
            let fetcher = VersionFetcher::new(fetcher::Settings {
                name: Arc::clone(&name),
                opening: Opening {
                    setting: source.setting.clone(),
                    branch: source.branch.clone(),
                    data_dir: config.data_dir.clone(),
                    github_api: config.github_api.clone(),
                    github_token: config.github_token.clone(),
                    pull_requests: config.pull_requests.clone(),
                },
                ttl: config.fetch_ttl,
                attention: house.attention.clone(),
                subscriber: house.subscriber.clone(),
                readings: house.readings.clone(),
                clock: house.clock,
            });
            Seat {
                name,
                fetcher: Some(fetcher.start()),
                desired: Arc::new(Desired::NotYetFetched),
                address: address(source),
                branch: source.branch.clone(),
            }
        };
        Self(config.sources.iter().map(start).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.0.iter()
    }

    /// The one of that name; without a name the default.
    pub fn named(&self, name: Option<&str>) -> Option<&Seat> {
        match name {
            Some(name) => self.0.iter().find(|seat| *seat.name == *name),
            None => self.0.first(),
        }
    }

    /// Takes over what a source says. Returns its number, if there is such a source.
    pub fn learn(&mut self, name: &str, desired: Arc<Desired>) -> Option<usize> {
        let at = self.0.iter().position(|seat| *seat.name == *name)?;
        self.0[at].desired = desired;
        Some(at)
    }

    /// The number of the source that a host follows: the one with its repository and its
    /// branch, else the default.
    pub fn followed_by(&self, repo_url: &str, branch: Option<&str>) -> usize {
        let follows = |seat: &Seat| {
            same_repository(&seat.address, repo_url)
                && branch.is_none_or(|branch| branch == seat.branch)
        };
        self.0.iter().position(follows).unwrap_or(0)
    }

    /// The source with that number; the default if there is none.
    pub fn get(&self, number: usize) -> Option<&Seat> {
        self.0.get(number).or(self.0.first())
    }

    /// For pages and API. `merged` is what was last merged from here, by source.
    pub fn states(&self, merged: &BTreeMap<String, MergedPr>) -> Remotes {
        let state = |seat: &Seat| SourceState {
            name: Arc::clone(&seat.name),
            desired: Arc::clone(&seat.desired),
            merged: merged.get(&*seat.name).cloned(),
        };
        Arc::new(self.0.iter().map(state).collect())
    }
}
