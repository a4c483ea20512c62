//! The exec of this program: arguments, environment, descriptors, signals.
//!
//! posix_spawn rather than fork and exec: it is safe in a program with threads, and it does not
//! copy the page tables of a large one.

use std::ffi::{CStr, CString, OsStr, OsString, c_int};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::process::Pid;

use crate::bootstrap::{VARIABLE, Variable};
use crate::c_strings::{CStrings, null_terminated};
use crate::environment::{Changed, Changes};
use crate::error::SpawnError;
use crate::program::Executable;
use crate::standard::{is_inherited, signal_set};
use procession_shm::fork::FirstWins;

/// The number under which a child finds its end of the socket.
pub(crate) const SOCKET_NUMBER: i32 = 3;

/// The file of this program, even if it was deleted or replaced.
pub(crate) const THIS_PROGRAM: &CStr = c"/proc/self/exe";

/// The environment of this process with changes, plus the bootstrap variable; and the names of
/// those that the child has to remove.
pub(crate) fn environment(
    changes: &Changes,
    variable: Variable,
) -> Result<(CStrings, Vec<String>), SpawnError> {
    let Changed { variables, unset, .. } = changes.apply(std::env::vars_os());
    let mut all = CStrings::with_capacity(variables.len() + 1);
    let mut push = |name: &OsStr, value: &OsStr| {
        all.push(&[name, OsStr::new("="), value]).map_err(cannot_pass_on)
    };
    variables.iter().try_for_each(|(name, value)| push(name, value))?;
    push(VARIABLE.as_ref(), variable.to_string().as_ref())?;
    Ok((all, unset))
}

/// Kept from the first launch on: programs that set their title write over their arguments.
static ARGUMENTS: FirstWins<Vec<CString>> = FirstWins::new();

/// The arguments of this process, which its children get too.
pub(crate) fn arguments() -> Result<&'static [CString], SpawnError> {
    ARGUMENTS.get_or_try_init(read_arguments).map(Vec::as_slice)
}

/// std knows them where the C library passes them to constructors; elsewhere, in a child, only
/// the kernel does.
fn read_arguments() -> Result<Vec<CString>, SpawnError> {
    let known: Vec<OsString> = std::env::args_os().collect();
    if !known.is_empty() {
        return known.into_iter().map(c_string).collect();
    }
    let line = fs::read("/proc/self/cmdline")
        .map_err(|error| SpawnError::proc("read /proc/self/cmdline", error))?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    line.split(|byte| *byte == 0).map(|part| c_string(OsString::from_vec(part.to_vec()))).collect()
}

fn c_string(text: OsString) -> Result<CString, SpawnError> {
    CString::new(text.into_vec()).map_err(|error| cannot_pass_on(error.into()))
}

fn cannot_pass_on(error: io::Error) -> SpawnError {
    SpawnError::system("pass on the environment", error)
}

/// Everything posix_spawn wants to know about one child.
pub(crate) struct Command<'a> {
    pub(crate) executable: &'a Executable,
    pub(crate) environment: &'a CStrings,
    /// Becomes descriptor 3. Its own number must be above, see [`FileActions`].
    pub(crate) socket: BorrowedFd<'a>,
    /// Become descriptors 0 to 2 if given.
    pub(crate) standard: [Option<BorrowedFd<'a>>; 3],
    /// Whether SIGINT stays blocked until the child has decided what to do about it.
    pub(crate) block_interrupt: bool,
}

impl Command<'_> {
    /// Starts the child. Blocks the calling thread until it has exec'ed.
    pub(crate) fn spawn(&self) -> Result<Pid, SpawnError> {
        let prepare = |error| SpawnError::system("prepare posix_spawn", error);
        let mut actions = FileActions::new().map_err(prepare)?;
        for (number, given) in (0..).zip(self.standard) {
            if let Some(given) = given {
                actions.move_to(given, number).map_err(prepare)?;
            }
        }
        actions.move_to(self.socket, SOCKET_NUMBER).map_err(prepare)?;
        actions.close_from(SOCKET_NUMBER + 1)?;
        let attributes = Attributes::new(self.block_interrupt).map_err(prepare)?;
        let arguments = self.executable.arguments.iter().map(|argument| argument.as_ptr());
        let arguments = null_terminated(arguments);
        let environment = null_terminated(self.environment.iter().map(CStr::as_ptr));
        let mut pid = 0;
        // SAFETY: the path, both arrays and the strings in them are C strings that outlive the
        // call; actions and attributes are initialised.
        let errno = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                self.executable.path.as_ptr(),
                &raw const actions.0,
                &raw const attributes.0,
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        };
        check(errno).map_err(|error| self.refused(error))?;
        Pid::from_raw(pid).ok_or_else(|| self.refused(io::ErrorKind::NotFound.into()))
    }

    fn refused(&self, error: io::Error) -> SpawnError {
        if *self.executable.path == *THIS_PROGRAM {
            SpawnError::proc("run /proc/self/exe", error)
        } else {
            let path = Path::new(OsStr::from_bytes(self.executable.path.to_bytes()));
            SpawnError::file("run the helper program", path, error)
        }
    }
}

