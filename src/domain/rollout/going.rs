//! Who begins when: waves, limits, pauses, and what users do about them.

use super::held_back::may_be_held_back;
use super::*;

impl Rollout {
    /// How many hosts begin in each wave. Earlier versions knew one host before all others.
    pub(super) fn wave_sizes(&self) -> Vec<usize> {
        let part = self.hosts.values().filter(|p| !matches!(p, Progress::LeftOut { .. })).count();
        match (self.waves.is_empty(), self.one_first) {
            (false, _) => self.waves.clone(),
            (true, true) => sizes(&[Wave::Hosts(1)], part),
            (true, false) => vec![part],
        }
    }

    /// How many waves there are.
    pub fn waves(&self) -> usize {
        self.wave_sizes().len()
    }

    fn is_last_wave(&self, sizes: &[usize]) -> bool {
        self.wave + 1 >= sizes.len()
    }

    /// The hosts that began in the wave that is under way.
    fn members(&self) -> impl Iterator<Item = (&HostId, &Progress)> {
        self.hosts.iter().filter_map(|(host, progress)| {
            let wave = self.began.get(host).copied();
            // Earlier versions did not note it.
            let begun = progress.has_begun() || matches!(progress, Progress::Done { .. });
            let wave = wave.or_else(|| begun.then_some(0));
            (wave == Some(self.wave)).then_some((host, progress))
        })
    }

    /// Somebody of the wave is on the way. Who is kept by something else than a command or the
    /// limit, such as its window, holds nobody up.
    fn is_under_way(&self) -> bool {
        self.members().any(|(host, progress)| match progress {
            Progress::Running { .. } => true,
            Progress::Waiting { step, until, .. } => {
                until.is_none() && self.held_back(host, *step).is_none()
            }
            _ => false,
        })
    }

    fn some_succeeded(&self) -> bool {
        self.members().any(|(_, progress)| matches!(progress, Progress::Done { .. }))
    }

    /// Whether another host may begin now.
    fn has_room(&self, sizes: &[usize]) -> bool {
        if self.is_last_wave(sizes) {
            return true;
        }
        let size = sizes.get(self.wave).copied().unwrap_or(usize::MAX);
        // A wave in which nobody succeeded is not done: the next host takes the place.
        let again = !self.is_under_way() && !self.some_succeeded();
        self.soaks.is_none() && (self.members().count() < size || again)
    }

    /// Whether a host waits for its turn, and for nothing else; or (`back`) for the end of a freeze
    /// or for its window.
    fn somebody_waits(&self, back: bool) -> bool {
        self.hosts.iter().any(|(host, progress)| {
            let is_first = matches!(progress, Progress::Waiting { step: 0, why: None, .. });
            is_first && self.held_back(host, 0).is_some() == back
        })
    }

    fn somebody_is_free(&self) -> bool {
        self.somebody_waits(false)
    }

    /// Goes on to the next wave once this one is done, and has been looked at.
    fn next_wave(&mut self, sizes: &[usize], now: Moment) {
        while !self.is_last_wave(sizes) {
            let size = sizes.get(self.wave).copied().unwrap_or(usize::MAX);
            let is_full = self.members().count() >= size || !self.somebody_is_free();
            let is_done = !self.is_under_way() && is_full && self.some_succeeded();
            // Who is left is kept by something: the last wave has room for all of them.
            // A window opens for many at once: they begin in waves then.
            let is_empty = self.members().next().is_none()
                && !self.somebody_is_free()
                && !self.somebody_waits(true);
            if !is_done && !is_empty {
                self.soaks = None;
                return;
            }
            if self.soak > 0 && is_done {
                let soak = Duration::from_secs(self.soak);
                let soaks =
                    *self.soaks.get_or_insert(Soak { ends: now.at + soak, until: now.up + soak });
                if soaks.until > now.up {
                    return;
                }
            }
            self.begin_next_wave();
        }
        self.soaks = None;
    }

