fn main() {
    let slice = procession_shm::SharedSlice::from_slice(&[1, 2]).unwrap();
    slice[0] = 3;
}
