fn main() {
    let buffer = procession_shm::SharedBuf::<u32>::zeroed(4).unwrap();
    drop(buffer.clone());
}
