//! A remote has a deadline of its own (B3 and B8 of the house's review): what hangs, panics or
//! answers too late does not stay green, and is not the end.

use super::Seats;
use super::fetcher::{Limits, Panic, Settings, VersionFetcher};
use super::pull_requests::{self, Order, Target};
use super::requests::{Compare, Merge, Publish, Refresh};
use super::source::{Allowance, Fetched, MergeError, Patience, Source, SourceError};
use crate::dashboard::clock::Clock;
use crate::dashboard::live::Attention;
use crate::dashboard::live::news::WasRead;
use crate::dashboard::request_error::RequestError;
use crate::dashboard::store::Store;
use crate::domain::audit::Author;
use crate::domain::desired::Desired;
use crate::domain::facts::{Comparison, LockState, Relation};
use crate::domain::ids::{Commit, HostId};
use crate::domain::timestamp::Timestamp;
use actix::prelude::*;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Fetch = Box<dyn FnOnce() -> Result<Fetched, SourceError> + Send>;

/// A source that does what a test says, fetch by fetch, whichever thread it lives on.
#[derive(Clone)]
struct Script {
    fetches: Arc<Mutex<Receiver<Fetch>>>,
    forge: Arc<Mutex<Forge>>,
}

/// How a forge with limits answers.
#[derive(Default)]
struct Forge {
    /// Of a limit of 100.
    remaining: Option<u64>,
    /// A comparison is refused, and for so long.
    refuses_for: Option<Duration>,
    compared: usize,
}

impl Source for Script {
    fn begin(&mut self, _: Patience) {}

    fn allowance(&self) -> Option<Allowance> {
        let remaining = self.forge.lock().unwrap().remaining?;
        let resets_at = Instant::now() + Duration::from_secs(3600);
        Some(Allowance { limit: 100, remaining, resets_at })
    }

    fn fetch(&mut self) -> Result<Fetched, SourceError> {
        let next = self.fetches.lock().unwrap().recv();
        next.unwrap()()
    }

    fn compare(&mut self, _: &Commit, _: &Commit) -> Result<Option<Comparison>, SourceError> {
        let mut forge = self.forge.lock().unwrap();
        forge.compared += 1;
        if let Some(wait) = forge.refuses_for {
            let reason = "the rate limit is used up".to_owned();
            return Err(SourceError { reason, retry_after: Some(wait) });
        }
        let relation = Relation::Behind { commits: 1, lock_commits: 0 };
        Ok(Some(Comparison { relation, missing: Arc::default() }))
    }

    fn merge(&mut self, number: u64, _: &str) -> Result<(), MergeError> {
        assert_ne!(number, PANICS, "a test wants the merge to fail");
        Ok(())
    }
}

/// A pull request whose merge is a bug.
const PANICS: u64 = 1;

fn commit(n: u8) -> Commit {
    Commit::parse(&format!("{n:040x}")).unwrap()
}

fn head(n: u8) -> Result<Fetched, SourceError> {
    Ok(Fetched {
        commit: commit(n),
        lock: Some(LockState::Absent),
        subject: String::new(),
        committed_at: Timestamp::default(),
        pending_pr: None,
        pending_details: None,
        hosts: Vec::new(),
    })
}

struct Listener;

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<Publish> for Listener {
    type Result = ();
    fn handle(&mut self, _: Publish, _: &mut Self::Context) {}
}

impl Handler<WasRead> for Listener {
    type Result = ();
    fn handle(&mut self, _: WasRead, _: &mut Self::Context) {}
}

/// Settings of a fetcher that may take two seconds, and what its source does.
fn scripted() -> (Settings, Sender<Fetch>) {
    scripted_on(&Arc::default())
}

fn scripted_on(forge: &Arc<Mutex<Forge>>) -> (Settings, Sender<Fetch>) {
    let (does, script) = channel();
    let script = Script { fetches: Arc::new(Mutex::new(script)), forge: Arc::clone(forge) };
    let listener = Listener.start();
    let limit = Duration::from_secs(2);
    let settings = Settings {
        name: "default".into(),
        branch: "main".into(),
        forge: None,
        open: Arc::new(move || Box::new(script.clone())),
        limits: Limits { first: limit, later: limit },
        unknown_pause: Duration::ZERO,
        // Only what a test asks for is fetched.
        ttl: Duration::from_secs(3600),
        attention: Attention::default(),
        subscriber: listener.clone().recipient(),
        readings: listener.recipient(),
        clock: Clock::default(),
    };
    (settings, does)
}

