//! What a worker process does: run items until it is told to quit.

use procession_process::link::ChildLink;
use procession_process::panics::{self, Printing};
use procession_process::{Start, answer};

use crate::core::Config;

/// What [`main`] is told: how many bytes the rings hold, and how many a result may have.
pub(crate) fn payload(config: &Config) -> Vec<u8> {
    let words = [config.ring_len as u64, config.result_len_max as u64];
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

/// The worker's main function.
pub(crate) fn main(start: Start) {
    if !start.is_inline {
        panics::capture(Printing::Suppressed);
    }
    let is_inline = start.is_inline;
    if let Err(why) = serve(start) {
        complain(&why);
        // A thread just ends; what ends with it is then made good as if it had been a process.
        if !is_inline {
            std::process::exit(1);
        }
    }
}

fn serve(start: Start) -> Result<(), String> {
    let [ring_len, result_len_max] = parse(&start.payload).ok_or("the pool sent no lengths")?;
    answer::set_len_max(result_len_max);
    #[cfg(feature = "tracing")]
    let (start, socket) = {
        let mut start = start;
        let socket = start.fds.pop().ok_or("the pool sent no socket")?;
        (start, socket)
    };
    let mut link = ChildLink::over(start.fds, ring_len).map_err(|error| error.to_string())?;
    #[cfg(feature = "tracing")]
    let _forwarding = crate::trace::forward(socket, link.aside());
    link.serve().map_err(|error| error.to_string())
}

fn parse(payload: &[u8]) -> Option<[usize; 2]> {
    let (words, []) = payload.as_chunks::<8>() else { return None };
    let &[first, second] = words else { return None };
    let word = |bytes| usize::try_from(u64::from_le_bytes(bytes)).ok();
    Some([word(first)?, word(second)?])
}

#[expect(
    clippy::print_stderr,
    reason = "a worker without a link to its pool has nobody else to tell"
)]
fn complain(why: &str) {
    eprintln!("procession: pool worker {} cannot work: {why}", std::process::id());
}
