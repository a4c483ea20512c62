//! Processes by fork: a small process of this program that forks when it is asked to.
//!
//! To fork this process itself would copy the page tables of all its memory (14 ms for 500 MiB) and, of its threads, one: a
//! lock that another held stays locked in the copy. An exec has neither problem and costs most of a millisecond. A *zygote*
//! is a child by exec, as small as the program's start, with one thread, that runs the user's preload function once and then
//! forks for whoever asks: that costs what a fork of a small process costs, and what was preloaded is there.
//!
//! # How it works
//!
//! ```text
//!   launch ── 1 bootstrap message ─────────────────────────────> (lies in the newborn's socket)
//!      │ ──── 2 request, with that socket ──> zygote ── 3 fork ──> newborn
//!      │ <─── 4 report: pid and pidfd ───────────────────────────── │  then all is as for Spawn: message, function, exit
//!   reaper <─ 5 its pidfd: the end, and how ────────────────── kernel
//! ```
//!
//! The newborn reports by itself, over its own socket, before it does anything else: so whoever asked waits for one process
//! and not for two, and a request is *real* from the report on. The zygote is the newborn's parent and ignores its end, so that the
//! kernel reaps it at once, and keeps its status for whoever has a pidfd (Linux 6.15). Who waits for the process is told by
//! nobody else: the zygote need not be woken, which would be two more wake-ups in a row.
//!
//! Where the kernel does not keep the status, the zygote reaps its children, and a *notice* takes the place of the reaper's own
//! look:
//!
//! ```text
//!   reaper <─ 6 notice: how it ended ──────── zygote <─ 5 reaped ── newborn
//! ```
//!
//! Rejected: `clone3(CLONE_PARENT)`, by which newborns would be children of this process: the C library's handlers do not run,
//! and it is forbidden in containers. A zygote that reports in the newborn's place: then a request that was lost may have
//! begun to run, and could not be made again.
//!
//! # Invariants
//!
//! * **Z1** The zygote forks only while it has one thread, so that no lock is held in the copy. Threads are counted before each
//!   fork; there is nobody else who could start one in between.
//! * **Z2** A newborn runs nothing of the user's before its report, and its parent-death signal is set before that. So if a
//!   report never came and the zygote has ended, nothing has run and nothing will: the request is made again.
//! * **Z3** The control socket is closed in the newborn first of all, so that only the zygote hears requests and gives notices.
//! * **Z4** Each process that was taken in has its end told exactly once: by its pidfd; or, where the zygote reaps, by a notice,
//!   and by its pidfd only after the zygote's death. `Line::wards` says by which, under a lock, and the last notice is read
//!   before the change.
//! * **Z5** No shared memory is mapped in a preload function (`fork::set_template`), because mappings are not inherited and a
//!   handle that has one owner would have one in each child.
//!
//! # Crash points
//!
//! | killed | what holds | who repairs |
//! |---|---|---|
//! | zygote, idle | nothing is lost: requests fail to be sent (EPIPE) | the next launch starts another one |
//! | zygote, request in its socket or in its hands | the newborn's socket has no other end any more: not started | the launch asks again, up to 6 times |
//! | zygote, forked, no report yet | the newborn dies of its parent's death, or sees that the parent is another one: not started | as above |
//! | zygote, after the report | the newborn is killed, and its end is seen by its pidfd | the reaper |
//! | newborn, before its report | its socket has no other end any more: not started | as above |
//! | newborn, after its report | the kernel reaps it and keeps its status; or the zygote does and gives notice | |
//! | zygote, newborn reaped, no notice yet | seen by its pidfd; its status is `Unknown` | the reaper |
//! | nobody, but the report cannot be heard | an error; the zygote is told to kill the newborn, whose function may have begun | the zygote |
//! | this process | the zygote gets SIGKILL, and its children when it is dead | the kernel |
//!
//! The status of a process whose zygote was killed is that of the kernel's memory (Linux 6.15) or `Unknown`: it was its
//! zygote's to reap.
//!
//! # Not guaranteed
//!
//! A zygote that is *stopped* forks nothing, and where it reaps reaps nothing: a launch waits until it goes on, as it would for a
//! preload function that takes its time. In a program that has entered another pid namespace for its children, pids are those of
//! that namespace. A process that runs as the init of a container is given a newborn that lost its zygote before its report,
//! as any orphan, to reap.

mod line;
mod newborn;
mod parent;
mod protocol;
mod server;

pub(crate) use line::Line;
pub(crate) use parent::{Birth, Kind, Zygotes};
