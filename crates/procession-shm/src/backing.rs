//! The file behind a `Shared`, a `SharedBuf` or a `SharedSlice`.
//!
//! A backing is an anonymous `memfd` as a [`Segment`](crate::Segment) is, with two differences: its size is exact instead of
//! whole pages, so that everybody can tell whether a range is all of it, and its seals depend on what it is for.
//!
//! | seals | for | what nobody can do any more |
//! |---|---|---|
//! | [`FIXED_SIZE`]: `SHRINK`, `GROW`, `SEAL` | `Shared` | resize it, freeze it |
//! | [`RESERVED`]: `SHRINK`, `GROW` | `SharedBuf` | resize it |
//! | [`FROZEN`]: `SHRINK`, `GROW`, `WRITE`, `SEAL` | `SharedSlice` | resize it, write to it, punch holes into it, map it writable |
//!
//! # Invariants
//!
//! * **F1** The size never changes, and it is `len`.
//! * **F2** There is a page behind every byte, as far as can be told: made here, all pages are claimed; from another
//!   process, the kernel's count of pages is enough for the size. The second is no proof while the peer can still punch
//!   holes, nor if it hid pages behind the end; what it does prove is that the peer has paid for as much memory as reading
//!   may cost us.
//! * **F3** A `FROZEN` backing has no writable mapping in any process and never gets one: the kernel adds `WRITE` only when
//!   there is none. Its bytes are the same for everybody for ever.
//! * **F4** No system call that a stranger's file system could delay is made on a received descriptor before the kernel has
//!   answered for its seals, which it does for memory files only.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{SealFlags, Stat};
use rustix::io::Errno;

use crate::segment::{self, SegmentError};

pub(crate) use crate::segment::FIXED_SIZE;
pub(crate) const RESERVED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);
pub(crate) const FROZEN: SealFlags = FIXED_SIZE.union(SealFlags::WRITE);

/// An anonymous file in memory, of an exact size.
#[derive(Debug)]
pub(crate) struct Backing {
    fd: Arc<OwnedFd>,
    len: usize,
    identity: (u64, u64),
}

impl Backing {
    /// A file of `len` zeros, at least one.
    pub(crate) fn zeroed(len: usize, seals: SealFlags) -> Result<Self, SegmentError> {
        let fd = create(len)?;
        segment::set_len(fd.as_fd(), len)?;
        segment::claim_pages(fd.as_fd(), 0, len)?;
        Self::sealed(fd, len, seals)
    }

    /// A file that holds `bytes`, at least one. They are written by the kernel, which claims the pages on the way; that is
    /// cheaper than to claim, zero, map and fill them.
    pub(crate) fn filled(bytes: &[u8], seals: SealFlags) -> Result<Self, SegmentError> {
        let fd = create(bytes.len())?;
        write_all(fd.as_fd(), bytes)?;
        Self::sealed(fd, bytes.len(), seals)
    }

    fn sealed(fd: OwnedFd, len: usize, seals: SealFlags) -> Result<Self, SegmentError> {
        add_seals(fd.as_fd(), seals)
            .map_err(|errno| SegmentError::from_errno("fcntl(F_ADD_SEALS)", len, errno))?;
        let stat = rustix::fs::fstat(&fd)
            .map_err(|errno| SegmentError::from_errno("fstat", len, errno))?;
        Ok(Self { fd: Arc::new(fd), len, identity: identity(&stat) })
    }

    /// Takes over a file that another process sent, which need not be trusted: F1, F2 and F4 are checked.
    pub(crate) fn received(fd: Arc<OwnedFd>, seals: SealFlags) -> Result<Self, SegmentError> {
        let foreign = |reason: String| SegmentError::Foreign { reason };
        let refused = |errno: Errno| foreign(errno.to_string());
        let actual = rustix::fs::fcntl_get_seals(&*fd).map_err(refused)?;
        if !actual.contains(seals) {
            return Err(foreign(format!("seals {actual:?} where {seals:?} were promised")));
        }
        segment::check_pages(fd.as_fd())?;
        let stat = rustix::fs::fstat(&*fd).map_err(refused)?;
        let len = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        segment::checked_len(len)?;
        let claimed = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        if claimed < len as u64 {
            return Err(foreign(format!("{claimed} of its {len} bytes exist")));
        }
        Ok(Self { fd, len, identity: identity(&stat) })
    }

    /// The exact size in bytes, never 0.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn descriptor(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// Whether both are the same file. The kernel numbers its anonymous files by a 64-bit counter, so that two of them never
    /// share a number.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// F3, for which no process may map it writable: `EBUSY` otherwise.
    pub(crate) fn freeze(&self) -> Result<(), Errno> {
        add_seals(self.fd.as_fd(), FROZEN)
    }

