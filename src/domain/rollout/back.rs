//! A wave of which hosts failed, too many in all, goes back to what ran before it (spec: guard,
//! "Rollouts in waves": what a failure does).

use super::{AWAY, Effect, PATIENCE, Progress, Rollout};
use crate::domain::command::State;
use crate::domain::deploy::Deploy;
use crate::domain::generation::Generation;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::moment::{Moment, Uptime};
use crate::domain::refusal::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What happens when so many hosts failed that no further step starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// What is done stays.
    #[default]
    Halt,
    /// The hosts of the wave in which those began that failed go back to what they ran before it.
    RollBack,
}

impl OnFailure {
    /// Reads the name in the API; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "halt" => Some(Self::Halt),
            "roll_back" => Some(Self::RollBack),
            _ => None,
        }
    }
}

/// How a wave goes back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WayBack {
    /// Whether it does.
    pub on_failure: OnFailure,
    /// The command that last changed what runs on a host, or may have.
    pub brought: BTreeMap<HostId, CommandId>,
    /// In which waves those began that failed since the wave under way began, from 0.
    pub failed: BTreeSet<usize>,
    /// The waves that go back, from 0, once some do.
    pub waves: BTreeSet<usize>,
    /// How far each host is with that.
    pub hosts: BTreeMap<HostId, Back>,
}

/// How far a host is with going back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Back {
    /// Something keeps it from its rollback.
    Waiting {
        /// What.
        why: String,
        /// When it has been kept for long enough, by time that passed; `None`: as long as it takes.
        until: Option<Uptime>,
    },
    /// The rollback runs, or was asked for.
    Running {
        /// The command.
        command: CommandId,
        /// Until when it may be kept from starting.
        until: Option<Uptime>,
    },
    /// What ran before the wave runs again.
    RolledBack,
    /// There was nothing to go back from.
    Nothing {
        /// Why.
        why: String,
    },
    /// It did not go back.
    Failed {
        /// Why. May hold text of the host.
        why: String,
    },
}

impl Back {
    /// Whether nothing more comes.
    pub const fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting { .. } | Self::Running { .. })
    }
}

impl WayBack {
    pub(super) fn rolled_back(&self) -> usize {
        self.hosts.values().filter(|back| **back == Back::RolledBack).count()
    }

    /// The commands that are waited for.
    pub fn running(&self) -> impl Iterator<Item = (&HostId, CommandId)> {
        self.hosts.iter().filter_map(|(host, back)| match back {
            Back::Running { command, .. } => Some((host, *command)),
            _ => None,
        })
    }

    /// The hosts that something keeps from their rollback.
    pub fn kept(&self) -> impl Iterator<Item = &HostId> {
        let waits = |back: &Back| matches!(back, Back::Waiting { .. });
        self.hosts.iter().filter(move |(_, back)| waits(back)).map(|(host, _)| host)
    }

    /// Until when the host may be kept from the rollback that was asked for by this id.
    fn asked(&self, host: &HostId, id: CommandId) -> Option<Option<Uptime>> {
        match self.hosts.get(host) {
            Some(Back::Running { command, until }) if *command == id => Some(*until),
            _ => None,
        }
    }

    pub(super) fn accepted(&mut self, host: &HostId, asked: CommandId, command: CommandId) {
        if self.asked(host, asked).is_some() {
            self.hosts.insert(host.clone(), Back::Running { command, until: None });
        }
    }

    pub(super) fn refused(
        &mut self,
        host: &HostId,
        asked: CommandId,
        refusal: Refusal,
        now: Moment,
    ) {
        let Some(until) = self.asked(host, asked) else {
            return;
        };
        let why = refusal.message;
        let patience = if refusal.code == RefusalCode::HostOffline { AWAY } else { PATIENCE };
        let back = match refusal.code {
            RefusalCode::HostBusy | RefusalCode::HostActivating => {
                Back::Waiting { why, until: None }
            }
            code if code.passes() => {
                Back::Waiting { why, until: until.or(Some(now.up + patience)) }
            }
            _ => Back::Failed { why },
        };
        self.hosts.insert(host.clone(), back);
    }

    pub(super) fn has_nothing(&mut self, host: &HostId, asked: CommandId, why: String) {
        if self.asked(host, asked).is_some() {
            self.hosts.insert(host.clone(), Back::Nothing { why });
        }
    }

