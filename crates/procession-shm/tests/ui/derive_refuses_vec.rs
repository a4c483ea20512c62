#[derive(procession_shm::Shareable)]
struct List {
    items: Vec<u64>,
}

fn main() {}