    /// What failed before is borne: the waves before stay as they are.
    fn begin_next_wave(&mut self) {
        self.soaks = None;
        self.wave += 1;
        self.way_back.failed.clear();
    }

    /// Starts what may start, ends what may not. `before`: what it was before what just happened.
    pub(super) fn go_on(
        &mut self,
        before: &Self,
        ready: &BTreeSet<HostId>,
        now: Moment,
        new_id: &mut dyn FnMut() -> CommandId,
    ) -> Vec<Effect> {
        // What has waited for too long is over before it is decided who may start. What ends while
        // it is paused counts too: a pause keeps nobody from going back.
        self.give_up_waiting(now);
        self.note_failures(before);
        self.halt_after_failures();
        if self.halted.is_some() {
            self.paused = None;
            for progress in self.hosts.values_mut() {
                if let Progress::Waiting { step, .. } = progress {
                    *progress = Progress::Skipped { step: *step };
                }
            }
            return self.take_back(ready, now, new_id);
        }
        if self.paused.is_some() {
            return Vec::new();
        }
        let sizes = self.wave_sizes();
        self.next_wave(&sizes, now);
        let mut deploying = self.running().filter(|(_, step, _)| self.deploys(*step)).count();
        let mut asks = Vec::new();
        let hosts: Vec<HostId> = self.hosts.keys().cloned().collect();
        for host in hosts {
            let Some(Progress::Waiting { step, since, until, away, why }) = self.hosts.get(&host)
            else {
                continue;
            };
            let (step, kept) = (*step, Kept { since: *since, until: *until, away: *away });
            let still_kept = why.is_some() && !ready.contains(&host);
            if self.held_back(&host, step).is_some() {
                if why.is_some() && !still_kept {
                    // It is back, or free: nothing else keeps it now.
                    self.hosts.insert(host, Progress::next(step));
                }
                continue;
            }
            if still_kept
                || (self.deploys(step) && deploying >= self.at_once.max(1) as usize)
                || (step == 0 && !self.has_room(&sizes))
            {
                continue;
            }
            let Some(op) = self.steps.get(step).copied() else {
                continue;
            };
            deploying += usize::from(self.deploys(step));
            let wave = self.wave;
            self.began.entry(host.clone()).or_insert(wave);
            let id = new_id();
            asks.push(Effect::Ask { host: host.clone(), id, op });
            self.hosts.insert(host, Progress::running(step, id, kept));
        }
        // Who is back is in a step of its wave again: that is not looked at only when something else
        // happens.
        if self.is_under_way() {
            self.soaks = None;
        }
        asks
    }

    /// Remembers in which waves those began that failed just now: they go back if it halts by that,
    /// or does already.
    fn note_failures(&mut self, before: &Self) {
        let failed = |all: &Self, host: &HostId| {
            matches!(all.hosts.get(host), Some(Progress::Failed { .. }))
        };
        let new = self.hosts.keys().filter(|host| failed(self, host) && !failed(before, host));
        let wave = |host: &HostId| self.began.get(host).copied().unwrap_or(self.wave);
        let waves: BTreeSet<usize> = new.map(wave).collect();
        if !self.way_back.waves.is_empty() {
            self.way_back.waves.extend(waves);
        } else {
            self.way_back.failed.extend(waves);
        }
    }

    fn halt_after_failures(&mut self) {
        let Counts { failed, done, .. } = self.counts();
        if let Some(most) = self.stop_after
            && self.halted.is_none()
            && failed >= most as usize
        {
            self.fails(format!("{failed} failed"));
        }
        if self.one_first && self.halted.is_none() && done == 0 && failed > 0 {
            self.fails("the first host failed".to_owned());
        }
    }

    fn fails(&mut self, why: String) {
        self.halted = Some(why);
        if self.way_back.on_failure == OnFailure::RollBack {
            let failed = std::mem::take(&mut self.way_back.failed);
            self.way_back.waves = if failed.is_empty() { [self.wave].into() } else { failed };
        }
    }