fn start(settings: &Settings) -> Addr<VersionFetcher> {
    VersionFetcher::new(settings.clone(), Arc::new(Desired::NotYetFetched)).start()
}

async fn refresh(fetcher: &Addr<VersionFetcher>) -> Arc<Desired> {
    fetcher.send(Refresh).await.unwrap().unwrap()
}

#[track_caller]
fn assert_knows(desired: &Desired, n: u8) {
    assert_eq!(desired.known().map(|remote| remote.commit.clone()), Some(commit(n)));
}

#[actix_rt::test]
async fn a_source_that_hangs_is_unavailable_and_what_it_says_later_is_dropped() {
    let (settings, does) = scripted();
    let (release, released) = channel::<()>();
    let (tell, told) = channel::<()>();
    does.send(Box::new(|| head(1))).unwrap();
    let fetcher = start(&settings);
    does.send(Box::new(|| head(1))).unwrap();
    assert_knows(&*refresh(&fetcher).await, 1);
    does.send(Box::new(move || {
        released.recv().unwrap();
        drop(tell);
        head(2)
    }))
    .unwrap();
    let desired = refresh(&fetcher).await;
    assert_eq!(desired.failure(), Some("no answer within 2 s"));
    does.send(Box::new(|| head(3))).unwrap();
    assert_knows(&*refresh(&fetcher).await, 3);
    // The thread that was replaced answers now.
    release.send(()).unwrap();
    told.recv().unwrap_err();
    does.send(Box::new(|| head(3))).unwrap();
    assert_knows(&*refresh(&fetcher).await, 3);
}

#[actix_rt::test]
async fn what_is_not_yet_fetched_is_unavailable_after_the_time_of_one_fetch() {
    let (settings, does) = scripted();
    let (release, released) = channel::<()>();
    does.send(Box::new(move || {
        let _ = released.recv();
        head(1)
    }))
    .unwrap();
    let fetcher = start(&settings);
    let first = fetcher.send(Refresh);
    // That one waits for the fetch after the first.
    does.send(Box::new(|| Err(SourceError::new("still not there".to_owned())))).unwrap();
    let desired = first.await.unwrap().unwrap();
    assert_eq!(desired.failure(), Some("still not there"));
    drop(release);
}

#[actix_rt::test]
async fn a_source_that_panics_is_unavailable_at_once_and_opened_anew() {
    let (settings, does) = scripted();
    does.send(Box::new(|| head(1))).unwrap();
    let fetcher = start(&settings);
    does.send(Box::new(|| panic!("a test wants the source to fail"))).unwrap();
    let desired = refresh(&fetcher).await;
    assert!(desired.failure().unwrap().contains("inside the dashboard"), "{desired:?}");
    does.send(Box::new(|| head(2))).unwrap();
    assert_knows(&*refresh(&fetcher).await, 2);
}

