use procession_shm::{SharedBuf, transfer};
use std::rc::Rc;

fn main() {
    let mut buffer = Rc::new(SharedBuf::<u32>::zeroed(4).unwrap());
    let elements = Rc::get_mut(&mut buffer).unwrap().as_mut_slice();
    let sent = transfer::send_scope(|| postcard::to_stdvec(&*buffer));
    elements[0] = 1;
    drop(sent);
}
