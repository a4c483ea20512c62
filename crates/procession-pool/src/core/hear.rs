//! What workers say beside their results: heard here, told again when the lock is free.

use std::os::fd::OwnedFd;

use procession_shm::SegmentError;
use rustix::io::Errno;

use super::errand;
use super::lane::Sentence;
use super::state::State;
use crate::error::PoolError;
use crate::trace::Ear;

/// Makes an ear, and puts the worker's end of it behind the other descriptors of the worker.
pub(super) fn with_ear(mut fds: Vec<OwnedFd>) -> Result<(Ear, Vec<OwnedFd>), PoolError> {
    let (ear, end) = Ear::pair().map_err(no_socket)?;
    fds.push(end);
    Ok((ear, fds))
}

fn no_socket(error: Errno) -> SegmentError {
    match error {
        Errno::MFILE | Errno::NFILE => SegmentError::OutOfDescriptors,
        _ => SegmentError::System { operation: "socketpair", reason: error.to_string() },
    }
}

impl State {
    /// Hears what the worker at `index` has said; whether that was anything. To be called before its results are dealt with: what is
    /// said of an item comes before its result, and is believed only of a call of which the worker has something.
    pub(super) fn hear(&mut self, index: usize) -> Result<bool, Sentence> {
        let Some(lane) = self.lanes[index].as_mut() else { return Ok(false) };
        let said = lane.link.said();
        if lane.ear.has_news(said) { self.listen(index) } else { Ok(false) }
    }

    /// The same, also of what the worker has sent and not lived to count.
    pub(super) fn listen(&mut self, index: usize) -> Result<bool, Sentence> {
        let Some(lane) = self.lanes[index].as_mut() else { return Ok(false) };
        let said = lane.link.said();
        let (calls, in_flight, own) = (&self.calls, &lane.in_flight, &self.origin);
        let origin = |id: Option<u64>| match id {
            Some(id) if in_flight.iter().any(|chunk| chunk.call == id) && !errand::is_one(id) => {
                calls.get(&id).map(|call| call.origin.clone())
            }
            Some(id) if !errand::is_one(id) => None,
            _ => Some(own.clone()),
        };
        let mut tell = |telling| self.heard.push(telling);
        let heard = lane.ear.listen(said, origin, &mut tell).map_err(|_| Sentence::Nonsense)?;
        Ok(heard > 0)
    }
}
