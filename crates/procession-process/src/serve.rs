//! The life of a child process: take the message, run the constructors, run the function, exit.
//!
//! Everything here runs before `main` would, inside the start-up hook, or inside a helper program's call of `serve`. Nothing
//! returns to either (invariant H1 of `hook`): each step that fails ends the process with a code of `refusal`.
//!
//! What happens if the parent dies:
//!
//! - before this process has asked for the parent-death signal: the comparison of parents and the
//!   look at the parent's pidfd, both *after* asking, find out, and it exits without a word;
//! - at any time after: the kernel sends SIGKILL.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};

use procession_shm::Spin;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};
use rustix::process::{
    Pid, PidfdFlags, Signal, getppid, pidfd_open, set_parent_process_death_signal,
};

use crate::bootstrap::{
    self, Message, Packet, Payload, VARIABLE_C, Variable, missing_descriptor, read_memory,
};
use crate::hook::{self, Arguments};
use crate::launcher::Start;
use crate::refusal::{self, Refusal};
use crate::settings::Settings;
use crate::{cgroup, image, lineage, overflow, panics, restart, standard, threads};

/// The exit code of a child whose function panicked, that of a Rust program whose `main` did.
const EXIT_PANICKED: i32 = 101;

/// Serves if this process was started as a child, and does not return then; does nothing in any other process.
///
/// A program that procession is linked into serves by itself, before `main`, and needs no call. The call is for *helper programs*
/// ([`ProcessBuilder::program`](crate::ProcessBuilder::program)): those that load a shared library which procession is linked
/// into, and call a function of the library that calls `serve`. The functions that can be called in such a process are those of
/// that library, in the very build that the parent has loaded; anything else is refused with the exit code
/// [`OTHER_BUILD`](refusal::OTHER_BUILD).
///
/// It must be the first thing that the program does: if it has started a thread before, it is refused
/// ([`HAS_THREADS`](refusal::HAS_THREADS)), because the environment is about to be changed and a sandbox could not be put
/// around other threads. An interpreter must have released its lock, if the functions are to call into it.
///
/// ```
/// // In a library of the crate type "cdylib", for whoever loads it:
/// #[unsafe(no_mangle)]
/// extern "C" fn my_library_serve() {
///     procession_process::serve();
/// }
/// ```
pub fn serve() {
    if std::env::var_os(bootstrap::VARIABLE).is_none() {
        return;
    }
    if let Err(refusal) = be_alone() {
        refusal.exit();
    }
    if let Some(value) = hook::variable() {
        run(value, None);
    }
}

/// Checks that this is the only thread.
fn be_alone() -> Result<(), Refusal> {
    match threads::count().map_err(Refusal::system("list the threads"))? {
        1 => Ok(()),
        count => Err(Refusal::new(
            refusal::HAS_THREADS,
            format_args!("`serve` was called in a process that has {count} threads already"),
        )),
    }
}

/// Serves and exits, or refuses and exits. With arguments if the hook calls it, before the constructors that come after it.
pub(crate) fn run(value: &CStr, arguments: Option<Arguments>) -> ! {
    let refusal = match prepare(value) {
        Ok(job) => {
            if let Some(arguments) = arguments {
                hook::run_later_constructors(arguments);
            }
            let noted = hook::note_constructed();
            let noted = noted.map_err(Refusal::system("list the threads of this process"));
            match noted.and_then(|threads| job.run(threads)) {
                Ok(code) => std::process::exit(code),
                Err(refusal) => refusal,
            }
        }
        Err(refusal) => refusal,
    };
    refusal.exit()
}

/// A function and what it gets.
pub(crate) struct Job {
    settings: Settings,
    main: fn(Start),
    start: Start,
    is_zygote: bool,
}

/// Who asked for this process.
#[derive(Clone, Copy)]
pub(crate) struct Parent {
    pub(crate) pid: u32,
    /// Whether it is what the kernel calls the parent, too, and not the one that had a zygote fork it.
    pub(crate) is_direct: bool,
}

