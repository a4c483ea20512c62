//! One process produces, two consume. A `None` for each consumer says that nothing more comes.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;

fn produce(queue: Queue<Option<u64>>) -> procession::Result<()> {
    for n in 1..=10 {
        queue.put(Some(n))?;
    }
    queue.put_many([None, None])?;
    Ok(())
}

fn consume(name: String, queue: Queue<Option<u64>>) -> procession::Result<u64> {
    let mut sum = 0;
    while let Some(n) = queue.get()? {
        println!("{name}: {n}");
        sum += n;
    }
    Ok(sum)
}

fn main() -> procession::Result<()> {
    let queue = Queue::new()?;
    let consumers = [spawn!(consume("A", &queue))?, spawn!(consume("B", &queue))?];
    Process::spawn(produce, &queue)?.join()?;
    let mut sum = 0;
    for consumer in consumers {
        sum += consumer.join()?;
    }
    println!("the sum is {sum}");
    Ok(())
}
