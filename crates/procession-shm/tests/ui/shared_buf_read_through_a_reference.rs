fn first(buffer: &procession_shm::SharedBuf<u32>) -> u32 {
    buffer[0]
}

fn look(buffer: &procession_shm::SharedBuf<u32>) -> &[u32] {
    buffer.as_mut_slice()
}

fn main() {
    let buffer = procession_shm::SharedBuf::zeroed(4).unwrap();
    first(&buffer);
    look(&buffer);
}
