//! The parent's end of a pool's link, with a worker that keeps to the rules.

use procession_process::link::{Frame, HELLO, ParentLink};
use procession_shm::sync::atomic::Ordering;
use procession_shm::{Mapping, Segment, page_size};

use crate::bytes::Bytes;
use crate::link::{CAPACITY, RESULT_LEN_MAX, receive};

pub(crate) fn run(program: &mut Bytes<'_>) {
    let Ok((mut link, fds)) = ParentLink::new(CAPACITY, RESULT_LEN_MAX) else { return };
    let maps = fds
        .into_iter()
        .filter_map(|fd| Segment::from_fd(fd, page_size() + CAPACITY).ok()?.map().ok());
    let Ok([_down, up]) = <[Mapping; 2]>::try_from(maps.collect::<Vec<_>>()) else { return };
    let mut worker = Worker { up, tail: 0 };
    worker.result(HELLO, 0);
    let mut inbox = Vec::new();
    while !program.is_empty() {
        let step = program.u8();
        match step % 8 {
            0..=2 => worker.result(step >> 3, usize::from(program.u8())),
            3 | 4 => {
                let is_believed = receive(&mut link, &mut inbox);
                assert!(is_believed || cfg!(procession_hostile), "an honest worker is condemned");
                if !is_believed {
                    return;
                }
            }
            5 => worker.result(0, 100 * usize::from(program.u8())),
            6 => send(&mut link),
            _ => look(&mut link),
        }
    }
}

fn send(link: &mut ParentLink) {
    let sent = link.send(&Frame::resume().sealed(), 0);
    assert!(cfg!(procession_hostile) || sent.is_ok(), "{sent:?}");
    link.ring();
}

fn look(link: &mut ParentLink) {
    link.announce(1, 8);
    link.set_parties(3);
    std::hint::black_box((link.has_results(), link.has_room().is_ok()));
    std::hint::black_box((link.started(), link.is_revoked(), link.revoke()));
    std::hint::black_box((link.bell().is_rung(1), link.room_bell().is_rung(1)));
    link.bell().retract();
}

/// A worker, as far as its results go.
struct Worker {
    up: Mapping,
    tail: u64,
}

impl Worker {
    const TAIL: usize = 0;
    const HEAD: usize = 128;

    /// Sends a result, if there is room for it.
    fn result(&mut self, tag: u8, len: usize) {
        let taken = self.up.atomic_u64(Self::HEAD).load(Ordering::Acquire);
        let words = 1 + len.div_ceil(8) as u64;
        // A parent who believed in results that are not there has taken more than there were.
        let held = self.tail.checked_sub(taken);
        if held.is_none_or(|held| held + 8 * words > CAPACITY as u64) {
            return;
        }
        let head = (len as u64) << 8 | u64::from(tag);
        for word in 0..words {
            let at = usize::try_from(self.tail % CAPACITY as u64).unwrap_or(0);
            let value = if word == 0 { head } else { 0x0505_0505_0505_0505 };
            self.up.write(page_size() + at, &value.to_le_bytes());
            self.tail += 8;
        }
        self.up.atomic_u64(Self::TAIL).store(self.tail, Ordering::Release);
    }
}