fn prepare(value: &CStr) -> Result<Job, Refusal> {
    if restart::is_privileged() {
        let why = "the program is setuid, setgid or has file capabilities";
        return Err(Refusal::new(refusal::PRIVILEGED, why));
    }
    let variable = Variable::parse(value).ok_or_else(|| {
        Refusal::new(refusal::BAD_VARIABLE, "the bootstrap variable is malformed")
    })?;
    // SAFETY: the name is a C string. The program has no threads of its own before `main`, and none but this one where `serve`
    // was called.
    unsafe { libc::unsetenv(VARIABLE_C.as_ptr()) };
    hook::begin_child(variable.depth);
    if let Err(refusal) = die_with_parent(variable.parent) {
        return Err(if is_orphan(&variable) { Refusal::orphaned() } else { refusal });
    }
    standard::open_standard_descriptors().map_err(Refusal::system("open /dev/null"))?;
    let packet = Packet::receive(bootstrap_socket(variable.descriptor)?)?;
    if variable.hook != hook::number() {
        let why = "it was started by another version of procession, or by another program";
        return Err(Refusal::new(refusal::OTHER_BUILD, why));
    }
    let job = job(Parent { pid: variable.parent, is_direct: true }, packet)?;
    standard::ignore_broken_pipes().map_err(Refusal::system("ignore SIGPIPE"))?;
    Ok(job)
}

pub(crate) fn die_with_parent(expected: u32) -> Result<(), Refusal> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Refusal::system("ask for the parent-death signal"))?;
    // A parent in another pid namespace has no number here; its pidfd tells below.
    let actual = getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    match actual {
        Some(actual) if actual != expected => Err(Refusal::new(
            refusal::PARENT_GONE,
            format_args!("its parent is process {actual}, process {expected} is to be served"),
        )),
        _ => Ok(()),
    }
}

/// Whether this is a child whose parent has died, and not a process that has found the variable in its environment by accident: it has
/// the socket of a child, and the process that is to be served has ended.
fn is_orphan(variable: &Variable) -> bool {
    if !standard::is_open(variable.descriptor) {
        return false;
    }
    // SAFETY: it was open a moment ago, and this is the only thread.
    let socket = unsafe { BorrowedFd::borrow_raw(variable.descriptor) };
    let is_ours = sockopt::socket_type(socket) == Ok(SocketType::SEQPACKET);
    is_ours && has_ended(variable.parent)
}

/// Whether there is no such process, or only what is left of it until somebody takes notice.
fn has_ended(pid: u32) -> bool {
    let Some(pid) = Pid::from_raw(pid.cast_signed()) else { return false };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => check_alive(&process).is_err(),
        Err(errno) => errno == Errno::SRCH,
    }
}

