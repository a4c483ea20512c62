//! Encoding and decoding, inside one process: values of 8 B, 64 B and 1 KiB through serde, and bytes at once.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use procession::Message;
use procession_channel::codec::{Limits, decode, encode};
use serde::{Deserialize, Serialize};

/// About 64 bytes of different kinds.
#[derive(Clone, Serialize, Deserialize)]
struct Record {
    id: u64,
    position: [f64; 4],
    flags: u16,
    name: String,
}

fn record() -> Record {
    Record { id: u64::MAX, position: [0.5; 4], flags: 7, name: "a name of some bytes".to_owned() }
}

/// About 1 KiB.
#[derive(Serialize, Deserialize)]
struct Page {
    records: Vec<Record>,
    text: String,
}

fn page() -> Page {
    Page { records: vec![record(); 8], text: "text ".repeat(100) }
}

fn both_ways<T: Message>(criterion: &mut Criterion, name: &str, value: &T) {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).expect("these values can be encoded");
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    let mut out = Vec::with_capacity(bytes.len());
    group.bench_function(BenchmarkId::new("encode", name), |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(black_box(value), &mut out)
        });
    });
    group.bench_function(BenchmarkId::new("decode", name), |bencher| {
        bencher.iter(|| decode::<T>(black_box(&bytes), &Limits::DEFAULT));
    });
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    both_ways(criterion, "8 B", &u64::MAX);
    both_ways(criterion, "64 B", &record());
    both_ways(criterion, "1 KiB", &page());
    both_ways(criterion, "64 KiB of bytes", &vec![7_u8; 1 << 16]);
}

criterion_group!(benches, codec);
criterion_main!(benches);
