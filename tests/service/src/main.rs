//! A service on tokio that computes on worker processes: a number a line, the count of primes below it in answer.
//!
//! The runtime has one thread and never blocks. An answer that takes longer than the deadline is given up, and the work is
//! stopped, not only forgotten: dropping the task kills the worker that is on it.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::sync::Arc;
use std::time::Duration;

use procession::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const DEADLINE: Duration = Duration::from_millis(500);

fn count_primes(end: u64) -> u64 {
    let is_prime = |n: &u64| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (2..end).filter(is_prime).count() as u64
}

async fn answer(pool: &Pool, line: &str) -> procession::Result<String> {
    let end: u64 = line.trim().parse()?;
    let task = pool.submit(count_primes, end)?.cancel_on_drop();
    Ok(tokio::time::timeout(DEADLINE, task).await??.to_string())
}

async fn serve(pool: Arc<Pool>, mut client: TcpStream) -> procession::Result<()> {
    let (requests, mut answers) = client.split();
    let mut requests = BufReader::new(requests).lines();
    while let Some(line) = requests.next_line().await? {
        let answer = answer(&pool, &line).await.unwrap_or_else(|failure| failure.to_string());
        answers.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> procession::Result<()> {
    let pool = Arc::new(Pool::new()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(serve(pool.clone(), client)); // a client that goes away ends its task with an error, and nothing else
    }
}