    pub(super) fn ended(
        &mut self,
        host: &HostId,
        command: CommandId,
        state: State,
        reason: Option<String>,
    ) {
        if self.asked(host, command).is_none() {
            return;
        }
        let back = if state == State::Succeeded {
            Back::RolledBack
        } else {
            let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            Back::Failed { why: format!("Rollback {}{why}", state.name().replace('_', " ")) }
        };
        self.hosts.insert(host.clone(), back);
    }

    pub(super) fn removed(&mut self, host: &HostId) {
        self.brought.remove(host);
        if let Some(back) = self.hosts.get_mut(host).filter(|back| !back.is_over()) {
            *back = Back::Failed { why: "it was removed".to_owned() };
        }
    }

    fn give_up_waiting(&mut self, now: Moment) {
        for back in self.hosts.values_mut() {
            if let Back::Waiting { why, until: Some(until) } = back
                && *until <= now.up
            {
                *back = Back::Failed { why: format!("waited for too long. {why}") };
            }
        }
    }
}

impl Rollout {
    /// The hosts of waves that go back that are not through with it: what they began ends first.
    fn to_take_back(&self) -> impl Iterator<Item = (&HostId, CommandId)> {
        let of_wave = |host: &HostId| {
            let wave = self.began.get(host).copied().unwrap_or(0);
            self.way_back.waves.contains(&wave)
        };
        let is_through = |host: &HostId| self.way_back.hosts.get(host).is_some_and(Back::is_over);
        let brought = self.way_back.brought.iter();
        brought.filter(move |(host, _)| of_wave(host) && !is_through(host)).map(|(h, c)| (h, *c))
    }

    /// Whether somebody is still to go back.
    pub fn goes_back(&self) -> bool {
        self.to_take_back().next().is_some()
    }

    /// Asks the hosts of these waves to go back, no more at once than may change what runs.
    pub(super) fn take_back(
        &mut self,
        ready: &BTreeSet<HostId>,
        now: Moment,
        new_id: &mut dyn FnMut() -> CommandId,
    ) -> Vec<Effect> {
        self.way_back.give_up_waiting(now);
        let steps = self.running().filter(|(_, step, _)| self.deploys(*step)).count();
        let taken = steps + self.way_back.running().count();
        let places = (self.at_once.max(1) as usize).saturating_sub(taken);
        let may_begin = |host: &HostId| match self.way_back.hosts.get(host) {
            None => true,
            Some(Back::Waiting { .. }) => ready.contains(host),
            Some(_) => false,
        };
        let is_still =
            |host: &HostId| !matches!(self.hosts.get(host), Some(Progress::Running { .. }));
        let due: Vec<(HostId, CommandId)> = self
            .to_take_back()
            .filter(|(host, _)| is_still(host) && may_begin(host))
            .take(places)
            .map(|(host, brought)| (host.clone(), brought))
            .collect();
        let ask = |(host, brought): (HostId, CommandId)| {
            let until = match self.way_back.hosts.get(&host) {
                Some(Back::Waiting { until, .. }) => *until,
                _ => None,
            };
            let id = new_id();
            self.way_back.hosts.insert(host.clone(), Back::Running { command: id, until });
            Effect::TakeBack { host, id, brought }
        };
        due.into_iter().map(ask).collect()
    }
}

/// The generation that ran before this command, where the host still runs what it brought; or why
/// there is nothing to go back from. `deploys` are those of the host, newest first.
pub fn way_back(
    deploys: &[Deploy],
    generations: &[Generation],
    brought: CommandId,
) -> Result<u64, String> {
    let Some(newest) = deploys.first().filter(|newest| newest.command_id == brought) else {
        let known = deploys.iter().any(|deploy| deploy.command_id == brought);
        let why = if known { "another deploy came since" } else { "it brought nothing" };
        return Err(why.to_owned());
    };
    if newest.waits_for_boot() {
        return Err("what it brought starts at the next boot, and does not run".to_owned());
    }
    let (Some(before), Some(after)) = (newest.before.running.as_deref(), newest.left()) else {
        return Err("the host does not tell what ran before".to_owned());
    };
    if before == after {
        return Err("it brought nothing new".to_owned());
    }
    let ran = generations.iter().filter(|known| known.store_path.as_deref() == Some(before));
    let number = ran.map(|known| known.generation).max();
    number.ok_or_else(|| "no generation is known that has what ran before".to_owned())
}
