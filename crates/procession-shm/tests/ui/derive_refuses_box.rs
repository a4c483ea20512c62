#[derive(procession_shm::Shareable)]
struct Boxed(u64, Box<u64>);

fn main() {}
