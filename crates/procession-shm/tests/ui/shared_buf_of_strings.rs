fn main() {
    drop(procession_shm::SharedBuf::<String>::zeroed(4));
}
