//! `Shared` and what may be in it.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::travel::{UNTRUSTING, encode, receive, send, travel};
use procession_shm::transfer::{TransferError, Trust};
use procession_shm::{Shareable, Shared};
use rustix::io::Errno;

#[derive(Shareable, Debug)]
enum Phase {
    Idle,
    Counting { from: u64, slots: [AtomicU32; 3] },
}

#[derive(Shareable, Debug)]
struct Board<T, const N: usize> {
    phase: Phase,
    cells: [T; N],
    limit: Option<u16>,
}

#[derive(Shareable)]
struct Unit;

#[test]
fn everybody_sees_one_value() {
    let here = Shared::new(AtomicU64::new(5)).unwrap();
    let clone = here.clone();
    let there: Shared<AtomicU64> = travel(&here);
    there.fetch_add(1, Ordering::Relaxed);
    clone.fetch_add(1, Ordering::Relaxed);
    assert_eq!(here.load(Ordering::Relaxed), 7);
    drop(here);
    assert_eq!(there.load(Ordering::Relaxed), 7, "it lives as long as its last handle");
}

#[test]
fn structs_enums_and_generics_lie_in_it() {
    let phase = Phase::Counting { from: 9, slots: [const { AtomicU32::new(0) }; 3] };
    let cells = [AtomicU64::new(1), AtomicU64::new(2)];
    let board = Shared::new(Board { phase, cells, limit: Some(3) }).unwrap();
    let there: Shared<Board<AtomicU64, 2>> = travel(&board);
    if let Phase::Counting { from, slots } = &there.phase {
        slots[2].store(u32::try_from(*from).unwrap(), Ordering::Relaxed);
    }
    assert_eq!(there.limit, Some(3));
    there.cells[1].store(20, Ordering::Relaxed);
    let text = format!("{board:?}");
    let expected = "Shared(Board { phase: Counting { from: 9, slots: [0, 0, 9] }, cells: [1, 20], limit: Some(3) })";
    assert_eq!(text, expected);
    assert_eq!(Shared::new(Phase::Idle).unwrap().name(), "idle");
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Counting { .. } => "counting",
        }
    }
}

#[test]
fn a_value_without_bytes_has_a_place_too() {
    let unit = Shared::new(Unit).unwrap();
    let Unit = *travel::<_, Shared<Unit>>(&unit);
}

#[test]
fn values_are_aligned_as_they_want() {
    #[derive(Shareable)]
    #[repr(align(512))]
    struct Wide(u8);
    let wide = Shared::new(Wide(3)).unwrap();
    assert!(std::ptr::from_ref(&*wide).is_aligned());
    assert_eq!(wide.0, 3);
}

#[test]
fn shareable_is_not_about_threads() {
    fn shareable<T: Shareable>() {}
    shareable::<Cell<u64>>();
    shareable::<(u8, Option<[char; 4]>, std::num::Wrapping<i32>, std::time::Duration)>();
    shareable::<Board<Cell<u8>, 1>>();
}

#[test]
fn handles_go_to_other_threads() {
    fn anywhere<T: Send + Sync + 'static>() {}
    anywhere::<Shared<AtomicU64>>();
    anywhere::<procession_shm::SharedBuf<f32>>();
    anywhere::<procession_shm::SharedSlice<f32>>();
    anywhere::<procession_shm::FreezeError<f32>>();
    anywhere::<procession_shm::UnsplitError<f32>>();
}

#[test]
fn nobody_can_resize_or_freeze_it() {
    let message = send(Shared::new(1_u64).unwrap());
    let fd = message.fds[0].as_fd();
    assert_eq!(rustix::fs::ftruncate(fd, 0), Err(Errno::PERM));
    let freeze = rustix::fs::fcntl_add_seals(fd, rustix::fs::SealFlags::WRITE);
    assert_eq!(freeze, Err(Errno::PERM));
}

#[test]
fn it_asks_for_the_family_and_slices_do_not() {
    assert!(encode(&Shared::new(1_u64).unwrap()).unwrap().1.needs_family());
    let slice = procession_shm::SharedSlice::from_slice(&[1_u8]).unwrap();
    assert!(!encode(&slice).unwrap().1.needs_family());
}

#[test]
fn it_is_refused_from_strangers() {
    let result = receive::<Shared<u64>>(send(Shared::new(1_u64).unwrap()), UNTRUSTING);
    assert!(matches!(result, Err(TransferError::Untrusted { handle: "Shared" })), "{result:?}");
}

#[test]
fn memory_of_another_size_is_refused() {
    let result = receive::<Shared<u64>>(send(Shared::new([0_u64; 2]).unwrap()), Trust::Trusting);
    assert!(matches!(result, Err(TransferError::Malformed { .. })), "{result:?}");
}
