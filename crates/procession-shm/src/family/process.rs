//! The family as a process sees it.

use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool; // tidy: raw atomic: private to this process

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::wait::Watch;

use super::error::FamilyError;
use super::identity;
use super::invitation::Invitation;
use super::member::Member;
use super::session::Session;
use super::watcher::{self, Watcher};

/// The member that this process is: a few nanoseconds, once it is one.
///
/// The first call in a process that was given no family founds one with this process as its root, and starts the thread
/// that watches over it. It does not block.
///
/// # Errors
///
/// [`NotAMember`](FamilyError::NotAMember) in a process that was made by a bare `fork` of a member;
/// [`Left`](FamilyError::Left) and [`RootGone`](FamilyError::RootGone) in one that has been a member;
/// [`Table`](FamilyError::Table), [`OutOfDescriptors`](FamilyError::OutOfDescriptors) or [`System`](FamilyError::System)
/// when a family cannot be founded.
///
/// ```
/// use procession_shm::family;
///
/// let me = family::me()?;
/// assert!(family::is_alive(me));
/// assert_eq!(family::pid_of(me), Some(std::process::id()));
/// # Ok::<(), family::FamilyError>(())
/// ```
#[inline]
pub fn me() -> Result<Member, FamilyError> {
    match identity::cached() {
        Some(member) => Ok(member),
        None => my_session()?.standing(),
    }
}

/// Whether this process is `member` still: no system call, and no family is founded for it. It is not in a forked copy of the
/// member, nor in one that has left.
///
/// ```
/// use procession_shm::family;
///
/// let me = family::me()?;
/// assert!(family::is_me(me));
/// assert!(!family::is_me(family::invite()?.member()));
/// # Ok::<(), family::FamilyError>(())
/// ```
#[inline]
pub fn is_me(member: Member) -> bool {
    identity::cached() == Some(member)
}

#[cold]
fn my_session() -> Result<&'static Session, FamilyError> {
    match (identity::session(), identity::last_session()) {
        (Some(session), _) => Ok(session),
        (None, Some(_)) => Err(FamilyError::NotAMember { pid: std::process::id() }),
        (None, None) => match watcher::found_with_thread() {
            // Another thread was faster.
            Err(FamilyError::AlreadyMember { .. }) => {
                identity::session().ok_or(FamilyError::NotAMember { pid: std::process::id() })
            }
            founded => founded,
        },
    }
}

/// Founds a family with this process as its root, and gives out the watcher for the caller to drive, in place of the thread
/// that [`me`] would start.
///
/// # Errors
///
/// [`AlreadyMember`](FamilyError::AlreadyMember) when this process, or one that it was forked from, has ever belonged to a
/// family; otherwise as [`me`].
///
/// ```
/// use procession_shm::family;
///
/// let mut watcher = family::found()?;                   // before anything shared is used
/// watcher.turn()?;
/// assert!(family::found().is_err(), "this process has a family now");
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn found() -> Result<Watcher, FamilyError> {
    if identity::last_session().is_some() {
        return Err(FamilyError::AlreadyMember { pid: std::process::id() });
    }
    watcher::found().map(|(_, watcher)| watcher)
}

/// Whether the member holds its slot, as far as the table says: no system call.
///
/// It is false for a member that died, left or ran another program, and for one whose slot has a later holder; true for a
/// stopped one. In a process of no family, where nothing is proved, it is true.
///
/// Who sleeps on something that the member owns must load [`epoch`] *before* he asks this.
///
/// ```
/// use procession_shm::family;
///
/// assert!(family::is_alive(family::me()?));
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn is_alive(member: Member) -> bool {
    identity::session().is_none_or(|session| session.table().is_alive(member))
}

/// The pid of a member, also of a dead one, until its slot is used again (which takes as many joins as there are free slots).
///
/// It counts as pids count for the root. `None` for a member that never was or has a successor, for one whose pid the root
/// cannot see (it lives in another pid namespace, or there is no `/proc` that counts as the root does), and in a process of no
/// family.
///
/// ```
/// use procession_shm::family;
///
/// assert_eq!(family::pid_of(family::me()?), Some(std::process::id()));
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn pid_of(member: Member) -> Option<u32> {
    let pid = identity::session()?.table().holder_of(member)?.pid;
    (pid != 0).then_some(pid)
}