/// What happens to descriptors between fork and exec, in order. Sources must have numbers above
/// 3, so that no move overwrites the source of a later one.
struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the call initialises the actions if it succeeds.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: initialised by the successful call.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    fn move_to(&mut self, from: BorrowedFd<'_>, to: i32) -> io::Result<()> {
        let from = from.as_raw_fd();
        debug_assert!(from > SOCKET_NUMBER, "sources are above all targets");
        // SAFETY: the actions are initialised.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }

    /// Closes all descriptors from this number on: the program may have some that are not closed
    /// on exec, and a child that kept a pipe open would keep its reader waiting.
    fn close_from(&mut self, first: i32) -> Result<(), SpawnError> {
        let prepare = |error| SpawnError::system("prepare posix_spawn", error);
        match close_from_function() {
            // SAFETY: the actions are initialised.
            Some(add) => check(unsafe { add(&raw mut self.0, first) }).map_err(prepare),
            None => self.close_each_from(first),
        }
    }

    /// For C libraries without the function: what exec does not close by itself. A descriptor that
    /// another thread opens after this list was made, without close-on-exec, is inherited.
    fn close_each_from(&mut self, first: i32) -> Result<(), SpawnError> {
        let list = |error| SpawnError::proc("list /proc/self/fd", error);
        for entry in fs::read_dir("/proc/self/fd").map_err(list)? {
            let name = entry.map_err(list)?.file_name();
            let number = name.to_str().and_then(|name| name.parse().ok());
            if let Some(number) = number.filter(|number| *number >= first && is_inherited(*number))
            {
                // SAFETY: the actions are initialised.
                let added =
                    unsafe { libc::posix_spawn_file_actions_addclose(&raw mut self.0, number) };
                let op = "close an inherited descriptor, which may be above RLIMIT_NOFILE";
                check(added).map_err(|error| SpawnError::system(op, error))?;
            }
        }
        Ok(())
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised by `new` and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

type AddCloseFrom = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int;

/// glibc has it from 2.34 on; a statically linked program does not find it.
fn close_from_function() -> Option<AddCloseFrom> {
    let name = c"posix_spawn_file_actions_addclosefrom_np";
    // SAFETY: the name is a C string.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the function of this name has this signature, and a null pointer is `None`.
    unsafe { std::mem::transmute::<*mut libc::c_void, Option<AddCloseFrom>>(address) }
}

/// Signal mask and dispositions of the child.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(block_interrupt: bool) -> io::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the call initialises the attributes if it succeeds.
        check(unsafe { libc::posix_spawnattr_init(raw.as_mut_ptr()) })?;
        // SAFETY: initialised by the successful call.
        let mut attributes = Self(unsafe { raw.assume_init() });
        let place = &raw mut attributes.0;
        let blocked = signal_set(if block_interrupt { &[libc::SIGINT] } else { &[] });
        // SAFETY: attributes and set are initialised.
        check(unsafe { libc::posix_spawnattr_setsigmask(place, &raw const blocked) })?;
        let defaults = default_signals();
        // SAFETY: as above.
        check(unsafe { libc::posix_spawnattr_setsigdefault(place, &raw const defaults) })?;
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let flags = i16::try_from(flags).map_err(io::Error::other)?;
        // SAFETY: the attributes are initialised.
        check(unsafe { libc::posix_spawnattr_setflags(place, flags) })?;
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised by `new` and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// Signals that the child does not ignore even if this process does. The three that are left out
/// are ignored by the wish of whoever started the program (nohup, a shell's background job), and
/// that wish covers its children.
fn default_signals() -> libc::sigset_t {
    const KEPT: [c_int; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT];
    let all: Vec<c_int> = (1..=libc::SIGRTMAX()).filter(|signal| !KEPT.contains(signal)).collect();
    signal_set(&all)
}

fn check(errno: c_int) -> io::Result<()> {
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}
