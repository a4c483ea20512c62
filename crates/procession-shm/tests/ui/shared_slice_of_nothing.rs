fn main() {
    drop(procession_shm::SharedSlice::from_slice(&[(), ()]));
}