/// The death epoch: the word that changes after every death in the family, to be watched beside the word that a sleeper
/// waits for.
///
/// Load it (acquire) before looking at what a dead member may have held; then a death that this look has missed ends the
/// [`wait`](crate::wait()). It wraps around. In a process of no family it is a word that nobody ever changes.
///
/// ```
/// use procession_shm::family;
/// use procession_shm::sync::atomic::Ordering;
///
/// family::me()?;
/// let before = family::epoch().load(Ordering::Acquire);
/// // here one looks at what a dead member may have held
/// assert_eq!(family::epoch().load(Ordering::Acquire), before);
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn epoch() -> &'static AtomicU32 {
    static NOBODYS: AtomicU32 = AtomicU32::new(0);
    identity::session().map_or(&NOBODYS, |session| session.table().epoch())
}

/// The second line: asks the kernel whether the member is alive, and if it proves that it is not, marks it dead and tells the
/// family. Says whether the member is alive as far as anybody has proved.
///
/// A few microseconds and three or four system calls, for whoever comes back at [`recheck_deadline`](super::recheck_deadline).
/// It does not block. It sees deaths, not `exec`s. In a process that counts pids otherwise than the root it only repeats
/// [`is_alive`].
///
/// ```
/// use procession_shm::family;
///
/// assert!(family::verify(family::me()?));
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn verify(member: Member) -> bool {
    identity::session().is_none_or(|session| session.verify(member))
}

/// Looks whether the root still is there. If it is not, this process is no member any more, and every call from here on says
/// so. Two system calls; does not block.
///
/// # Errors
///
/// [`RootGone`](FamilyError::RootGone) when the root has ended or runs another program; otherwise as [`me`].
///
/// ```
/// use procession_shm::family;
///
/// family::me()?;
/// family::check_root()?;                                // it is this process
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn check_root() -> Result<(), FamilyError> {
    my_session()?.check_root()
}

/// Whether the family that this process belongs to has ended, or this process has left it. To ask founds no family.
pub(crate) fn check_end() -> Result<(), FamilyError> {
    identity::session().map_or(Ok(()), Session::check_root)
}

/// Asks the root for a place in the family for a process that is about to be started.
///
/// It blocks until the root's watcher has answered, which takes a few wake-ups; in the root itself not at all. If the root
/// dies meanwhile, that is an error.
///
/// # Errors
///
/// [`Full`](FamilyError::Full); [`OutOfDescriptors`](FamilyError::OutOfDescriptors) here or in the root;
/// [`PidfdDenied`](FamilyError::PidfdDenied) when the root can have no pidfd; [`RootGone`](FamilyError::RootGone);
/// otherwise as [`me`].
///
/// ```
/// use procession_shm::family;
///
/// let invitation = family::invite()?;
/// assert_ne!(invitation.member(), family::me()?);
/// drop(invitation);                                     // the slot is free again
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn invite() -> Result<Invitation, FamilyError> {
    my_session()?.invite()
}

/// Has the root watch the process that was invited, from before it joins.
///
/// Without it, an invited process is watched through its end of the socket until it joins, and through its own pidfd from
/// then on. With it, its death before that is seen even while a forked copy of it keeps the socket open; and it can join
/// where it is not allowed to open a pidfd itself. Blocks as [`invite`] does. Attaching to a member that has joined already
/// changes nothing.
///
/// # Errors
///
/// [`InvitationClosed`](FamilyError::InvitationClosed) when the invited process is gone already; otherwise as [`invite`].
///
/// ```
/// use std::os::fd::AsFd;
/// use procession_shm::family;
/// use rustix::process::{Pid, PidfdFlags, pidfd_open};
///
/// let invitation = family::invite()?;
/// let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn()?;
/// let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
/// family::attach(invitation.member(), pidfd.as_fd())?;  // its death is seen from now on
/// child.kill()?;
/// child.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attach(member: Member, pidfd: BorrowedFd<'_>) -> Result<(), FamilyError> {
    my_session()?.attach(member, pidfd)
}