    /// Hosts that something other than the limit kept for too long: one that was away is left out,
    /// any other counts as failed.
    fn give_up_waiting(&mut self, now: Moment) {
        if self.halted.is_some() || self.paused.is_some() {
            return;
        }
        for (host, progress) in &mut self.hosts {
            let Progress::Waiting { step, until: Some(until), away, why, .. } = progress else {
                continue;
            };
            let is_held = self.held_back.contains_key(host) && may_be_held_back(&self.steps, *step);
            if *until > now.up || is_held {
                continue;
            }
            *progress = if *away {
                Progress::LeftOut { why: "away for a day".to_owned() }
            } else {
                let minutes = PATIENCE.as_secs() / 60;
                let why = format!("waited {minutes} minutes. {}", why.take().unwrap_or_default());
                Progress::Failed { step: *step, why }
            };
        }
    }

    /// Whether the step takes one of the places: it changes what runs, or ends it for a while.
    pub(super) fn deploys(&self, step: usize) -> bool {
        let takes = |op: &Operation| op.rules().deploys || *op == Operation::Reboot;
        self.steps.get(step).is_some_and(takes)
    }

    /// Why a host waits, in words; `None` if it does not.
    pub fn waits_for(&self, host: &HostId) -> Option<String> {
        let Some(Progress::Waiting { step, why, .. }) = self.hosts.get(host) else {
            return None;
        };
        if let Some(by) = &self.paused {
            return Some(format!("paused by {by}"));
        }
        if let Some(why) = self.held_back(host, *step).or(why.as_ref()) {
            return Some(why.clone());
        }
        let (sizes, wave) = (self.wave_sizes(), self.wave + 1);
        Some(match self.soaks {
            Some(_) if *step == 0 => {
                format!("wave {} begins when wave {wave} has soaked", wave + 1)
            }
            _ if *step == 0 && !self.has_room(&sizes) => {
                format!("wave {wave} of {} is under way", sizes.len())
            }
            _ => format!("{} at once: the next place that is free", self.at_once),
        })
    }

    fn is_live(&self) -> bool {
        !self.is_over() && self.halted.is_none()
    }

    fn said(&self, what: &str, by: Author) -> Option<Effect> {
        Some(Effect::Record { message: format!("{} {what}.", self.title()), by: Some(by) })
    }

    pub(super) fn pause(&mut self, by: Author) -> Option<Effect> {
        if !self.is_live() || self.paused.is_some() {
            return None;
        }
        self.paused = Some(by.clone());
        self.said("was paused", by)
    }

    /// What was kept before counts from now on: nobody could take their step meanwhile.
    pub(super) fn resume(&mut self, by: Author, now: Moment) -> Option<Effect> {
        self.paused.take()?;
        for since in self.held_since.values_mut() {
            *since = now.up;
        }
        for progress in self.hosts.values_mut() {
            if let Progress::Waiting { until: Some(until), away, .. } = progress {
                *until = now.up + if *away { AWAY } else { PATIENCE };
            }
        }
        self.said("was resumed", by)
    }

    /// Whether there is a next wave to begin.
    pub fn may_promote(&self) -> bool {
        self.is_live() && !self.is_last_wave(&self.wave_sizes())
    }

    pub(super) fn promote(&mut self, by: Author) -> Option<Effect> {
        if !self.may_promote() {
            return None;
        }
        self.begin_next_wave();
        self.said(&format!("went on to wave {}", self.wave + 1), by)
    }

    pub(super) fn leave_out(&mut self, host: &HostId, by: Author) -> Option<Effect> {
        let progress = self.hosts.get_mut(host)?;
        if !matches!(progress, Progress::Waiting { .. }) {
            return None;
        }
        *progress = Progress::LeftOut { why: format!("left out by {by}") };
        self.said(&format!("leaves out {host}"), by)
    }
}
