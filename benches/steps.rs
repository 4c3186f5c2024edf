//! What single steps cost: `cargo bench --bench steps`.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_main};
use nixfleet::dashboard::bench::{Database, Fleet, Host, event};
use nixfleet::protocol::AgentMessage;
use std::hint::black_box;

#[path = "fleet/frames.rs"]
#[expect(dead_code, reason = "the load generator uses the rest of it")]
mod frames;

/// Where hosts are; the remote is elsewhere, so that there is something to say.
const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// So many hosts that are connected and have sent a heartbeat.
fn hosts(count: usize) -> Vec<Host> {
    let mut hosts = Vec::with_capacity(count);
    for n in 0..count {
        let name = format!("host-{n:05}");
        let Some(mut host) = Host::new(&name) else {
            continue;
        };
        let register = frames::register(&name, COMMIT, 3, None);
        let heartbeat = frames::heartbeat(COMMIT, n as u64, 3);
        for frame in [register, heartbeat] {
            if let Some(event) = event(&frame) {
                host.apply(event);
            }
        }
        hosts.push(host);
    }
    hosts
}

fn one_heartbeat(criterion: &mut Criterion) {
    let frame = frames::heartbeat(COMMIT, 17, 3);
    let mut group = criterion.benchmark_group("heartbeat");
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("parse the frame", |b| {
        b.iter(|| AgentMessage::parse(black_box(&frame)).is_ok());
    });
    group.bench_function("parse and understand", |b| b.iter(|| event(black_box(&frame)).is_some()));
    group.finish();
    let (Some(host), Some(same)) = (hosts(1).pop(), event(&frame)) else {
        return;
    };
    criterion.bench_function("apply a heartbeat", |b| {
        let mut host = host.clone();
        b.iter_batched(|| same.clone(), |event| host.apply(event), BatchSize::SmallInput);
    });
    criterion.bench_function("evaluate a row", |b| b.iter(|| black_box(&host).evaluate()));
    criterion.bench_function("take a snapshot", |b| b.iter(|| black_box(&host).snapshot()));
}

fn pages(criterion: &mut Criterion) {
    let fleet = Fleet::of(&hosts(1));
    criterion.bench_function("render a row", |b| b.iter(|| black_box(&fleet).row()));
    let mut group = criterion.benchmark_group("render");
    for count in [100, 1000, 10_000] {
        let fleet = Fleet::of(&hosts(count));
        group.sample_size(if count > 1000 { 10 } else { 50 });
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("page", count), &fleet, |b, fleet| {
            b.iter(|| fleet.page());
        });
        group.bench_with_input(BenchmarkId::new("list", count), &fleet, |b, fleet| {
            b.iter(|| fleet.list());
        });
    }
    group.finish();
}

fn storing(criterion: &mut Criterion) {
    let Ok(dir) = tempfile::tempdir() else {
        return;
    };
    let Some(database) = Database::open(dir.path()) else {
        return;
    };
    criterion.bench_function("store a host, with the commit", |b| {
        b.iter(|| database.store_host("host-00000"));
    });
}

/// What criterion runs.
mod all {
    criterion::criterion_group!(benches, super::one_heartbeat, super::pages, super::storing);
}

criterion_main!(all::benches);
