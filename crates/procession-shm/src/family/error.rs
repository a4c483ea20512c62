//! What can go wrong between a process and its family.

#[cfg(not(procession_loom))]
use rustix::io::Errno;

#[cfg(not(procession_loom))]
use super::table::MEMBERS_MAX;
use crate::segment::SegmentError;

/// Why a process is not, or cannot become, a member of a family.
///
/// ```
/// use procession_shm::family::{self, FamilyError};
///
/// family::me()?;                                        // founds a family
/// let again = family::join(family::invite()?);
/// assert!(matches!(again, Err(FamilyError::AlreadyMember { .. })));
/// # Ok::<(), FamilyError>(())
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FamilyError {
    /// This process was made by a bare `fork` of a member, and is nobody until it asks to be somebody.
    #[error(
        "process {pid} was forked from a member of the family and is not one itself: call family::rejoin_after_fork() first, and have what it is to share sent to it"
    )]
    NotAMember {
        /// This process.
        pid: u32,
    },
    /// This process has left its family.
    #[error(
        "process {pid} has left its family: it can use nothing that the family shares any more"
    )]
    Left {
        /// This process.
        pid: u32,
    },
    /// The process that founded the family is dead or runs another program, and the family ended with it.
    #[error(
        "the root of the family (pid {pid}) is gone, and its family ended with it: exit, or start anew from a new process"
    )]
    RootGone {
        /// The root.
        pid: u32,
    },
    /// This process is a member already, and can be a member only once.
    #[error("process {pid} is a member of a family already: join before anything shared is used")]
    AlreadyMember {
        /// This process.
        pid: u32,
    },
    /// The root cannot leave its family.
    #[error("process {pid} founded its family and cannot leave it: it ends the family by exiting")]
    RootStays {
        /// This process.
        pid: u32,
    },
    /// The family has as many members and open invitations as it can have.
    #[error(
        "the family is full: it has {max} members and invitations, wait until one of them ends"
    )]
    Full {
        /// How many it can have.
        max: u16,
    },
    /// The invitation, or the slot that an attachment names, is not open any more.
    #[error(
        "the invitation to slot {slot} is not open any more: it was used or withdrawn, ask for a new one"
    )]
    InvitationClosed {
        /// The slot it was for.
        slot: u16,
    },
    /// This process or the root has no file descriptor left.
    #[error(
        "no file descriptor left for a member of the family (the root needs two for each): raise RLIMIT_NOFILE (`ulimit -n`) or close some"
    )]
    OutOfDescriptors,
    /// The kernel gives out no pidfd, without which nobody could watch over a member.
    #[error(
        "the kernel refuses a pidfd ({reason}), without which the death of a member would go unseen: allow pidfd_open in the container's seccomp profile"
    )]
    PidfdDenied {
        /// What the kernel answered.
        reason: String,
    },
    /// The family's table could not be made or mapped.
    #[error("the family's table: {0}")]
    Table(#[from] SegmentError),
    /// Something arrived that no member sends.
    #[error(
        "the family's root and this process do not understand each other, are both the same program? {reason}"
    )]
    Protocol {
        /// What it was.
        reason: &'static str,
    },
    /// A system call failed in a way that has no variant of its own.
    #[error("the family: {operation} failed: {reason}")]
    System {
        /// The system call.
        operation: &'static str,
        /// What the kernel answered.
        reason: String,
    },
}

impl FamilyError {
    #[cfg(not(procession_loom))]
    pub(super) const FULL: Self = Self::Full { max: MEMBERS_MAX - 1 };

    #[cfg(not(procession_loom))]
    pub(super) fn from_errno(operation: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::MFILE | Errno::NFILE | Errno::TOOMANYREFS => Self::OutOfDescriptors,
            Errno::PERM | Errno::NOSYS | Errno::ACCESS if operation == "pidfd_open" => {
                Self::PidfdDenied { reason: errno.to_string() }
            }
            _ => Self::System { operation, reason: errno.to_string() },
        }
    }
}
