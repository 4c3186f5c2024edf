//! What the dashboard says about itself, for Prometheus.
//!
//! Counters and times are recorded where they happen; how hosts stand is counted when somebody
//! asks (`http/exposition.rs`). No label holds text from outside but the names of sources.

use crate::domain::command::Command;
use crate::domain::compartment::{Compartment, DASHBOARD_VERSION, Status};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, histogram_opts,
};
use std::sync::LazyLock;
use std::time::Duration;

/// Everything that is collected.
struct Metrics {
    registry: Registry,
    build: IntGaugeVec,
    hosts: IntGaugeVec,
    online: IntGauge,
    rollouts: IntGauge,
    source_up: IntGaugeVec,
    commands: IntCounterVec,
    command_seconds: HistogramVec,
    fetches: IntCounterVec,
    fetch_seconds: HistogramVec,
    sockets: IntGaugeVec,
    frames_dropped: IntCounterVec,
    write_queue: IntGauge,
    write_seconds: Histogram,
    read_seconds: Histogram,
}

static METRICS: LazyLock<Option<Metrics>> = LazyLock::new(|| match Metrics::new() {
    Ok(metrics) => Some(metrics),
    Err(error) => {
        log::error!("no metrics: {error}");
        None
    }
});

/// Seconds of things that take milliseconds.
const FAST: [f64; 10] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Seconds of what hosts do.
const SLOW: [f64; 10] = [1.0, 5.0, 15.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0];

impl Metrics {
    fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("nixfleet".to_owned()), None)?;
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let times = |name: &str, help: &str, buckets: [f64; 10]| -> HistogramOpts {
            histogram_opts!(name, help, buckets.to_vec())
        };
        let metrics = Self {
            build: gauges(
                "build_info",
                "Version and commit of this dashboard.",
                &["version", "commit"],
            )?,
            hosts: gauges("hosts", "Hosts by compartment and status.", &["compartment", "status"])?,
            online: IntGauge::new("hosts_online", "Hosts whose agent is connected.")?,
            rollouts: IntGauge::new("rollouts_running", "Rollouts that go on.")?,
            source_up: gauges(
                "source_up",
                "Whether the last read of a source worked.",
                &["source"],
            )?,
            commands: counters("commands_total", "Commands that ended.", &["op", "outcome"])?,
            command_seconds: HistogramVec::new(
                times("command_seconds", "From a command's sending to its end.", SLOW),
                &["op"],
            )?,
            fetches: counters("fetches_total", "Reads of a source.", &["source", "result"])?,
            fetch_seconds: HistogramVec::new(
                times("fetch_seconds", "How long a read of a source took.", FAST),
                &["source"],
            )?,
            sockets: gauges("sockets", "Open WebSockets.", &["kind"])?,
            frames_dropped: counters(
                "slow_browsers_total",
                "How often a browser read too slowly and was dropped down to a full state.",
                &[],
            )?,
            write_queue: IntGauge::new("sqlite_write_queue", "Writes that wait for SQLite.")?,
            write_seconds: Histogram::with_opts(times(
                "sqlite_transaction_seconds",
                "How long a transaction with its commit took.",
                FAST,
            ))?,
            read_seconds: Histogram::with_opts(times(
                "sqlite_read_seconds",
                "How long a read took, with the wait for a connection.",
                FAST,
            ))?,
            registry,
        };
        for collector in [
            Box::new(metrics.build.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(metrics.hosts.clone()),
            Box::new(metrics.online.clone()),
            Box::new(metrics.rollouts.clone()),
            Box::new(metrics.source_up.clone()),
            Box::new(metrics.commands.clone()),
            Box::new(metrics.command_seconds.clone()),
            Box::new(metrics.fetches.clone()),
            Box::new(metrics.fetch_seconds.clone()),
            Box::new(metrics.sockets.clone()),
            Box::new(metrics.frames_dropped.clone()),
            Box::new(metrics.write_queue.clone()),
            Box::new(metrics.write_seconds.clone()),
            Box::new(metrics.read_seconds.clone()),
        ] {
            metrics.registry.register(collector)?;
        }
        // It shows from the start, at 0.
        metrics.frames_dropped.with_label_values::<&str>(&[]);
        let commit = option_env!("NIXFLEET_COMMIT").unwrap_or("unknown");
        metrics.build.with_label_values(&[DASHBOARD_VERSION, commit]).set(1);
        Ok(metrics)
    }
}

fn note(what: impl FnOnce(&Metrics)) {
    if let Some(metrics) = METRICS.as_ref() {
        what(metrics);
    }
}

/// A command is over.
pub(crate) fn command_over(command: &Command) {
    note(|metrics| {
        metrics.commands.with_label_values(&[command.op.name(), command.state.name()]).inc();
        if let (Some(from), Some(to)) = (command.sent_at, command.finished_at) {
            let took = to.since(from).as_secs_f64();
            metrics.command_seconds.with_label_values(&[command.op.name()]).observe(took);
        }
    });
}

/// A source was read.
pub(crate) fn fetched(source: &str, worked: bool, took: Duration) {
    note(|metrics| {
        let result = if worked { "ok" } else { "error" };
        metrics.fetches.with_label_values(&[source, result]).inc();
        metrics.fetch_seconds.with_label_values(&[source]).observe(took.as_secs_f64());
        metrics.source_up.with_label_values(&[source]).set(i64::from(worked));
    });
}

/// A WebSocket of this kind was opened, or (`-1`) closed.
pub(crate) fn sockets(kind: &str, change: i64) {
    note(|metrics| metrics.sockets.with_label_values(&[kind]).add(change));
}

/// A browser read too slowly.
pub(crate) fn slow_browser() {
    note(|metrics| metrics.frames_dropped.with_label_values::<&str>(&[]).inc());
}

/// So many more, or fewer, writes wait.
pub(crate) fn writes_waiting(change: i64) {
    note(|metrics| metrics.write_queue.add(change));
}

/// A transaction was committed, or failed.
pub(crate) fn transaction(took: Duration) {
    note(|metrics| metrics.write_seconds.observe(took.as_secs_f64()));
}

/// A read from SQLite is done.
pub(crate) fn read(took: Duration) {
    note(|metrics| metrics.read_seconds.observe(took.as_secs_f64()));
}

/// So many hosts have this status in this compartment.
pub(crate) fn hosts(compartment: Compartment, status: Status, count: usize) {
    note(|metrics| {
        let gauge = metrics.hosts.with_label_values(&[compartment.name(), status.name()]);
        gauge.set(gauge_of(count));
    });
}

/// So many agents are connected.
pub(crate) fn hosts_online(count: usize) {
    note(|metrics| metrics.online.set(gauge_of(count)));
}

/// So many rollouts go on.
pub(crate) fn rollouts_running(count: usize) {
    note(|metrics| metrics.rollouts.set(gauge_of(count)));
}

fn gauge_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Everything that was recorded, as Prometheus reads it. The error says what could not be
/// written.
pub(crate) fn text() -> Result<String, String> {
    let metrics = METRICS.as_ref().ok_or("there are no metrics")?;
    let mut bytes = Vec::new();
    TextEncoder::new()
        .encode(&metrics.registry.gather(), &mut bytes)
        .map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