fn bootstrap_socket(number: i32) -> Result<OwnedFd, Refusal> {
    if !standard::is_open(number) {
        let why = format_args!("descriptor {number} is not open");
        return Err(Refusal::new(refusal::BAD_DESCRIPTOR, why));
    }
    // SAFETY: the number is open, and the variable says that it is ours: nothing else in this
    // process knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Turns the message into a call and applies what it says about this process.
pub(crate) fn job(parent: Parent, mut packet: Packet) -> Result<Job, Refusal> {
    let mut descriptors = std::mem::take(&mut packet.descriptors).into_iter();
    let message = packet.message()?;
    let pidfd = message.has_pidfd.then(|| descriptors.next().ok_or_else(missing_descriptor));
    let pidfd = pidfd.transpose()?;
    pidfd.as_ref().map_or(Ok(()), check_alive)?;
    if message.settings.has_group {
        // Before anything that takes memory.
        let door = descriptors.next().ok_or_else(missing_descriptor)?;
        cgroup::enter(&door).map_err(Refusal::system(
            "enter a cgroup (who starts the process must be below the delegated directory, too)",
        ))?;
    }
    let main = entry(&message)?;
    let payload = match message.payload {
        Payload::Inline(bytes) => bytes.to_vec(),
        Payload::Memory { len_bytes } => {
            read_memory(descriptors.next().ok_or_else(missing_descriptor)?, len_bytes)?
        }
    };
    let directory = message.settings.has_directory;
    let directory = directory.then(|| descriptors.next().ok_or_else(missing_descriptor));
    let settings = message.settings.into_owned();
    settings.apply(directory.transpose()?)?;
    Spin::learn_cores(message.cores as usize);
    if message.ignore_interrupt {
        standard::catch_interrupts().map_err(Refusal::system("catch SIGINT"))?;
    }
    if !message.core_dumps {
        standard::forbid_core_dumps().map_err(Refusal::system("set RLIMIT_CORE"))?;
    }
    set_process_name(message.name)?;
    if !message.is_zygote {
        let held = pidfd.filter(|_| !parent.is_direct);
        lineage::found(message.name, parent, message.parent_name, held);
    }
    let start = Start {
        payload,
        fds: descriptors.collect(),
        name: message.name.to_owned(),
        is_inline: false,
    };
    Ok(Job { settings, main, start, is_zygote: message.is_zygote })
}

/// A pidfd becomes readable when its process ends.
fn check_alive(parent: &OwnedFd) -> Result<(), Refusal> {
    let mut ended = [PollFd::new(parent, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let looked = rustix::io::retry_on_intr(|| poll(&mut ended, Some(&now)));
    match looked.map_err(Refusal::system("look at the parent"))? {
        0 => Ok(()),
        _ => Err(Refusal::orphaned()),
    }
}

/// The function to call, if parent and child agree on which program they are.
fn entry(message: &Message<'_>) -> Result<fn(Start), Refusal> {
    if message.identity != *image::identity() {
        let why = "it was started by another build of the program, or by another program";
        return Err(Refusal::new(refusal::OTHER_BUILD, why));
    }
    let address = image::address_of(message.entry).ok_or_else(|| {
        Refusal::new(refusal::BAD_MESSAGE, "the function to call is outside of the program's code")
    })?;
    // SAFETY: the message was written by the same build of this program, and `Launcher::launch`
    // makes the offset of a `fn(Start)` only; the same offset is the same function here.
    Ok(unsafe { std::mem::transmute::<usize, fn(Start)>(address) })
}

/// The name that ps(1) shows, which would otherwise be `exe`.
fn set_process_name(name: &str) -> Result<(), Refusal> {
    let name = std::ffi::CString::new(name).map_err(Refusal::system("read the process name"))?;
    rustix::thread::set_name(&name).map_err(Refusal::system("set the process name"))
}

impl Job {
    /// Runs the function on this thread, the main thread of the process; the exit code. A zygote's does not return. `threads` is how
    /// many this process has.
    ///
    /// On a thread of its own, which could have a name, it would take a tenth of the whole start longer: another stack, another
    /// arena of the allocator, and two wake-ups.
    pub(crate) fn run(self, threads: usize) -> Result<i32, Refusal> {
        let Self { settings, main, start, is_zygote } = self;
        if is_zygote {
            main(start);
            return Ok(0);
        }
        hook::begin_serving().map_err(Refusal::system("register an exit handler"))?;
        overflow::watch(&start.name).map_err(Refusal::system("watch the stack"))?;
        panics::name_process(&start.name);
        settings.enclose(threads)?;
        // The panic hook has already reported the panic on standard error.
        let done = panic::catch_unwind(AssertUnwindSafe(|| main(start))).map_err(panics::discard);
        Ok(done.map_or(EXIT_PANICKED, |()| 0))
    }
}

#[cfg(test)]
#[path = "tests/serve.rs"]
mod tests;
