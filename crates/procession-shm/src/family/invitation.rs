//! What makes a process that was started by a member a member itself.

use std::os::fd::OwnedFd;

use super::member::Member;

/// A place in the family for a process that is about to be started: a slot, and the descriptors that open it.
///
/// The root watches the invitation from the moment it exists: when its membership socket is closed in every process
/// before somebody has joined with it (because it was dropped, or because inviter and invited died), the slot is free
/// again. So an inviter may be killed at any step and nothing is lost.
///
/// An invitation is a *trusting* handle: whoever has it can read and write the family's table. It never goes to a process
/// that is not trusted with everything the family shares.
///
/// ```
/// use procession_shm::family::{self, Invitation};
///
/// let invitation: Invitation = family::invite()?;
/// assert_ne!(invitation.member(), family::me()?);
/// let (member, descriptors) = invitation.into_fds();    // for the process that is about to be started
/// let again = Invitation::from_fds(member, descriptors);
/// assert_eq!(again.member(), member);
/// # Ok::<(), family::FamilyError>(())
/// ```
#[derive(Debug)]
pub struct Invitation {
    pub(super) member: Member,
    pub(super) table: OwnedFd,
    pub(super) socket: OwnedFd,
    pub(super) root: OwnedFd,
}

impl Invitation {
    /// Whom the invited process will be, once it has joined.
    ///
    /// ```
    /// use procession_shm::family;
    ///
    /// let guest = family::invite()?.member();
    /// assert_ne!(guest.slot(), family::me()?.slot());
    /// # Ok::<(), family::FamilyError>(())
    /// ```
    pub fn member(&self) -> Member {
        self.member
    }

    /// Takes the invitation apart to be sent to another process, which puts it together with [`from_fds`](Self::from_fds).
    ///
    /// The descriptors, all close-on-exec: the table, the membership socket, and the root's pidfd. Whoever passes them on
    /// must close its own copies afterwards: a forgotten copy of the socket hides from the root that the member has
    /// replaced itself by `exec` (its death is seen all the same).
    ///
    /// ```
    /// use procession_shm::family;
    ///
    /// let (member, [_table, _socket, root]) = family::invite()?.into_fds();
    /// assert!(member.slot() > 0 && std::os::fd::AsRawFd::as_raw_fd(&root) > 2);
    /// # Ok::<(), family::FamilyError>(())
    /// ```
    pub fn into_fds(self) -> (Member, [OwnedFd; 3]) {
        (self.member, [self.table, self.socket, self.root])
    }

    /// Puts an invitation together that another process has taken apart. Nothing is checked before
    /// [`join`](super::join) does.
    ///
    /// ```
    /// use procession_shm::family::{self, FamilyError, Invitation};
    ///
    /// let (member, descriptors) = family::invite()?.into_fds();
    /// let invitation = Invitation::from_fds(member, descriptors);
    /// // This process is a member already.
    /// assert!(matches!(family::join(invitation), Err(FamilyError::AlreadyMember { .. })));
    /// # Ok::<(), FamilyError>(())
    /// ```
    pub fn from_fds(member: Member, [table, socket, root]: [OwnedFd; 3]) -> Self {
        Self { member, table, socket, root }
    }
}
