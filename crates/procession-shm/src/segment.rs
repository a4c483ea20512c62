//! Anonymous shared memory of a fixed size.
//!
//! A segment is a sealed `memfd`. It was chosen over POSIX shared memory because it has no name: nothing can be left in
//! `/dev/shm` by a crash, and nobody who was not handed the descriptor can open it.
//!
//! Invariants:
//!
//! * **S1** The size never changes: `F_SEAL_SHRINK | F_SEAL_GROW` are set before anybody else sees the descriptor, so a
//!   mapping of it never faults because a peer cut the file. (A peer can still punch a hole, which reads as zeros; whoever
//!   reads from an untrusted peer checks what he reads anyway.)
//! * **S2** Every page is claimed before it is touched, so a machine that is full says so with an error and not with a signal
//!   at the first touch: when the segment is made, or, in a sparse one, by [`Segment::claim`].
//! * **S3** A descriptor that came from another process is used only after S1 has been checked on it, its pages are of the usual
//!   size, and it is as long as expected.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::Resource;

use crate::mapping::Mapping;
use crate::{page_align, page_size};

/// The seals of every segment: its size is fixed (S1) and no seal can be taken back or added that would break a user.
pub(crate) const FIXED_SIZE: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Anonymous shared memory of a fixed size: a sealed, close-on-exec `memfd`.
///
/// It lives until its last descriptor and its last mapping are gone, in whichever process they are, and never has a name.
///
/// ```
/// use procession_shm::Segment;
///
/// let segment = Segment::new(10_000)?;
/// assert_eq!(segment.len() % procession_shm::page_size(), 0);
/// let received = Segment::from_fd(segment.into_fd(), 10_000)?; // as another process would
/// assert!(received.map().is_ok());
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[derive(Debug)]
pub struct Segment {
    fd: OwnedFd,
    len: usize,
}

/// Why a segment could not be made, taken over or mapped.
///
/// ```
/// use procession_shm::{Segment, SegmentError};
///
/// assert!(matches!(Segment::new(0), Err(SegmentError::Empty)));
/// assert!(matches!(Segment::new(usize::MAX), Err(SegmentError::TooLarge { .. })));
/// let file = std::fs::File::open("/dev/null").unwrap();
/// assert!(matches!(Segment::from_fd(file.into(), 4096), Err(SegmentError::Foreign { .. })));
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// A segment of no bytes was asked for.
    #[error("a shared memory segment cannot be empty: ask for at least 1 byte")]
    Empty,
    /// The size does not fit into the address space.
    #[error(
        "a shared memory segment of {len} bytes does not fit into the address space: ask for less"
    )]
    TooLarge {
        /// The size that was asked for, in bytes.
        len: usize,
    },
    /// The size is over this process' file size limit, under which the kernel would answer with a deadly `SIGXFSZ`.
    #[error(
        "shared memory of {len} bytes is over this process' file size limit of {limit} bytes: raise RLIMIT_FSIZE (`ulimit -f`)"
    )]
    FileSizeLimit {
        /// The size that was asked for, in bytes, rounded up to whole pages.
        len: usize,
        /// The soft limit in bytes.
        limit: u64,
    },
    /// The machine, the container or this process has no memory left for it.
    #[error(
        "no memory left for {len} bytes of shared memory: free some, or raise the limit of the container or of this process (`ulimit -v`)"
    )]
    OutOfMemory {
        /// The size that was asked for, in bytes, rounded up to whole pages.
        len: usize,
    },
    /// This process, or the whole machine, has no file descriptor left.
    #[error(
        "no file descriptor left for shared memory: raise RLIMIT_NOFILE (`ulimit -n`) or close some"
    )]
    OutOfDescriptors,
    /// The kernel does not let this process have anonymous shared memory.
    #[error(
        "the kernel refuses anonymous shared memory (memfd_create: {reason}): allow the memfd_create system call in the container's seccomp profile"
    )]
    Denied {
        /// What the kernel answered.
        reason: String,
    },
    /// A descriptor that another process sent is not a segment of the expected size.
    #[error(
        "a received descriptor is not a shared memory segment of Procession, its sender is broken or hostile: {reason}"
    )]
    Foreign {
        /// What is wrong with it.
        reason: String,
    },
    /// This process is a template of others, which would not have this memory: see
    /// [`set_template`](crate::fork::set_template).
    #[error(
        "shared memory cannot be made in a preload function, since the processes that are forked do not inherit it: make it in each of them, or send it"
    )]
    Template,
    /// A system call failed in a way that has no variant of its own.
    #[error("shared memory: {operation} failed: {reason}")]
    System {
        /// The system call.
        operation: &'static str,
        /// What the kernel answered.
        reason: String,
    },
}

