use procession_shm::Shared;
use std::cell::Cell;

fn count(_counter: Shared<Cell<u64>>) {}

fn main() {}
