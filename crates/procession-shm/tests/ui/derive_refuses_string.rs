#[derive(procession_shm::Shareable)]
enum Answer {
    Number(u64),
    Text(String),
}

fn main() {}