impl SegmentError {
    pub(crate) fn from_errno(operation: &'static str, len: usize, errno: Errno) -> Self {
        match errno {
            Errno::NOMEM | Errno::NOSPC => Self::OutOfMemory { len },
            Errno::MFILE | Errno::NFILE => Self::OutOfDescriptors,
            Errno::PERM | Errno::ACCESS | Errno::NOSYS if operation == "memfd_create" => {
                Self::Denied { reason: errno.to_string() }
            }
            _ => Self::System { operation, reason: errno.to_string() },
        }
    }
}

impl Segment {
    /// Makes a segment of at least `len` bytes, all zero, rounded up to whole pages.
    ///
    /// # Errors
    ///
    /// [`Empty`](SegmentError::Empty), [`TooLarge`](SegmentError::TooLarge) and
    /// [`FileSizeLimit`](SegmentError::FileSizeLimit) for the size; [`OutOfMemory`](SegmentError::OutOfMemory) and
    /// [`OutOfDescriptors`](SegmentError::OutOfDescriptors) for a full machine; [`Denied`](SegmentError::Denied) where a
    /// seccomp filter forbids it.
    ///
    /// ```
    /// use procession_shm::Segment;
    ///
    /// let mapping = Segment::new(4096)?.map()?;
    /// let mut bytes = Vec::new();
    /// mapping.read(0, 4096, &mut bytes);
    /// assert!(bytes.iter().all(|byte| *byte == 0));
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn new(len: usize) -> Result<Self, SegmentError> {
        let segment = Self::sparse(len)?;
        Self::claim(&segment, 0..segment.len)?;
        Ok(segment)
    }