    /// Copies from position `at` on into all of `bytes`. The kernel does the copying, so a peer that writes at the same time
    /// spoils bytes and nothing else.
    pub(crate) fn read_exact(&self, at: usize, bytes: &mut [u8]) -> Result<(), SegmentError> {
        let len = bytes.len();
        let mut done = 0;
        while done < len {
            let position = (at + done) as u64;
            let count = rustix::io::retry_on_intr(|| {
                rustix::io::pread(&*self.fd, &mut bytes[done..], position)
            })
            .map_err(|errno| SegmentError::from_errno("pread", len, errno))?;
            if count == 0 {
                return Err(SegmentError::Foreign { reason: "it ends early".to_owned() });
            }
            done += count;
        }
        Ok(())
    }
}

impl AsFd for Backing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn create(len: usize) -> Result<OwnedFd, SegmentError> {
    let pages = segment::checked_len(len)?;
    segment::check_file_size_limit(pages)?;
    segment::check_memory_left(pages)?;
    segment::create()
}

fn add_seals(fd: BorrowedFd<'_>, seals: SealFlags) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::fs::fcntl_add_seals(fd, seals))
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn write_all(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), SegmentError> {
    let failed = |errno| SegmentError::from_errno("pwrite", bytes.len(), errno);
    let mut done = 0;
    while done < bytes.len() {
        let written =
            rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, &bytes[done..], done as u64));
        match written.map_err(failed)? {
            0 => return Err(failed(Errno::NOSPC)),
            count => done += count,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page_size;

    fn memfd() -> OwnedFd {
        segment::create().unwrap()
    }

    fn received(fd: impl Into<OwnedFd>, seals: SealFlags) -> Result<Backing, SegmentError> {
        Backing::received(Arc::new(fd.into()), seals)
    }

    fn reason(result: Result<Backing, SegmentError>) -> String {
        match result {
            Err(SegmentError::Foreign { reason }) => reason,
            other => format!("accepted or another error: {other:?}"),
        }
    }

    #[test]
    fn sizes_are_exact_and_bounded() {
        assert_eq!(Backing::zeroed(5, RESERVED).unwrap().len(), 5);
        assert_eq!(Backing::filled(b"seven b", FROZEN).unwrap().len(), 7);
        assert!(matches!(Backing::zeroed(0, RESERVED), Err(SegmentError::Empty)));
        let huge = Backing::zeroed(usize::MAX, RESERVED);
        assert!(matches!(huge, Err(SegmentError::TooLarge { .. })));
        let more_than_there_is = Backing::zeroed(1 << 46, RESERVED);
        assert!(matches!(more_than_there_is, Err(SegmentError::OutOfMemory { .. })));
    }

    #[test]
    fn what_was_filled_in_is_read_back() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * page_size() + 7).collect();
        let backing = Backing::filled(&bytes, FROZEN).unwrap();
        let mut copy = vec![0; bytes.len() - 10];
        backing.read_exact(10, &mut copy).unwrap();
        assert_eq!(copy, bytes[10..]);
    }

    #[test]
    fn a_frozen_file_cannot_be_written_resized_or_punched() {
        let backing = Backing::zeroed(page_size(), RESERVED).unwrap();
        backing.freeze().unwrap();
        assert_eq!(rustix::io::pwrite(&backing, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&backing, 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&backing, 1 << 20), Err(Errno::PERM));
        let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        let punched = rustix::fs::fallocate(&backing, hole, 0, page_size() as u64);
        assert_eq!(punched, Err(Errno::PERM));
    }

    #[test]
    fn a_file_without_the_seals_is_refused() {
        let resizable = memfd();
        rustix::fs::ftruncate(&resizable, 8).unwrap();
        assert!(reason(received(resizable, RESERVED)).contains("seals"));
        let writable = Backing::zeroed(8, RESERVED).unwrap();
        assert!(reason(received(writable.fd.try_clone().unwrap(), FROZEN)).contains("seals"));
        assert!(received(writable.fd.try_clone().unwrap(), RESERVED).is_ok());
    }

    #[test]
    fn what_is_no_memory_is_refused() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        for fd in [std::fs::File::open("/dev/zero").unwrap().into(), OwnedFd::from(socket)] {
            assert!(matches!(received(fd, RESERVED), Err(SegmentError::Foreign { .. })));
        }
    }

    #[test]
    fn a_file_of_holes_is_refused() {
        let sparse = memfd();
        rustix::fs::ftruncate(&sparse, 1 << 40).unwrap();
        add_seals(sparse.as_fd(), FROZEN).unwrap();
        assert!(reason(received(sparse, FROZEN)).contains("exist"));
    }

    #[test]
    fn an_empty_file_is_refused() {
        let empty = memfd();
        add_seals(empty.as_fd(), FROZEN).unwrap();
        assert!(matches!(received(empty, FROZEN), Err(SegmentError::Empty)));
    }

    #[test]
    fn a_file_is_itself_through_every_descriptor() {
        let one = Backing::zeroed(8, RESERVED).unwrap();
        let again = received(one.fd.try_clone().unwrap(), RESERVED).unwrap();
        let other = Backing::zeroed(8, RESERVED).unwrap();
        assert!(one.is(&again));
        assert!(!one.is(&other));
    }
}
