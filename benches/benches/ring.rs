//! The bare ring, inside one thread: what goes in comes out, with nobody to wait for.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use procession_channel::ring::{Consumer, Corrupt, Producer, Ring};

/// One message in and out, each published at once.
fn exchange(
    producer: &mut Producer,
    consumer: &mut Consumer,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Corrupt> {
    producer.write(black_box(message))?;
    producer.publish();
    let len = consumer.available()?;
    out.clear();
    consumer.read(len, out);
    consumer.release();
    Ok(())
}

fn ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    for len in [8, 64, 1 << 10, 1 << 16] {
        let (memory, segment) = Ring::new(1 << 20).expect("there is memory for a ring");
        let other = Ring::over(&segment).expect("a ring of our own can be mapped");
        let (mut producer, mut consumer) = (Producer::new(memory), Consumer::new(other));
        let (message, mut out) = (vec![7; len], Vec::with_capacity(len));
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("push and pop", len), |bencher| {
            bencher.iter(|| exchange(&mut producer, &mut consumer, &message, &mut out));
        });
        assert_eq!(out, message, "what goes in comes out");
    }
    group.finish();
}

criterion_group!(benches, ring);
criterion_main!(benches);
