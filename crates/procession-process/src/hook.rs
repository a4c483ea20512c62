//! The start-up hook: the one place that decides whether a process serves or runs `main`.
//!
//! A child process is the same program started again. What keeps it from running `main`, and from
//! starting children in turn without end, is an entry in the program's table of constructors
//! (`.init_array`), which the C library calls before `main`. Its priority 100 puts it behind the
//! one of std, which records the arguments, and before all others.
//!
//! | bootstrap variable | hook is in | what the hook does |
//! |---|---|---|
//! | not set | anything | notes that it ran, returns; the program goes on to `main` |
//! | set | a shared library | the same: the hook of the main program decides, or who calls [`serve`](crate::serve) |
//! | set | the main program | serves or refuses, never returns |
//! | set, for another hook of the program | the main program | returns: that hook serves |
//!
//! A library cannot serve in its hook: it would run under the lock of the dynamic linker, and before whatever loads it was ready.
//! So the program that loads it calls [`serve`](crate::serve), which is the one place where a child runs code of a `main`.
//!
//! A program may have several hooks: two of its dependencies may depend on versions of this crate that cargo cannot unite. Each
//! version serves the children that it has started, since nobody else can read what they are told. What a process *is*, which decides
//! who may launch, is one fact for all of them: it lies in two words that every version defines alike and of which the linker
//! keeps one copy ([`shared`]). A hook passes a child on only to an entry of the same table, and only if its parent is who wrote the
//! variable, so that a value that comes from another program is refused by whoever sees it first.
//!
//! Invariants:
//!
//! H1. If the hook of the main program sees the variable, `main` does not run in that process.
//! H2. A process launches only if its own hook ran, saw no variable or the variable was taken away since, and if it is not busy
//!     with constructors or exit handlers of a child ([`check`]). So whoever launches is either no child or a child that
//!     serves. Its children have a hook too, being the same file (`restart::check`), or are another program that was asked
//!     for by name, which cannot launch before the variable is taken away either.
//! H3. Each child counts its depth, and [`DEPTH_MAX`] ends every chain.
//!
//! H1 and H2 together: a process of this program that this crate started never runs `main`, and no process that it started
//! launches before the function it was started for has been called.
//!
//! Not guaranteed: a thread that a constructor left behind cannot launch in a child, but a thread that *it* starts, later, is
//! taken for one of the function, and so is it itself by the versions of this crate that do not serve. Constructors of shared
//! libraries run before the hook, also in children, and see the variable. One that runs *another* program hands the variable down
//! to it; that program is refused by its own hook, because its parent is not the process named in the variable.

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::getppid;

use crate::bootstrap::{VARIABLE, VARIABLE_C, Variable};
use crate::error::SpawnError;
use crate::stat::Stat;
use crate::{image, serve, threads};
use procession_shm::fork::FirstWins;

/// How deep processes may nest.
pub const DEPTH_MAX: u32 = 16;

/// A constructor as the C library calls it. glibc passes the three arguments of `main`, others
/// pass nothing.
pub(crate) type Constructor =
    unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// What glibc passes to constructors.
#[derive(Clone, Copy)]
pub(crate) struct Arguments(c_int, *const *const c_char, *const *const c_char);

#[used]
#[unsafe(link_section = ".init_array.00100")]
static HOOK: Constructor = hook;

/// What this process is; the discriminants of `Role::state`, and 0 for an ordinary one.
/// A child in which something else than its function runs, constructors before it, handlers at exit
/// after it, or the preload function of a zygote: what they launch, every descendant would launch as well.
const BETWEEN: u32 = 2;
const SERVING: u32 = 3;

/// Whether the hook was called. Relaxed, as [`Role`].
static HAS_RUN: AtomicBool = AtomicBool::new(false);
/// Threads that constructors of a child left behind: they started in every child, so what they
/// launch would multiply.
static CONSTRUCTED: FirstWins<Vec<ThreadId>> = FirstWins::new();

/// How many processes started by this crate are above this one, itself included: 0 in an ordinary
/// program, 1 in its children.
///
/// After a bare fork(2) the answer is that of the process that forked.
///
/// ```
/// assert_eq!(procession_process::depth(), 0);
/// ```
#[must_use]
pub fn depth() -> u32 {
    shared::role().depth.load(Ordering::Relaxed)
}

