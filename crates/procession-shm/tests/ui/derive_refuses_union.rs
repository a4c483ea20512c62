#[derive(procession_shm::Shareable)]
union Bits {
    float: f32,
    integer: u32,
}

fn main() {}