/// Makes this process a member, with the invitation that its parent has passed to it. To be called before anything shared is
/// used, or [`me`] has founded a family of its own.
///
/// It blocks until the root's watcher has answered; if the root dies meanwhile, that is an error. Killed at any point, it
/// leaves no slot behind.
///
/// # Errors
///
/// [`AlreadyMember`](FamilyError::AlreadyMember); [`InvitationClosed`](FamilyError::InvitationClosed) when somebody else has
/// joined with a copy of it; [`PidfdDenied`](FamilyError::PidfdDenied) when this process may not open a pidfd of itself and
/// its parent has not [`attach`]ed one; [`RootGone`](FamilyError::RootGone), also in a process that has outlived the root of
/// another family: its threads may hold locks in the name that they had there, of which the new family knows nothing;
/// [`OutOfDescriptors`](FamilyError::OutOfDescriptors); [`Table`](FamilyError::Table) when the invitation's first descriptor
/// is no family's table.
///
/// ```
/// use procession_shm::family::{self, FamilyError};
///
/// // In the process that was invited this makes it a member; here there is one already.
/// assert!(matches!(family::join(family::invite()?), Err(FamilyError::AlreadyMember { .. })));
/// # Ok::<(), FamilyError>(())
/// ```
pub fn join(invitation: Invitation) -> Result<Member, FamilyError> {
    let before = identity::session();
    match before.map(Session::standing) {
        None | Some(Err(FamilyError::Left { .. })) => {}
        Some(Ok(_)) => return Err(FamilyError::AlreadyMember { pid: std::process::id() }),
        Some(Err(ended)) => return Err(ended),
    }
    let session = Session::join(invitation)?;
    identity::install(Box::new(session), before).map(Session::member)
}

/// Ends this process' membership cleanly: it says that it holds nothing, and its slot is free. Nobody is woken, unless a thread
/// of this process has ever slept on something shared: that one may have used up a wake-up that was meant for one of several,
/// so all look again, as after a death.
///
/// It blocks until the root's watcher has answered. A process that ends without it is taken for dead, which costs every sleeper
/// of the family one wake-up and nothing else.
///
/// # Safety
///
/// No thread of this process holds or waits for a lock or anything else of the family's, be it in memory of its own: what is held
/// all the same is taken for a dead owner's, and given to others. Nor does this process use what the family shares later, as a
/// member of another one.
///
/// # Errors
///
/// [`RootStays`](FamilyError::RootStays) in the root; [`NotAMember`](FamilyError::NotAMember), [`Left`](FamilyError::Left)
/// and [`RootGone`](FamilyError::RootGone) where there is no membership to end.
///
/// ```
/// use procession_shm::family::{self, FamilyError};
///
/// family::me()?;
/// // A member that was invited is free of the family after it; the root ends it by exiting.
/// // SAFETY: this process holds nothing and waits for nothing.
/// let refused = unsafe { family::leave() };
/// assert!(matches!(refused, Err(FamilyError::RootStays { .. })));
/// # Ok::<(), FamilyError>(())
/// ```
pub unsafe fn leave() -> Result<(), FamilyError> {
    my_session()?.leave()
}

/// Whether a thread of this process has ever slept beside the death epoch. A forked process may start with its parent's
/// answer, which costs one needless announcement. It orders nothing: who leaves knows that no thread waits any more.
static HAS_SLEPT: AtomicBool = AtomicBool::new(false);

/// Notes that this thread is about to sleep on these words.
pub(crate) fn note_sleep(words: &[Watch<'_>]) {
    let epoch = epoch();
    if words.len() > 1 && words.iter().any(|watch| std::ptr::eq(watch.word(), epoch)) {
        HAS_SLEPT.store(true, Ordering::Relaxed);
    }
}

pub(super) fn has_slept() -> bool {
    HAS_SLEPT.load(Ordering::Relaxed)
}

/// Makes a process that a bare `fork` has made of a member a member itself.
///
/// It asks the root over the descriptors that the fork has copied, and closes these copies when it has its own; so call it
/// soon after the fork, before descriptors that are not the caller's are closed. What the parent held stays the parent's. In
/// a process that is a member it is [`me`]. It blocks until the root's watcher has answered; if the root dies meanwhile,
/// that is an error. It allocates, so a child of a process with several threads needs an allocator that survives a fork
/// (glibc's and musl's do).
///
/// # Errors
///
/// [`Full`](FamilyError::Full), [`OutOfDescriptors`](FamilyError::OutOfDescriptors),
/// [`PidfdDenied`](FamilyError::PidfdDenied), [`RootGone`](FamilyError::RootGone); [`Left`](FamilyError::Left) when the
/// parent had left; [`Protocol`](FamilyError::Protocol) when the copied descriptors are closed; otherwise as [`join`].
///
/// ```
/// use procession_shm::family;
///
/// let me = family::me()?;
/// assert_eq!(family::rejoin_after_fork()?, me);         // nobody has forked: it is a member
/// # Ok::<(), family::FamilyError>(())
/// ```
pub fn rejoin_after_fork() -> Result<Member, FamilyError> {
    let (None, Some(ancestor)) = (identity::session(), identity::last_session()) else {
        return me();
    };
    let session = Session::rejoin(ancestor)?;
    let session = identity::install(Box::new(session), None)?;
    ancestor.close_in_copy();
    Ok(session.member())
}
