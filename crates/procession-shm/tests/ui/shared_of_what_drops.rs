#[derive(procession_shm::Shareable)]
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {}
}

fn main() {
    drop(procession_shm::Shared::new(Guard(1)));
}