    /// Makes a segment of at least `len` bytes that takes no memory yet. Its users [`claim`](Self::claim) what they are about
    /// to touch, and map it with [`map_sparse`](Self::map_sparse).
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), without `OutOfMemory` for the pages.
    ///
    /// ```
    /// use procession_shm::Segment;
    ///
    /// let segment = Segment::sparse(1 << 30)?;              // takes no memory
    /// Segment::claim(&segment, 0..4096)?;
    /// segment.map_sparse()?.write(0, b"hello");
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn sparse(len: usize) -> Result<Self, SegmentError> {
        let len = checked_len(len)?;
        check_file_size_limit(len)?;
        let fd = create()?;
        set_len(fd.as_fd(), len)?;
        rustix::fs::fcntl_add_seals(&fd, FIXED_SIZE)
            .map_err(|errno| SegmentError::from_errno("fcntl(F_ADD_SEALS)", len, errno))?;
        Ok(Self { fd, len })
    }

    /// Claims the memory behind `range` of a segment whose descriptor is `memory` (S2). What was claimed before stays as it
    /// is.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](SegmentError::OutOfMemory) when there is not so much left; other variants when the kernel refuses.
    ///
    /// ```
    /// use procession_shm::Segment;
    ///
    /// let segment = Segment::sparse(1 << 20)?;
    /// Segment::claim(&segment, 4096..8192)?;
    /// let mapping = segment.map_sparse()?;
    /// mapping.write(4096, b"here, and nowhere else");
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn claim(memory: impl AsFd, range: Range<usize>) -> Result<(), SegmentError> {
        check_memory_left(range.len())?;
        claim_pages(memory.as_fd(), range.start, range.len())
    }

    /// Takes over a segment of `len` bytes (before rounding) whose descriptor another process sent.
    ///
    /// The sender need not be trusted: the descriptor is checked (S3) before anything is mapped from it.
    ///
    /// # Errors
    ///
    /// [`Foreign`](SegmentError::Foreign) when the descriptor has no seals, may still be resized, has huge pages, or has another
    /// size.
    ///
    /// ```
    /// use procession_shm::{Segment, SegmentError};
    ///
    /// let fd = Segment::new(8192)?.into_fd();
    /// let wrong = Segment::from_fd(fd.try_clone().unwrap(), 1 << 20);
    /// assert!(matches!(wrong, Err(SegmentError::Foreign { .. })));
    /// assert_eq!(Segment::from_fd(fd, 8192)?.len(), 8192);
    /// # Ok::<(), SegmentError>(())
    /// ```
    pub fn from_fd(fd: OwnedFd, len: usize) -> Result<Self, SegmentError> {
        let len = check_memory(fd.as_fd(), len)?;
        Ok(Self { fd, len })
    }

    /// Whether [`from_fd`](Self::from_fd) would take it.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use procession_shm::Segment;
    ///
    /// assert!(Segment::check(std::io::stdin(), 8192).is_err());
    /// ```
    pub fn check(memory: impl AsFd, len: usize) -> Result<(), SegmentError> {
        check_memory(memory.as_fd(), len).map(drop)
    }

    /// [`from_fd`](Self::from_fd), then [`map_sparse`](Self::map_sparse), for a descriptor that stays the caller's: a process that has
    /// no other one left can do this.
    ///
    /// # Errors
    ///
    /// Those of both.
    ///
    /// ```
    /// use procession_shm::Segment;
    ///
    /// let fd = Segment::new(8192)?.into_fd();
    /// let mapping = Segment::map_sparse_from(&fd, 8192)?;
    /// mapping.write(0, b"hello");
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn map_sparse_from(memory: impl AsFd, len: usize) -> Result<Mapping, SegmentError> {
        let len = check_memory(memory.as_fd(), len)?;
        Mapping::sparse(memory.as_fd(), len)
    }

    /// The size in bytes, a multiple of the page size.
    ///
    /// ```
    /// use procession_shm::{Segment, page_size};
    ///
    /// assert_eq!(Segment::new(1)?.len(), page_size());
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    #[expect(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Maps the whole segment for reading and writing.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](SegmentError::OutOfMemory) when the address space or the number of mappings is used up.
    ///
    /// ```
    /// use std::sync::atomic::Ordering;
    ///
    /// let segment = procession_shm::Segment::new(4096)?;
    /// let (one, other) = (segment.map()?, segment.map()?);
    /// drop(segment);                                        // the memory lives as long as a mapping
    /// one.atomic_u32(0).store(7, Ordering::Release);
    /// assert_eq!(other.atomic_u32(0).load(Ordering::Acquire), 7);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn map(&self) -> Result<Mapping, SegmentError> {
        Mapping::plain(self.as_fd(), self.len)
    }

    /// Maps the whole segment for reading and writing, and touches nothing. What was not [claimed](Self::claim) must not be
    /// touched through the mapping.
    ///
    /// # Errors
    ///
    /// Those of [`map`](Self::map).
    ///
    /// ```
    /// use procession_shm::Segment;
    ///
    /// let segment = Segment::sparse(1 << 20)?;
    /// Segment::claim(&segment, 0..4096)?;
    /// let mapping = segment.map_sparse()?;
    /// mapping.write(0, b"hello");
    /// assert_eq!(mapping.len(), 1 << 20);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn map_sparse(&self) -> Result<Mapping, SegmentError> {
        Mapping::sparse(self.as_fd(), self.len)
    }

    /// Maps the first `head` bytes once and all that follows twice in a row, so that a ring which lies there never wraps:
    /// the byte after its last one is its first one again.
    ///
    /// The mapping is `head + 2 * (len - head)` bytes long. `head` is a multiple of the page size.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](SegmentError::OutOfMemory) when the address space or the number of mappings is used up.
    ///
    /// # Panics
    ///
    /// When `head` is no multiple of the page size or leaves nothing to mirror.
    ///
    /// ```
    /// use procession_shm::{Segment, page_size};
    ///
    /// let page = page_size();
    /// let mapping = Segment::new(2 * page)?.map_mirrored(page)?; // one page of words, a ring of one page
    /// mapping.write(2 * page - 2, b"abcd");                 // over the end of the ring
    /// let mut bytes = Vec::new();
    /// mapping.read(page, 2, &mut bytes);
    /// assert_eq!(bytes, b"cd");                             // at its beginning
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn map_mirrored(&self, head: usize) -> Result<Mapping, SegmentError> {
        assert!(head.is_multiple_of(page_size()), "the head must be whole pages");
        assert!(head < self.len, "there must be something to mirror behind the head");
        Mapping::mirrored(self.as_fd(), head, self.len - head)
    }

    /// The descriptor, to be sent to another process.
    ///
    /// ```
    /// use std::os::fd::OwnedFd;
    /// use procession_shm::Segment;
    ///
    /// let fd: OwnedFd = Segment::new(4096)?.into_fd();
    /// assert!(Segment::from_fd(fd, 4096).is_ok());
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<SegmentError> for io::Error {
    fn from(error: SegmentError) -> Self {
        let kind = match error {
            SegmentError::OutOfMemory { .. } => io::ErrorKind::OutOfMemory,
            SegmentError::Denied { .. } => io::ErrorKind::PermissionDenied,
            SegmentError::Empty | SegmentError::TooLarge { .. } => io::ErrorKind::InvalidInput,
            SegmentError::Foreign { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The process that makes a mapping, told from those forked from it, in which the mapping is not there.
pub(crate) fn maker() -> Result<u64, SegmentError> {
    if crate::fork::is_template() {
        return Err(SegmentError::Template);
    }
    let operation = "mmap";
    crate::fork::generation()
        .map_err(|error| SegmentError::System { operation, reason: error.to_string() })
}

/// Whether it is memory of this size that nobody can resize (S3); the size in whole pages.
fn check_memory(fd: BorrowedFd<'_>, len: usize) -> Result<usize, SegmentError> {
    let len = checked_len(len)?;
    let foreign = |reason: String| SegmentError::Foreign { reason };
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|errno| foreign(errno.to_string()))?;
    if !seals.contains(FIXED_SIZE) {
        return Err(foreign(format!("its size is not sealed ({seals:?})")));
    }
    check_pages(fd)?;
    let actual = rustix::fs::fstat(fd).map_err(|errno| foreign(errno.to_string()))?.st_size;
    if u64::try_from(actual) != Ok(len as u64) {
        return Err(foreign(format!("it has {actual} bytes where {len} were announced")));
    }
    Ok(len)
}

/// What `statfs` says of files in memory with pages of the usual size. A file of huge pages has seals too, but to touch a hole
/// in it is a deadly signal where no huge page is left.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Whether a memory file that a stranger sent, which its seals have shown it to be, has pages of the usual size.
pub(crate) fn check_pages(fd: BorrowedFd<'_>) -> Result<(), SegmentError> {
    let foreign = |reason: String| SegmentError::Foreign { reason };
    let system = rustix::io::retry_on_intr(|| rustix::fs::fstatfs(fd));
    match system.map_err(|errno| foreign(errno.to_string()))?.f_type {
        TMPFS_MAGIC => Ok(()),
        _ => Err(foreign("it is made of huge pages".to_owned())),
    }
}

pub(crate) fn checked_len(len: usize) -> Result<usize, SegmentError> {
    if len == 0 {
        return Err(SegmentError::Empty);
    }
    // A mapping is addressed with isize offsets, and a mirrored one is up to twice as long as its segment.
    page_align(len)
        .filter(|&aligned| aligned <= (isize::MAX / 2).cast_unsigned())
        .ok_or(SegmentError::TooLarge { len })
}

pub(crate) fn check_file_size_limit(len: usize) -> Result<(), SegmentError> {
    match crate::limit::soft(Resource::Fsize) {
        Some(limit) if limit < len as u64 => Err(SegmentError::FileSizeLimit { len, limit }),
        _ => Ok(()),
    }
}

/// From this size on a claim is worth a look at how much memory is left.
const LARGE: usize = 16 << 20;

/// The kernel claims pages for a memfd until none is left, and then kills somebody to get more: asked for more than there
/// is, it must be refused beforehand. Where `/proc` does not say how much there is, the kernel's own judgement stands.
pub(crate) fn check_memory_left(len: usize) -> Result<(), SegmentError> {
    let enough = || memory_available().is_none_or(|available| len as u64 <= available);
    if len < LARGE || enough() { Ok(()) } else { Err(SegmentError::OutOfMemory { len }) }
}

/// What the kernel believes it can give out without swapping, in bytes.
fn memory_available() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `memfd_create`, not executable where the kernel (6.3) knows how to say so.
pub(crate) fn create() -> Result<OwnedFd, SegmentError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    rustix::fs::memfd_create(c"procession", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|errno| match errno {
            Errno::INVAL => rustix::fs::memfd_create(c"procession", flags),
            _ => Err(errno),
        })
        .map_err(|errno| SegmentError::from_errno("memfd_create", 0, errno))
}

pub(crate) fn set_len(fd: BorrowedFd<'_>, len: usize) -> Result<(), SegmentError> {
    rustix::io::retry_on_intr(|| rustix::fs::ftruncate(fd, len as u64))
        .map_err(|errno| SegmentError::from_errno("ftruncate", len, errno))
}

/// So much is claimed at a time when signals come: about a millisecond.
const PIECE: usize = 4 << 20;

/// S2. A signal handler may interrupt a claim, which some kernels then undo. Made again as it was, a long one would never come to its
/// end where a signal comes every few milliseconds, as a profiler's does; so it is made again in pieces.
pub(crate) fn claim_pages(fd: BorrowedFd<'_>, from: usize, len: usize) -> Result<(), SegmentError> {
    match fallocate(fd, from, len) {
        Err(Errno::INTR) => claim_in_pieces(fd, from, len),
        claimed => claimed,
    }
    .map_err(|errno| SegmentError::from_errno("fallocate", len, errno))
}

/// Signals are for the time between two pieces.
#[cold]
fn claim_in_pieces(fd: BorrowedFd<'_>, from: usize, len: usize) -> Result<(), Errno> {
    for start in (from..from + len).step_by(PIECE) {
        let _until_it_is_claimed = crate::quiet::block();
        let piece = PIECE.min(from + len - start);
        // Some signals cannot be blocked.
        rustix::io::retry_on_intr(|| fallocate(fd, start, piece))?;
    }
    Ok(())
}

fn fallocate(fd: BorrowedFd<'_>, from: usize, len: usize) -> Result<(), Errno> {
    rustix::fs::fallocate(fd, FallocateFlags::empty(), from as u64, len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::atomic::Ordering;

    #[test]
    fn sizes_that_make_no_sense_are_errors() {
        assert!(matches!(Segment::new(0), Err(SegmentError::Empty)));
        assert!(matches!(Segment::new(usize::MAX), Err(SegmentError::TooLarge { .. })));
        let huge = Segment::new(1 << 46);
        assert!(matches!(huge, Err(SegmentError::OutOfMemory { .. })), "{huge:?}");
        assert!(
            huge.unwrap_err().to_string().contains("ulimit -v"),
            "it may be this process that may not"
        );
    }

    #[test]
    fn sizes_are_rounded_up_to_pages() {
        assert_eq!(Segment::new(1).unwrap().len(), page_size());
        assert_eq!(Segment::new(page_size() + 1).unwrap().len(), 2 * page_size());
    }

    #[test]
    fn a_sparse_segment_takes_memory_where_it_is_claimed() {
        let blocks = |segment: &Segment| rustix::fs::fstat(segment).unwrap().st_blocks;
        let segment = Segment::sparse(1 << 30).unwrap();
        let mapping = segment.map_sparse().unwrap();
        assert_eq!(blocks(&segment), 0);
        Segment::claim(&segment, 1 << 20..2 << 20).unwrap();
        mapping.write((2 << 20) - 1, b"x");
        assert_eq!(blocks(&segment) * 512, 1 << 20);
    }

    #[test]
    fn what_is_claimed_in_pieces_is_all_of_it_and_nothing_else() {
        for (from, len) in [(0, 3), (1, PIECE / page_size()), (2, 2 * PIECE / page_size() + 1)] {
            let (from, len) = (from * page_size(), len * page_size());
            let segment = Segment::sparse(4 * PIECE).unwrap();
            claim_in_pieces(segment.as_fd(), from, len).unwrap();
            let blocks = |segment: &Segment| rustix::fs::fstat(segment).unwrap().st_blocks;
            let claimed = blocks(&segment);
            claim_pages(segment.as_fd(), from, len).unwrap();
            assert_eq!(blocks(&segment), claimed, "it was all there already");
        }
    }

    #[test]
    fn nobody_can_resize_it_or_add_seals() {
        let segment = Segment::new(1).unwrap();
        assert_eq!(rustix::fs::ftruncate(&segment, 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&segment, 1 << 20), Err(Errno::PERM));
        let more = rustix::fs::fcntl_add_seals(&segment, SealFlags::WRITE);
        assert_eq!(more, Err(Errno::PERM));
    }

    #[test]
    fn a_received_descriptor_is_checked() {
        let fd = || Segment::new(1).unwrap().into_fd();
        assert!(Segment::from_fd(fd(), 1).is_ok());
        let other_size = Segment::from_fd(fd(), 3 * page_size());
        assert!(matches!(other_size, Err(SegmentError::Foreign { .. })));
        let unsealed = create().unwrap();
        rustix::fs::ftruncate(&unsealed, page_size() as u64).unwrap();
        assert!(matches!(Segment::from_fd(unsealed, 1), Err(SegmentError::Foreign { .. })));
        let no_memory = std::fs::File::open("/dev/null").unwrap().into();
        assert!(matches!(Segment::from_fd(no_memory, 1), Err(SegmentError::Foreign { .. })));
    }

    /// It has seals and a size like any other. But a hole that its sender punches into it later can be filled only from what huge
    /// pages are left, and if none is, to touch it is deadly.
    #[test]
    fn a_received_descriptor_of_huge_pages_is_refused() {
        const LEN: usize = 1 << 30;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
        let huge = rustix::fs::memfd_create(c"procession-test", flags).and_then(|fd| {
            rustix::fs::ftruncate(&fd, LEN as u64)?;
            rustix::fs::fcntl_add_seals(&fd, FIXED_SIZE).map(|()| fd)
        });
        match huge {
            Ok(huge) => {
                assert!(matches!(Segment::check(&huge, LEN), Err(SegmentError::Foreign { .. })));
                let refused = Segment::from_fd(huge, LEN);
                assert!(matches!(refused, Err(SegmentError::Foreign { .. })), "{refused:?}");
            }
            Err(errno) => {
                let test = "a_received_descriptor_of_huge_pages_is_refused";
                skips::skipped(test, &format!("this kernel has no huge pages: {errno}"));
            }
        }
    }

    #[test]
    fn two_mappings_show_the_same_bytes_and_a_mirror_repeats_them() {
        let page = page_size();
        let segment = Segment::new(3 * page).unwrap();
        let (plain, mirrored) = (segment.map().unwrap(), segment.map_mirrored(page).unwrap());
        plain.write(3 * page - 2, b"ab");
        plain.write(page, b"cd");
        let mut seen = Vec::new();
        mirrored.read(3 * page - 2, 4, &mut seen);
        assert_eq!(seen, b"abcd");
        mirrored.write(5 * page - 1, b"z");
        seen.clear();
        plain.read(3 * page - 1, 1, &mut seen);
        assert_eq!(seen, b"z");
    }

    /// A mapping has whole pages, so words on the first one are not checked against its length.
    #[test]
    fn a_word_behind_the_end_of_a_mapping_is_refused() {
        let (short, long) = (Segment::new(1).unwrap(), Segment::new(2 * page_size()).unwrap());
        let offset = page_size();
        assert_eq!(long.map().unwrap().atomic_u64(offset).load(Ordering::Relaxed), 0);
        let mapping = short.map().unwrap();
        assert_eq!(mapping.atomic_u64(offset - 8).load(Ordering::Relaxed), 0);
        for offset in [offset, usize::MAX - 7] {
            let word =
                std::panic::AssertUnwindSafe(|| std::ptr::from_ref(mapping.atomic_u64(offset)));
            assert!(std::panic::catch_unwind(word).is_err(), "{offset}");
        }
    }

    #[test]
    fn words_outside_of_a_mapping_are_not_copied() {
        let mapping = Segment::new(1).unwrap().map().unwrap();
        mapping.write_words(page_size() - 16, [7, 8]);
        let mut words = [0; 2];
        mapping.read_words(page_size() - 16, &mut words);
        assert_eq!(words, [7, 8]);
        for offset in [page_size() - 8, page_size(), usize::MAX, usize::MAX - 15] {
            let write = std::panic::AssertUnwindSafe(|| mapping.write_words(offset, [7, 8]));
            assert!(std::panic::catch_unwind(write).is_err(), "{offset}");
            let read = std::panic::AssertUnwindSafe(|| mapping.read_words(offset, &mut [0; 2]));
            assert!(std::panic::catch_unwind(read).is_err(), "{offset}");
        }
    }

    #[test]
    #[should_panic(expected = "inside its mapping")]
    fn a_copy_beyond_the_end_is_refused() {
        let mapping = Segment::new(1).unwrap().map().unwrap();
        mapping.write(page_size() - 1, b"xy");
    }
}
