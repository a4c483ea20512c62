//! What a worker process does: run items until it is told to quit.

use procession_process::Start;
use procession_process::link::ChildLink;

use crate::panics;

/// What [`main`] is told: how long the rings are.
pub(crate) fn payload(ring_len: usize) -> Vec<u8> {
    (ring_len as u64).to_le_bytes().to_vec()
}

/// The worker's main function.
pub(crate) fn main(start: Start) {
    panics::capture();
    let Some(ring_len) = parse(&start.payload) else {
        leave("the pool sent no ring length");
    };
    let served = ChildLink::over(start.fds, ring_len).map(|mut link| link.serve());
    match served {
        Ok(Ok(())) => {}
        Ok(Err(error)) => leave(&error.to_string()),
        Err(error) => leave(&error.to_string()),
    }
}

fn parse(payload: &[u8]) -> Option<usize> {
    let bytes = <[u8; 8]>::try_from(payload).ok()?;
    usize::try_from(u64::from_le_bytes(bytes)).ok()
}

#[expect(
    clippy::print_stderr,
    reason = "a worker without a link to its pool has nobody else to tell"
)]
fn leave(why: &str) -> ! {
    eprintln!("procession: pool worker {} cannot work: {why}", std::process::id());
    std::process::exit(1)
}
