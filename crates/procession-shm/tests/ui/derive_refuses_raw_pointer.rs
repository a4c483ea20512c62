#[derive(procession_shm::Shareable)]
struct Node {
    next: *mut Node,
}

fn main() {}
