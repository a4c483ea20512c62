//! Handles in queues, and queues in queues.

use std::fs::File;
use std::io::{Read, Seek, Write};

use procession_channel::Fd;
use procession_channel::pipe;
use procession_channel::queue::{Queue, SendErrorKind};
use procession_shm::SharedBuf;
use serde::{Deserialize, Serialize};

use crate::limit::can_have_under_way;

fn file(text: &str) -> Fd<File> {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    let mut check = Vec::new();
    reader.read_to_end(&mut check).unwrap();
    let fd = rustix::fs::memfd_create(c"test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(fd);
    file.write_all(&check).unwrap();
    file.rewind().unwrap();
    Fd::new(file)
}

fn text(fd: Fd<File>) -> String {
    let mut text = String::new();
    fd.into_inner().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn descriptors_go_with_their_items() {
    let queue = Queue::new().unwrap();
    for n in 0..40 {
        queue.put((n, (n % 3 == 0).then(|| file(&n.to_string())))).unwrap();
    }
    for n in 0..40 {
        let (number, fd) = queue.get().unwrap();
        assert_eq!(number, n);
        assert_eq!(fd.map(text), (n % 3 == 0).then(|| n.to_string()));
    }
}

#[test]
fn a_large_item_may_have_handles_too() {
    let queue = Queue::builder().capacity(4096).build().unwrap();
    queue.put((vec![7_u8; 10_000], file("hello"))).unwrap();
    let (bytes, fd) = queue.get().unwrap();
    assert_eq!((bytes.len(), text(fd)), (10_000, "hello".to_owned()));
}

#[test]
fn handles_are_full_before_the_kernel_is() {
    let queue = Queue::new().unwrap();
    let mut count = 0;
    let error = loop {
        match queue.try_put(Some(file("x"))) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind, SendErrorKind::Full), "{error}");
    assert!((32..=128).contains(&count), "{count}");
    assert_eq!(text(error.value.unwrap()), "x", "it comes back as it was");
    queue.put(None).unwrap();
    for _ in 0..count {
        assert!(queue.get().unwrap().is_some());
    }
    assert!(queue.get().unwrap().is_none());
    queue.put(Some(file("y"))).unwrap();
    assert_eq!(text(queue.get().unwrap().unwrap()), "y");
}

#[test]
fn a_unique_handle_moves_and_comes_back_from_a_failure() {
    let queue = Queue::bounded(1).unwrap();
    queue.put(SharedBuf::from_slice(&[1_u32]).unwrap()).unwrap();
    let buffer = SharedBuf::from_slice(&[2_u32]).unwrap();
    let error = queue.try_put(buffer).unwrap_err();
    assert_eq!(queue.get().unwrap().as_mut_slice(), [1]);
    queue.put(error.value).unwrap();
    assert_eq!(queue.get().unwrap().as_mut_slice(), [2]);
}

/// A packet of the kernel holds 253.
#[test]
fn an_item_may_have_more_descriptors_than_a_packet_holds() {
    if !can_have_under_way("an_item_may_have_more_descriptors_than_a_packet_holds", 600) {
        return;
    }
    let queue = Queue::new().unwrap();
    for count in [253, 254, 520] {
        queue.put((0..count).map(|n| file(&n.to_string())).collect::<Vec<_>>()).unwrap();
        queue.put(vec![file("next")]).unwrap();
        let texts: Vec<String> = queue.get().unwrap().into_iter().map(text).collect();
        assert!(texts.into_iter().eq((0..count).map(|n| n.to_string())));
        assert_eq!(text(queue.get().unwrap().pop().unwrap()), "next");
    }
}

#[test]
fn the_same_queue_twice_in_one_item() {
    let (queue, other) = (Queue::new().unwrap(), Queue::<u8>::new().unwrap());
    queue.put((other.clone(), other.clone(), other.getter())).unwrap();
    let (one, two, three) = queue.get().unwrap();
    one.put(1).unwrap();
    two.put(2).unwrap();
    assert_eq!((three.get().unwrap(), other.get().unwrap()), (1, 2));
}

#[derive(Serialize, Deserialize)]
struct Knot(Option<Box<Queue<Knot>>>);

#[test]
fn a_queue_in_itself() {
    let queue = Queue::new().unwrap();
    queue.put(Knot(Some(Box::new(queue.clone())))).unwrap();
    let same = queue.get().unwrap().0.unwrap();
    same.put(Knot(None)).unwrap();
    assert!(queue.get().unwrap().0.is_none());
}

#[test]
fn through_a_pipe_between_strangers_a_queue_is_refused() {
    let (sender, receiver) = pipe::simplex().unwrap();
    sender.send(Queue::<u8>::new().unwrap()).unwrap();
    assert!(matches!(receiver.recv(), Err(pipe::RecvError::Untrusted(_))));
}
