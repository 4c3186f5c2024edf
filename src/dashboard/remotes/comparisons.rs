//! Which commits are to be compared next, and what is known of that.
//!
//! Hosts name commits, and each that was not compared yet may cost a request of the forge's limit.
//! So a host has one question at a time, the ones that asked least go first, and a host that named
//! a commit which the forge does not know waits a minute, and never before others (finding 11 of
//! the security review).

use crate::domain::facts::{Comparison, Relation};
use crate::domain::ids::{Commit, HostId};
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How many comparisons of commits are kept. They never change.
const KEPT: usize = 4096;
/// How often commits of one host that a forge does not know are compared, and for how long such a
/// commit is not asked about again.
pub(super) const UNKNOWN_AGAIN: Duration = Duration::from_secs(60);

/// A host's commit and the remote's head.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) host: Commit,
    pub(super) head: Commit,
}

impl Pair {
    /// A commit equals its own prefix, so it is no key.
    fn texts(&self) -> (&str, &str) {
        (self.host.as_str(), self.head.as_str())
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.texts() == other.texts()
    }
}

impl Eq for Pair {}

impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts().hash(state);
    }
}

/// Who is told how a pair relates, or why that cannot be told.
pub(super) type Tell = oneshot::Sender<Result<Comparison, String>>;

struct Question {
    pair: Pair,
    since: Instant,
    tell: Tell,
}

/// What a host has asked before.
#[derive(Default, Clone, Copy)]
struct History {
    asked: Option<Instant>,
    named_unknown: Option<Instant>,
}

/// The questions of all hosts that follow one source.
pub(super) struct Comparisons {
    /// How long a host waits after a commit that nobody knows.
    pause: Duration,
    known: HashMap<Pair, Comparison>,
    /// Commits that the remote does not know, and since when.
    unknown: HashMap<String, Instant>,
    waiting: BTreeMap<HostId, Question>,
    history: BTreeMap<HostId, History>,
}

fn not_on_branch() -> Comparison {
    Comparison { relation: Relation::NotOnBranch, missing: Arc::default() }
}

impl Comparisons {
    /// No questions yet. `pause` is [`UNKNOWN_AGAIN`] where a comparison costs something.
    pub(super) fn new(pause: Duration) -> Self {
        Self {
            pause,
            known: HashMap::new(),
            unknown: HashMap::new(),
            waiting: BTreeMap::new(),
            history: BTreeMap::new(),
        }
    }

    /// Takes a host's question. What is known is answered at once; an older question of the host
    /// is forgotten.
    pub(super) fn ask(&mut self, by: HostId, pair: Pair, tell: Tell, now: Instant) {
        if let Some(known) = self.answer(&pair, now) {
            // Whoever asked may be gone in between.
            let _ = tell.send(Ok(known));
            return;
        }
        self.waiting.insert(by, Question { pair, since: now, tell });
    }

    fn answer(&self, pair: &Pair, now: Instant) -> Option<Comparison> {
        if let Some(known) = self.known.get(pair) {
            return Some(known.clone());
        }
        let since = self.unknown.get(pair.host.as_str())?;
        let is_recent = now.duration_since(*since) < self.pause;
        if is_recent { Some(not_on_branch()) } else { None }
    }

    /// The pair to compare next, if one may be compared now. It counts as asked.
    pub(super) fn next(&mut self, now: Instant) -> Option<Pair> {
        let rank = |host: &HostId, question: &Question| {
            let history = self.history.get(host).copied().unwrap_or_default();
            (history.named_unknown.is_some(), history.asked, question.since)
        };
        let waiting = self.waiting.iter().filter(|(host, _)| self.may_ask(host, now));
        let (host, question) = waiting.min_by_key(|(host, question)| rank(host, question))?;
        let (host, pair) = (host.clone(), question.pair.clone());
        if self.history.len() >= KEPT {
            let is_recent = |at: Instant| now.duration_since(at) < self.pause;
            self.history.retain(|_, history| history.asked.is_some_and(is_recent));
        }
        self.history.entry(host).or_default().asked = Some(now);
        Some(pair)
    }

    fn may_ask(&self, host: &HostId, now: Instant) -> bool {
        let named_unknown = self.history.get(host).and_then(|history| history.named_unknown);
        named_unknown.is_none_or(|at| now.duration_since(at) >= self.pause)
    }

    /// Takes what the remote says about a pair (`None`: it does not know the host's commit) and
    /// tells everybody who waits for it.
    pub(super) fn compared(&mut self, pair: &Pair, comparison: Option<Comparison>, now: Instant) {
        let askers = self.take(pair);
        for (host, _) in &askers {
            let history = self.history.entry(host.clone()).or_default();
            history.named_unknown = if comparison.is_none() { Some(now) } else { None };
        }
        let answer = match comparison {
            Some(comparison) => {
                if self.known.len() >= KEPT {
                    self.known.clear();
                }
                self.known.insert(pair.clone(), comparison.clone());
                comparison
            }
            None => {
                self.unknown.retain(|_, since| now.duration_since(*since) < self.pause);
                self.unknown.insert(pair.host.to_string(), now);
                not_on_branch()
            }
        };
        for (_, question) in askers {
            let _ = question.tell.send(Ok(answer.clone()));
        }
    }

