#[derive(procession_shm::Shareable)]
struct Borrowed<'a> {
    bytes: &'a [u8],
}

fn main() {}
