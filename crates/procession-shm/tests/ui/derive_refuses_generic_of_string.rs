use procession_shm::Shareable;

#[derive(Shareable)]
struct Pair<T>(T, [T; 2]);

fn share<T: Shareable>(_value: T) {}

fn main() {
    share(Pair(1, [2, 3]));
    share(Pair(String::new(), [String::new(), String::new()]));
}