/// Whether this process was started by this crate.
///
/// ```
/// use procession_process::{Process, is_child};
///
/// assert!(!is_child());
/// assert!(Process::spawn(|()| is_child(), ())?.join()?);
/// # Ok::<(), procession_process::ProcessError>(())
/// ```
#[must_use]
pub fn is_child() -> bool {
    depth() > 0
}

/// The entry in the table of constructors.
///
/// # Safety
///
/// The C library calls it, once, before `main` and on the only thread that it has started, with the
/// arguments of `main` if it passes any.
unsafe extern "C" fn hook(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
    HAS_RUN.store(true, Ordering::Relaxed);
    if let Some(value) = variable()
        && image::is_main_program()
        && !is_for_another_hook(value)
    {
        serve::run(value, Some(passed(argc, argv, envp)));
    }
}

/// The number of this hook: the same in each process that runs this build, and that of no other hook in it.
pub(crate) fn number() -> u64 {
    image::distance_of((&raw const HOOK).addr())
}

/// Whether another entry of the table is meant, by who has started this process.
fn is_for_another_hook(value: &CStr) -> bool {
    let Some((_, variable)) = Variable::parse_any(value) else { return false };
    let entries = table::bounds().step_by(size_of::<Constructor>());
    let mut others = entries.map(image::distance_of).filter(|entry| *entry != number());
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    // A parent in another pid namespace has no number here.
    parent.is_none_or(|parent| parent == variable.parent)
        && others.any(|entry| entry == variable.hook)
}

