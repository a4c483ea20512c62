#[derive(procession_shm::Shareable)]
struct Task {
    run: fn(u64) -> u64,
}

fn main() {}