    /// Tells everybody who waits for a pair that it cannot be compared.
    pub(super) fn failed(&mut self, pair: &Pair, reason: &str) {
        for (_, question) in self.take(pair) {
            let _ = question.tell.send(Err(reason.to_owned()));
        }
    }

    fn take(&mut self, pair: &Pair) -> Vec<(HostId, Question)> {
        let asks = |_: &HostId, question: &mut Question| question.pair == *pair;
        self.waiting.extract_if(.., asks).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u32) -> HostId {
        HostId::parse(&format!("h{n}")).unwrap()
    }

    fn pair(n: u32) -> Pair {
        let host = Commit::parse(&format!("{n:040x}")).unwrap();
        Pair { host, head: Commit::parse(&"f".repeat(40)).unwrap() }
    }

    type Told = oneshot::Receiver<Result<Comparison, String>>;

    fn ask(comparisons: &mut Comparisons, by: u32, about: u32, now: Instant) -> Told {
        let (tell, told) = oneshot::channel();
        comparisons.ask(host(by), pair(about), tell, now);
        told
    }

    fn behind() -> Option<Comparison> {
        let relation = Relation::Behind { commits: 1, lock_commits: 0 };
        Some(Comparison { relation, missing: Arc::default() })
    }

    #[test]
    fn a_pair_is_compared_once_for_all_who_wait_and_never_again() {
        let now = Instant::now();
        let mut comparisons = Comparisons::new(UNKNOWN_AGAIN);
        let mut told: Vec<Told> = (0..3).map(|by| ask(&mut comparisons, by, 1, now)).collect();
        assert_eq!(comparisons.next(now), Some(pair(1)));
        comparisons.compared(&pair(1), behind(), now);
        assert_eq!(comparisons.next(now), None);
        told.push(ask(&mut comparisons, 4, 1, now));
        for mut told in told {
            assert_eq!(told.try_recv().unwrap(), Ok(behind().unwrap()));
        }
    }

    #[test]
    fn a_host_has_one_question_and_the_newer_one_counts() {
        let now = Instant::now();
        let mut comparisons = Comparisons::new(UNKNOWN_AGAIN);
        let mut old = ask(&mut comparisons, 1, 1, now);
        let _new = ask(&mut comparisons, 1, 2, now);
        assert_eq!(old.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(comparisons.next(now), Some(pair(2)));
        comparisons.failed(&pair(2), "no");
        assert_eq!(comparisons.next(now), None);
    }

    /// Finding 11 of the security review.
    #[test]
    fn commits_that_nobody_knows_are_asked_about_once_a_minute_and_after_all_others() {
        let mut now = Instant::now();
        let mut comparisons = Comparisons::new(UNKNOWN_AGAIN);
        let mut asked = 0;
        // A host makes up a commit a second, for ten minutes.
        for second in 0..600 {
            now += Duration::from_secs(1);
            let _told = ask(&mut comparisons, 1, 1000 + second, now);
            if let Some(next) = comparisons.next(now) {
                asked += 1;
                comparisons.compared(&next, None, now);
            }
        }
        assert_eq!(asked, 10);
        now += Duration::from_secs(120);
        let _strange = ask(&mut comparisons, 1, 7000, now);
        let _other = ask(&mut comparisons, 2, 1, now + Duration::from_secs(1));
        assert_eq!(comparisons.next(now), Some(pair(1)));
    }

    #[test]
    fn an_unknown_commit_is_not_on_the_branch_and_may_become_known_later() {
        let now = Instant::now();
        let mut comparisons = Comparisons::new(UNKNOWN_AGAIN);
        let mut first = ask(&mut comparisons, 1, 1, now);
        comparisons.next(now);
        comparisons.compared(&pair(1), None, now);
        assert_eq!(first.try_recv().unwrap(), Ok(not_on_branch()));
        let mut again = ask(&mut comparisons, 2, 1, now);
        assert_eq!(again.try_recv().unwrap(), Ok(not_on_branch()));
        let later = now + UNKNOWN_AGAIN;
        let _told = ask(&mut comparisons, 1, 1, later);
        assert_eq!(comparisons.next(later), Some(pair(1)));
    }

    #[test]
    fn the_host_that_asked_least_is_next() {
        let now = Instant::now();
        let mut comparisons = Comparisons::new(UNKNOWN_AGAIN);
        let _a = ask(&mut comparisons, 1, 1, now);
        comparisons.next(now);
        comparisons.compared(&pair(1), behind(), now);
        let _b = ask(&mut comparisons, 1, 2, now);
        let _c = ask(&mut comparisons, 2, 3, now + Duration::from_secs(5));
        assert_eq!(comparisons.next(now), Some(pair(3)));
    }
}