#[cfg(target_env = "gnu")]
fn passed(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> Arguments {
    Arguments(argc, argv, envp)
}

/// Other C libraries pass nothing: what the parameters hold is left over in registers.
#[cfg(not(target_env = "gnu"))]
fn passed(_: c_int, _: *const *const c_char, _: *const *const c_char) -> Arguments {
    Arguments(0, std::ptr::null(), std::ptr::null())
}

pub(crate) fn variable() -> Option<&'static CStr> {
    // SAFETY: the name is a C string. Nobody else changes the environment: this is called before `main`, or by the only
    // thread of the process.
    let value = unsafe { libc::getenv(VARIABLE_C.as_ptr()) };
    // SAFETY: getenv returns null or a C string of the environment.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// Enters the state in which constructors of a child run.
pub(crate) fn begin_child(depth: u32) {
    shared::role().depth.store(depth, Ordering::Relaxed);
    shared::role().state.store(BETWEEN, Ordering::Relaxed);
}

/// Notes the threads that constructors have left behind; how many there are, the calling one included.
///
/// # Errors
///
/// The threads of this process cannot be listed.
pub(crate) fn note_constructed() -> std::io::Result<usize> {
    if threads::is_alone() {
        return Ok(1);
    }
    let listed = threads::list()?;
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    let others = listed.iter().filter(|tid| **tid != own);
    let others = others.filter_map(|tid| ThreadId::of(*tid)).collect();
    CONSTRUCTED.get_or_try_init(|| Ok::<_, std::io::Error>(others))?;
    Ok(listed.len())
}

/// Enters the state in which a child may launch: nothing but its own function is left to run.
/// The state ends when the process exits, before the handlers that constructors registered run:
/// handlers are called in reverse order, and this one is the last so far.
///
/// # Errors
///
/// No handler can be registered.
pub(crate) fn begin_serving() -> std::io::Result<()> {
    // SAFETY: the handler only stores to an atomic.
    if unsafe { libc::atexit(end_serving) } != 0 {
        return Err(std::io::ErrorKind::OutOfMemory.into());
    }
    shared::role().state.store(SERVING, Ordering::Relaxed);
    Ok(())
}

extern "C" fn end_serving() {
    shared::role().state.store(BETWEEN, Ordering::Relaxed);
}

/// A thread's number and start time, so that a number used again is told from the first.
#[derive(PartialEq)]
struct ThreadId {
    tid: i32,
    started: u64,
}

impl ThreadId {
    /// `None` if the thread is gone.
    fn of(tid: i32) -> Option<Self> {
        Stat::of_thread(tid).map(|Stat { started, .. }| Self { tid, started })
    }
}

/// Runs the constructors of the main program that come after the hook, as the C library would have
/// done if the hook had returned.
pub(crate) fn run_later_constructors(arguments: Arguments) {
    let Arguments(argc, argv, envp) = arguments;
    let mut next = (&raw const HOOK).wrapping_add(1);
    let bounds = table::bounds();
    while bounds.contains(&next.addr()) {
        // SAFETY: `next` is inside the table of constructors, which the dynamic linker has
        // relocated before it called any. The volatile read keeps the compiler from concluding
        // anything from having walked out of `HOOK`.
        let address = unsafe { next.cast::<usize>().read_volatile() };
        // 0 and -1 are placeholders of old toolchains, which the C library skips as well.
        if address != 0 && address != usize::MAX {
            // SAFETY: an entry of the table is the address of a constructor.
            let constructor = unsafe { std::mem::transmute::<usize, Constructor>(address) };
            // SAFETY: it is called as the C library calls it: once, in order, on the main thread.
            unsafe { constructor(argc, argv, envp) };
        }
        next = next.wrapping_add(1);
    }
}

mod table {
    //! The bounds of the table of constructors, which the linker provides.
    //!
    //! GNU ld does not define them when it links a shared library, so that the references are weak;
    //! they are hidden, so that each object sees its own.

    use std::ops::Range;

    // One definition is enough for all versions of this crate; where all of the program is one assembly, there may be one only.
    std::arch::global_asm!(
        ".ifndef procession_init_array_bounds",
        ".weak __init_array_start",
        ".hidden __init_array_start",
        ".weak __init_array_end",
        ".hidden __init_array_end",
        ".pushsection .data.rel.ro.procession_init_array,\"aw\",@progbits",
        ".balign 8",
        ".weak procession_init_array_bounds",
        ".hidden procession_init_array_bounds",
        "procession_init_array_bounds:",
        ".quad __init_array_start",
        ".quad __init_array_end",
        ".popsection",
        ".endif",
    );

    unsafe extern "C" {
        static procession_init_array_bounds: [usize; 2];
    }

    /// Addresses of the table; empty where the linker does not tell.
    pub(super) fn bounds() -> Range<usize> {
        // SAFETY: the two words are defined above and never written after relocation.
        let [start, end] = unsafe { procession_init_array_bounds };
        start..end
    }
}

mod shared {
    //! What all versions of this crate in an image have in common. The name and the layout of this memory stay as they are.

    use std::sync::atomic::AtomicU32;

    /// Relaxed throughout: written before there are threads of the program, or, for those that
    /// constructors started, read only to refuse.
    #[repr(C)]
    pub(super) struct Role {
        pub(super) state: AtomicU32,
        /// How many processes started by any version are above this one, itself included.
        pub(super) depth: AtomicU32,
    }

    // Weak, so that the linker takes one; hidden, so that each image has its own.
    std::arch::global_asm!(
        ".ifndef procession_role",
        ".weak procession_role",
        ".hidden procession_role",
        ".pushsection .bss.procession_role,\"aw\",@nobits",
        ".balign 4",
        "procession_role:",
        ".zero 8",
        ".popsection",
        ".endif",
    );

    unsafe extern "C" {
        static procession_role: Role;
    }

    pub(super) fn role() -> &'static Role {
        // SAFETY: it is defined above, zeroed and of this layout.
        unsafe { &procession_role }
    }
}

/// Whether this process may launch (H2).
///
/// # Errors
///
/// `HookDidNotRun`, `InConstructor`.
pub(crate) fn check() -> Result<(), SpawnError> {
    let pid = std::process::id();
    // The volatile read makes the linker keep the object file that holds the hook.
    // SAFETY: `HOOK` is a valid static.
    let _kept = unsafe { (&raw const HOOK).read_volatile() };
    let detail = match shared::role().state.load(Ordering::Relaxed) {
        _ if !HAS_RUN.load(Ordering::Relaxed) => "it was not called before this call",
        BETWEEN => return Err(SpawnError::InConstructor { pid }),
        SERVING if on_constructed_thread() => return Err(SpawnError::InConstructor { pid }),
        _ if std::env::var_os(VARIABLE).is_some() => {
            "the environment variable PROCESSION_BOOT is set, unset it"
        }
        _ => return Ok(()),
    };
    Err(SpawnError::HookDidNotRun { pid, detail })
}

fn on_constructed_thread() -> bool {
    let tid = rustix::thread::gettid().as_raw_nonzero().get();
    let known = CONSTRUCTED.get().map_or(&[][..], Vec::as_slice);
    known.iter().any(|thread| thread.tid == tid && Some(thread) == ThreadId::of(tid).as_ref())
}
