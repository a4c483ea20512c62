//! The parent's end of a pool's link, whose worker writes to all memory of it, between any two calls.

use procession_process::link::{Frame, ParentLink, Received};
use procession_shm::sync::atomic::Ordering;
use procession_shm::{Mapping, Segment, page_size};

use crate::bytes::Bytes;

pub(crate) const CAPACITY: usize = 4096;
pub(crate) const RESULT_LEN_MAX: usize = 1 << 14;
const CALLS_MAX: usize = 64;

pub(crate) fn run(input: &[u8]) {
    let mut input = Bytes::new(input);
    // Without memory or descriptors there is nothing to try.
    let Ok((mut link, fds)) = ParentLink::new(CAPACITY, RESULT_LEN_MAX) else { return };
    let maps: Vec<Mapping> = fds
        .into_iter()
        .filter_map(|fd| Segment::from_fd(fd, page_size() + CAPACITY).ok()?.map().ok())
        .collect();
    let [down, up] = &maps[..] else { return };
    let mut inbox = Vec::new();
    for _ in 0..CALLS_MAX {
        if input.is_empty() {
            return;
        }
        let kind = input.u8();
        match kind % 6 {
            0 | 1 => {
                if !receive(&mut link, &mut inbox) {
                    return;
                }
            }
            2 => word(down, &mut input, kind),
            3 => word(up, &mut input, kind),
            4 => up.write(page_size() + usize::from(input.u16()) % (CAPACITY - 32), input.take(32)),
            _ => send(&mut link),
        }
    }
}

/// As a pool does: all that is whole is taken out of the inbox. False when the worker is to be killed.
pub(crate) fn receive(link: &mut ParentLink, inbox: &mut Vec<u8>) -> bool {
    match link.receive(inbox) {
        Ok(Received::Nothing | Received::Part) => return true,
        Ok(Received::Long(_, body)) => assert!(body.len() <= RESULT_LEN_MAX),
        Ok(Received::Bytes) => {}
        Err(_) => return false,
    }
    assert!(inbox.len() <= CAPACITY + RESULT_LEN_MAX, "an inbox of {} bytes", inbox.len());
    let mut at = 0;
    loop {
        match link.whole_result(inbox, at) {
            Ok(Some(whole)) => {
                assert!(whole.body.len() <= RESULT_LEN_MAX && whole.end > at);
                at = whole.end;
            }
            Ok(None) => break,
            Err(_) => return false,
        }
    }
    inbox.drain(..at);
    link.release();
    true
}

fn send(link: &mut ParentLink) {
    // A peer that breaks the rules is an error, which is as good here as none.
    let _sent = link.send(&Frame::resume().sealed(), 0);
    let _room = link.has_room();
    std::hint::black_box((
        link.started(),
        link.revoke(),
        link.has_results(),
        link.can_be_revoked(),
    ));
}

fn word(memory: &Mapping, input: &mut Bytes<'_>, kind: u8) {
    let at = 128 * (usize::from(kind >> 3) % 16);
    let value = if input.u8() & 1 == 0 { u64::from(input.u16()) } else { input.u64() };
    memory.atomic_u64(at).store(value, Ordering::SeqCst);
}