#[actix_rt::test]
async fn threads_that_hang_are_not_followed_by_ever_more_threads() {
    let (settings, does) = scripted();
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let fetcher = start(&settings);
    for _ in 0..4 {
        let released = Arc::clone(&released);
        does.send(Box::new(move || {
            let _ = released.lock().map(|released| released.recv());
            head(1)
        }))
        .unwrap();
    }
    let mut said = String::new();
    for _ in 0..5 {
        said = refresh(&fetcher).await.failure().unwrap_or_default().to_owned();
    }
    assert!(said.contains("4 earlier reads of it still hang"), "{said}");
    // They come back: so does the source.
    drop(release);
    does.send(Box::new(|| head(5))).unwrap();
    while refresh(&fetcher).await.known().is_none() {
        actix_rt::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn a_merge_that_panics_is_answered_and_comparisons_go_on() {
    let (settings, does) = scripted();
    does.send(Box::new(|| head(1))).unwrap();
    let fetcher = start(&settings);
    let merge = Merge { number: PANICS, head: String::new() };
    let error = fetcher.send(merge).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("look there whether it was done"), "{error}");
    let by = HostId::parse("web").unwrap();
    let compare = Compare { by, host: commit(1), head: commit(2) };
    assert!(fetcher.send(compare).await.unwrap().is_ok());
}

#[actix_rt::test]
async fn a_fetcher_that_panics_is_started_again_and_goes_on_from_what_is_known() {
    let (settings, does) = scripted();
    does.send(Box::new(|| head(1))).unwrap();
    let mut seats = Seats::of(settings);
    let first = seats.named(None).unwrap().fetcher.clone().unwrap();
    assert!(first.send(Panic).await.is_err());
    while first.connected() {
        actix_rt::task::yield_now().await;
    }
    seats.look_after();
    let second = seats.named(None).unwrap().fetcher.clone().unwrap();
    assert!(second != first && second.connected());
    for n in [2, 2] {
        does.send(Box::new(move || head(n))).unwrap();
    }
    assert_knows(&*refresh(&second).await, 2);
    seats.look_after();
    assert!(seats.named(None).unwrap().fetcher.as_ref() == Some(&second));
}

fn compare() -> Compare {
    Compare { by: HostId::parse("web").unwrap(), host: commit(1), head: commit(2) }
}

/// Finding 11 of the security review: the last quarter of a limit is not for what hosts make up.
#[actix_rt::test]
async fn commits_are_not_compared_while_the_forges_limit_is_nearly_used_up() {
    let forge = Arc::new(Mutex::new(Forge { remaining: Some(20), ..Forge::default() }));
    let (settings, does) = scripted_on(&forge);
    let fetcher = start(&settings);
    does.send(Box::new(|| head(1))).unwrap();
    let asked = fetcher.send(compare());
    does.send(Box::new(|| head(1))).unwrap();
    refresh(&fetcher).await;
    assert_eq!(forge.lock().unwrap().compared, 0);
    forge.lock().unwrap().remaining = Some(90);
    does.send(Box::new(|| head(1))).unwrap();
    refresh(&fetcher).await;
    assert!(asked.await.unwrap().is_ok());
}

#[actix_rt::test]
async fn a_limit_that_a_comparison_meets_is_seen_by_the_next_fetch_and_asked_again_later() {
    let refuses_for = Some(Duration::from_millis(50));
    let forge = Arc::new(Mutex::new(Forge { refuses_for, ..Forge::default() }));
    let (settings, does) = scripted_on(&forge);
    let fetcher = start(&settings);
    does.send(Box::new(|| head(1))).unwrap();
    let asked = fetcher.send(compare());
    // That fetch is the refused comparison's: nobody else asks for one.
    let (tell, told) = channel();
    let forge_later = Arc::clone(&forge);
    does.send(Box::new(move || {
        forge_later.lock().unwrap().refuses_for = None;
        tell.send(()).unwrap();
        head(1)
    }))
    .unwrap();
    assert!(asked.await.unwrap().is_ok());
    told.recv().unwrap();
    assert_eq!(forge.lock().unwrap().compared, 2);
}

/// "Stored, then true": a merge that is not remembered is not answered as one, and is not taken
/// back from here.
#[actix_rt::test]
async fn a_merge_that_could_not_be_stored_is_not_answered_as_done() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (settings, does) = scripted();
    does.send(Box::new(|| head(1))).unwrap();
    let target = Target { source: "default".into(), fetcher: start(&settings) };
    let order = || Order { number: 7, by: Author::Admin.into(), at: Timestamp::from_secs(1) };
    let merge =
        |order| pull_requests::merge(&store, &target, order, String::new(), "Update".to_owned());
    let refusing = store.fail_writes();
    let answer = merge(order()).await;
    assert!(matches!(answer, Err(RequestError::Unavailable(_))), "{answer:?}");
    assert!(store.read_blocking(pull_requests::last_merged).unwrap().is_empty());
    let answer = pull_requests::revert(&store, &target, order()).await;
    assert!(matches!(answer, Err(RequestError::Refused(_))));
    drop(refusing);
    let ours = merge(order()).await.unwrap();
    let stored = store.read_blocking(pull_requests::last_merged).unwrap();
    assert_eq!(stored.get("default"), Some(&ours));
}
