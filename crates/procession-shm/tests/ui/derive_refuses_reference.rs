#[derive(procession_shm::Shareable)]
struct Named {
    id: u64,
    name: &'static str,
}

fn main() {}
