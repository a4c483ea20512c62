//! What all handles of a queue in a process have in common, and how they get to other processes.
//!
//! # Who is there
//!
//! The two sockets of the pair beside the ring are the two kinds of handles: whoever can put has the one, whoever can get the
//! other. A socket hangs up when nobody has the other one any more, in no process and in no message. So it is the kernel that
//! counts the halves, and a process that is killed takes its own along.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use procession_shm::family::{self, FamilyError, Member};
use procession_shm::sync::atomic::AtomicU32;
use procession_shm::sync::atomic::Ordering::{Relaxed, Release};
use procession_shm::transfer::{self, TransferError};
use procession_shm::{Segment, Shared, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
use serde::{Deserialize, Serialize};

use super::control::{Control, Place, Settings};
use super::ends::Ends;
use super::mapped::Store;
use super::{QueueError, packets};
use crate::budget::{Account, Charge};

/// So many bytes of the ring are in use at first.
const FIRST_WINDOW: u64 = 64 << 10;

pub(super) type Body = Ends<Shared<Control>, Store>;

/// Which half a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Put,
    Get,
}

/// This process' share in one half of a queue.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) body: Arc<Body>,
    half: Half,
    /// `None` only while it is dropped.
    socket: Option<Arc<OwnedFd>>,
    generation: u64,
    account: Mutex<Account>,
    pub(super) streak: Streak,
}

/// Whether the last operations of this process, about, did not have to wait: it is in the middle of a stream. Who sends one value
/// and waits for another in reply is in none.
#[derive(Debug, Default)]
pub(super) struct Streak(AtomicU32);

impl Streak {
    const ENOUGH: u32 = 2;

    #[inline]
    pub(super) fn is_stream(&self) -> bool {
        self.0.load(Relaxed) >= Self::ENOUGH
    }

    /// Counts an operation that was done at the first attempt, or not.
    #[inline]
    pub(super) fn note(&self, is_at_once: bool) {
        let count = self.0.load(Relaxed);
        let now = if is_at_once { (count + 1).min(Self::ENOUGH) } else { 0 };
        if now != count {
            self.0.store(now, Relaxed);
        }
    }
}

impl Seat {
    fn new(body: Arc<Body>, half: Half, socket: Arc<OwnedFd>) -> Arc<Self> {
        // A process for which no generation can be drawn has none of the fork either.
        let generation = fork::generation().unwrap_or_default();
        let (account, streak) = (Mutex::default(), Streak::default());
        Arc::new(Self { body, half, socket: Some(socket), generation, account, streak })
    }

    #[inline]
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.arc().as_fd()
    }

    #[inline]
    fn arc(&self) -> &Arc<OwnedFd> {
        self.socket.as_ref().expect("only the destructor takes it")
    }

    /// Counts descriptors among those that this process has under way; `None` when they are too many.
    pub(super) fn charge(&self, count: usize) -> io::Result<Option<Charge>> {
        let body = Arc::clone(&self.body);
        let is_delivered = move |end| {
            let cursor = Place(body.control.get.cursor.load(Relaxed));
            cursor.items_since(Place(end)) <= u32::MAX / 2
        };
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        account.charge(count, is_delivered)
    }

    /// Whether nobody has the other half any more.
    pub(super) fn is_alone(&self) -> bool {
        let mut socket = [PollFd::new(self.arc(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let asked = rustix::io::retry_on_intr(|| poll(&mut socket, Some(&now)));
        // A kernel that cannot say has not said that it is so.
        asked.is_ok() && socket[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// The word that is 1 once a handle may be in a message, so that its end need not be that of a process.
    pub(super) fn travels(&self) -> &AtomicU32 {
        &self.body.control.state.travels
    }

    /// The member that this process is, if the queue is mapped here.
    #[inline]
    pub(super) fn me(&self) -> Result<Member, FamilyError> {
        let me = family::me()?;
        // One that was forked has no part in the queue, nor when it has joined the family by itself.
        if self.is_here() {
            Ok(me)
        } else {
            Err(FamilyError::NotAMember { pid: std::process::id() })
        }
    }

    /// Whether this process has the queue, and not only a copy of its handle from before a fork.
    #[inline]
    pub(super) fn is_here(&self) -> bool {
        fork::is_current(self.generation)
    }
}

/// The last handle of this half in this process tells those who wait for the other one.
impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.socket.take());
        if self.is_here() {
            let control = &*self.body.control;
            match self.half {
                Half::Put => control.not_empty.wake_all(),
                Half::Get => control.not_full.wake_all(),
            }
        }
    }
}

/// Makes a queue.
pub(super) fn create(settings: Settings) -> Result<(Arc<Seat>, Arc<Seat>), QueueError> {
    let window = FIRST_WINDOW.min(settings.capacity);
    let len = usize::try_from(settings.capacity).unwrap_or(usize::MAX);
    let segment = Segment::sparse(len)?;
    #[expect(clippy::cast_possible_truncation, reason = "at most the capacity, a usize")]
    Segment::claim(&segment, 0..window as usize)?;
    let control = Shared::new(Control::new(settings, window))?;
    let body = Arc::new(Ends::new(control, Store::over(segment)?, settings));
    let (put, get) = sockets().map_err(|errno| QueueError::Socket(errno.into()))?;
    Ok((Seat::new(Arc::clone(&body), Half::Put, put), Seat::new(body, Half::Get, get)))
}

fn sockets() -> rustix::io::Result<(Arc<OwnedFd>, Arc<OwnedFd>)> {
    let flags = SocketFlags::CLOEXEC;
    let (put, get) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    sockopt::set_socket_send_buffer_size(&put, packets::BUFFER_LEN)?;
    Ok((Arc::new(put), Arc::new(get)))
}

/// What a handle says of itself in a message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Passport {
    control: Shared<Control>,
    memory: u32,
    put: Option<u32>,
    get: Option<u32>,
}

impl Passport {
    /// Attaches a handle to the message that is being encoded.
    pub(super) fn of(
        handle: &'static str,
        put: Option<&Seat>,
        get: Option<&Seat>,
    ) -> Result<Self, TransferError> {
        let reason = "it is no half of a queue";
        let seat = put.or(get).ok_or(TransferError::Malformed { handle, reason })?;
        if !seat.is_here() {
            return Err(TransferError::Moved { handle });
        }
        let body = &seat.body;
        let memory = transfer::attach(handle, body.bytes.memory())?;
        let attach = |seat: &Seat| transfer::attach(handle, seat.arc());
        let (put, get) = (put.map(attach).transpose()?, get.map(attach).transpose()?);
        body.control.state.travels.store(1, Release);
        Ok(Self { control: body.control.clone(), memory, put, get })
    }

    /// The seats of a handle that has come.
    #[expect(clippy::type_complexity, reason = "the half that puts, the half that gets")]
    pub(super) fn take_over(self) -> Result<(Option<Arc<Seat>>, Option<Arc<Seat>>), TransferError> {
        let settings = *self.control.settings;
        let len = usize::try_from(settings.capacity).unwrap_or(usize::MAX);
        let store = Store::received(transfer::descriptor(self.memory)?, len)?;
        let body = Arc::new(Ends::new(self.control, store, settings));
        let seat = |half, index: Option<u32>| -> Result<_, TransferError> {
            let socket = index.map(transfer::descriptor).transpose()?;
            Ok(socket.map(|socket| Seat::new(Arc::clone(&body), half, socket)))
        };
        Ok((seat(Half::Put, self.put)?, seat(Half::Get, self.get)?))
    }
}
