//! The builder of a child process, and what the child's function gets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use procession_shm::{Spin, limit};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Resource;

use crate::bootstrap::{
    self, CALLER_DESCRIPTORS_MAX, INLINE_PAYLOAD_BYTES_MAX, Message, Payload, Variable,
};
use crate::cgroup::Group;
use crate::child::Child;
use crate::ending::Ending;
use crate::environment::Changes;
use crate::error::SpawnError;
use crate::exit::Exit;
use crate::hook::{self, DEPTH_MAX};
use crate::launching::Launching;
use crate::offices::{Offices, Pace};
use crate::program::{Executable, Program};
use crate::settings::Settings;
use crate::spawner::{self, Order, Standard};
use crate::start_method::StartMethod;
use crate::zygote::{Birth, Kind};
use crate::{command, image, inline, lineage, restart};

/// Longer names are cut: the kernel shows 15 bytes of them, messages all of these.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// What the function of a child process gets.
///
/// ```
/// use procession_process::{Launcher, Start};
///
/// fn main_of_the_child(start: Start) {
///     let code = if start.payload == b"three" { 3 } else { 1 };
///     std::process::exit(code);
/// }
///
/// let child = Launcher::new(main_of_the_child).payload(b"three".to_vec()).launch()?;
/// assert_eq!(child.wait(), procession_process::Exit::Code(3));
/// # Ok::<(), procession_process::SpawnError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Start {
    /// The bytes given to [`Launcher::payload`].
    pub payload: Vec<u8>,
    /// The descriptors given to [`Launcher::fds`], in their order, closed on exec.
    pub fds: Vec<OwnedFd>,
    /// The name given to [`Launcher::name`].
    pub name: String,
    /// Whether this is a thread of the process that launched it ([`StartMethod::Inline`]).
    pub is_inline: bool,
}

pub(crate) type OnExit = Box<dyn FnOnce(Exit) + Send>;

/// Starts this program again, as a child process that runs one function instead of `main`.
///
/// The child gets the arguments, the environment, the working directory and the standard
/// descriptors of this process, and no other descriptor than those given by [`fds`](Self::fds).
/// It is killed when this process ends, however it ends.
///
/// ```
/// use procession_process::{Exit, Launcher, Start};
///
/// fn greet(start: Start) {
///     println!("hello {}", String::from_utf8_lossy(&start.payload));
/// }
///
/// let child = Launcher::new(greet).name("greeter").payload(b"world".to_vec()).launch()?;
/// assert_eq!(child.wait(), Exit::Code(0));
/// # Ok::<(), procession_process::SpawnError>(())
/// ```
#[must_use = "nothing is started before `launch` is called"]
pub struct Launcher {
    main: fn(Start),
    program: Option<Program>,
    name: String,
    payload: Vec<u8>,
    fds: Vec<OwnedFd>,
    standard: Standard,
    environment: Changes,
    directory: Option<OwnedFd>,
    settings: Settings,
    core_dumps: bool,
    ignore_interrupt: bool,
    on_exit: Option<OnExit>,
    cgroup: Option<PathBuf>,
    /// What lets the child enter its group.
    door: Option<OwnedFd>,
    start_method: StartMethod,
    preload: Option<fn()>,
    is_zygote: bool,
}

impl fmt::Debug for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launcher")
            .field("name", &self.name)
            .field("payload_bytes", &self.payload.len())
            .field("fds", &self.fds)
            .finish_non_exhaustive()
    }
}

impl Launcher {
    /// A child that calls `main` on its main thread, and exits with code 0 when it returns, 101 when it panics. `main` must be a function of the program or shared library that this crate
    /// is linked into.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// assert_eq!(Launcher::new(|_| ()).launch()?.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn new(main: fn(Start)) -> Self {
        Self {
            main,
            program: None,
            name: "procession".to_owned(),
            payload: Vec::new(),
            fds: Vec::new(),
            standard: Standard::default(),
            environment: Changes::default(),
            directory: None,
            settings: Settings::default(),
            core_dumps: false,
            ignore_interrupt: false,
            on_exit: None,
            cgroup: None,
            door: None,
            start_method: StartMethod::Spawn,
            preload: None,
            is_zygote: false,
        }
    }

    /// The name of the process in ps(1) and in front of panic messages. NUL bytes are left
    /// out and what exceeds 128 bytes is cut; ps(1) shows the first 15. Default: "procession".
    ///
    /// ```
    /// use procession_process::{Exit, Launcher, Start};
    ///
    /// fn check(start: Start) { assert_eq!(start.name, "greeter") }
    ///
    /// assert_eq!(Launcher::new(check).name("greeter").launch()?.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.replace('\0', "");
        while self.name.len() > NAME_BYTES_MAX {
            self.name.pop();
        }
        self
    }

    /// The bytes that the child's function gets, of any number. Default: none.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let child = Launcher::new(|start| assert_eq!(start.payload.len(), 1000)).payload(vec![7; 1000]).launch()?;
    /// assert_eq!(child.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn payload(mut self, payload: Vec<u8>) -> Self {
        self.payload = payload;
        self
    }

    /// The descriptors that the child's function gets, at most 251. They are closed in this
    /// process by [`launch`](Self::launch). Default: none.
    ///
    /// ```
    /// use std::io::{PipeWriter, Write, pipe, read_to_string};
    /// use procession_process::{Launcher, Start};
    ///
    /// fn greet(mut start: Start) {
    ///     PipeWriter::from(start.fds.remove(0)).write_all(b"hello").unwrap();
    /// }
    ///
    /// let (reader, writer) = pipe()?;
    /// Launcher::new(greet).fds(vec![writer.into()]).launch()?;
    /// assert_eq!(read_to_string(reader)?, "hello");         // the child has left: it is at its end
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fds(mut self, fds: Vec<OwnedFd>) -> Self {
        self.fds = fds;
        self
    }

    /// Whether the child's standard input is /dev/null instead of this process's. Default: no.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// fn check(_: procession_process::Start) {
    ///     assert_eq!(std::fs::read_link("/proc/self/fd/0").unwrap(), std::path::Path::new("/dev/null"));
    /// }
    ///
    /// assert_eq!(Launcher::new(check).stdin_null(true).launch()?.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn stdin_null(mut self, null: bool) -> Self {
        self.standard.stdin_null = null;
        self
    }

    /// Whether a crash of the child may write a core file, which delays the notice of its death
    /// by the time that takes. Default: no.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// // A crash is told of at once, and no file is written.
    /// let child = Launcher::new(|_| std::process::abort()).core_dumps(false).launch()?;
    /// assert_eq!(child.wait(), Exit::Signal(6));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn core_dumps(mut self, allowed: bool) -> Self {
        self.core_dumps = allowed;
        self
    }

    /// Whether SIGINT (Ctrl-C, which a terminal sends to parent and children alike) does nothing
    /// in the child. It is caught by an empty handler, so programs that the child runs are
    /// interrupted as usual. Default: no.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher, Start};
    ///
    /// fn interrupt_itself(_: Start) {
    ///     // SAFETY: the handler is this crate's, and does nothing.
    ///     unsafe { libc::raise(libc::SIGINT) };
    /// }
    ///
    /// assert_eq!(Launcher::new(interrupt_itself).ignore_interrupt(true).launch()?.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn ignore_interrupt(mut self, ignored: bool) -> Self {
        self.ignore_interrupt = ignored;
        self
    }

    /// Called once with how the child ended, before any [`Child::wait`] returns.
    ///
    /// It runs on the thread that reaps all children of this process, or on one that waits for this child: it must be short and
    /// must not wait for a child. If it panics the process aborts. It is not called if this process
    /// forks and the child ends in the life of the forked process only, nor if `launch` fails.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let (sender, ends) = std::sync::mpsc::channel();
    /// let child = Launcher::new(|_| std::process::exit(3)).on_exit(move |exit| sender.send(exit).unwrap()).launch()?;
    /// drop(child);                                          // nobody waits for it
    /// assert_eq!(ends.recv()?, Exit::Code(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_exit(mut self, on_exit: impl FnOnce(Exit) + Send + 'static) -> Self {
        self.on_exit = Some(Box::new(on_exit));
        self
    }

    /// Executes another program than this one. See [`ProcessBuilder::program`](crate::ProcessBuilder::program), which says
    /// what such a program must be; one that never serves is [ended](Child::kill) by nobody but you.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// // Another file of the same build: this one.
    /// assert_eq!(Launcher::new(|_| ()).program("/proc/self/exe").launch()?.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn program(mut self, path: impl AsRef<Path>) -> Self {
        self.program = Some(Program::new(path.as_ref()));
        self
    }

    /// The arguments of the other program, without its name. Default: none.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// fn check(_: procession_process::Start) { assert_eq!(std::env::args().nth(1).as_deref(), Some("--child")) }
    ///
    /// let child = Launcher::new(check).program("/proc/self/exe").program_args(["--child"]).launch()?;
    /// assert_eq!(child.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn program_args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        if let Some(program) = &mut self.program {
            program.set_arguments(args.into_iter().map(Into::into).collect());
        }
        self
    }

    /// Executes this program, if it is one.
    pub(crate) fn other_program(mut self, program: Option<Program>) -> Self {
        self.program = program;
        self
    }

    /// How the child comes into being. Default: [`StartMethod::Spawn`].
    ///
    /// By [`StartMethod::Inline`] it is a thread, for which only name, payload, descriptors and `on_exit` mean anything.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher, StartMethod};
    ///
    /// let child = Launcher::new(|start| assert!(start.is_inline)).start_method(StartMethod::Inline).launch()?;
    /// assert_eq!(child.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn start_method(mut self, start_method: StartMethod) -> Self {
        self.start_method = start_method;
        self
    }

    /// The function that the zygote runs before it forks, see [`ProcessBuilder::preload`](crate::ProcessBuilder::preload).
    /// Default: none.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use procession_process::{Exit, Launcher, StartMethod};
    ///
    /// static WORDS: OnceLock<Vec<&str>> = OnceLock::new();
    ///
    /// fn load() { WORDS.set(vec!["a", "long", "list"]).unwrap() }
    ///
    /// let launcher = Launcher::new(|_| assert_eq!(WORDS.get().unwrap().len(), 3));
    /// let child = launcher.start_method(StartMethod::Zygote).preload(load).launch()?;
    /// assert_eq!(child.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn preload(mut self, preload: fn()) -> Self {
        self.preload = Some(preload);
        self
    }

    /// A zygote: it has one thread and decides by itself what its children inherit of it.
    pub(crate) fn zygote(mut self) -> Self {
        self.is_zygote = true;
        self.standard.stdin_null = true;
        // Its children's own choice is applied to what they inherit from it, which must not be less than it was.
        self.core_dumps = true;
        self.name("zygote")
    }

    /// Calls `main` on a thread of this process, with what the child's function would get; it returns what would be the
    /// child's exit code.
    pub(crate) fn run_inline(
        self,
        generation: u64,
        main: impl FnOnce(Start) -> i32 + Send + 'static,
    ) -> Result<Child, SpawnError> {
        let (payload, fds, name) = (self.payload, self.fds, self.name);
        let start = Start { payload, fds, name, is_inline: true };
        inline::start(start, generation, self.on_exit, main)
    }

    /// The name as it was cut.
    pub(crate) fn given_name(&self) -> &str {
        &self.name
    }

    /// The descriptors that become its standard ones. Default: those of this process.
    pub(crate) fn standard(mut self, descriptors: [Option<OwnedFd>; 3]) -> Self {
        self.standard.descriptors = descriptors;
        self
    }

    /// Changes to its environment. Default: none.
    pub(crate) fn environment(mut self, changes: Changes) -> Self {
        self.environment = changes;
        self
    }

    /// Its working directory. Default: that of this process.
    pub(crate) fn directory(mut self, directory: Option<OwnedFd>) -> Self {
        self.directory = directory;
        self
    }

    /// What the child may use of the machine. Default: as much as this process.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher, Limits};
    ///
    /// let limits = Limits::new().cpu_seconds(1);
    /// let child = Launcher::new(|_| assert!(std::fs::read_to_string("/proc/self/limits").unwrap().contains("1                    2                    seconds")));
    /// assert_eq!(child.limits(limits).launch()?.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn limits(mut self, limits: crate::Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Gives the child a cgroup of its own below a directory that was delegated to this user. See
    /// [`ProcessBuilder::cgroup`](crate::ProcessBuilder::cgroup). Default: none.
    ///
    /// ```
    /// use procession_process::{Launcher, SpawnError};
    ///
    /// // It must be one that was delegated; this is none.
    /// let refused = Launcher::new(|_| ()).cgroup("/proc").launch();
    /// assert!(matches!(refused, Err(SpawnError::Cgroup { .. })));
    /// ```
    pub fn cgroup(mut self, delegated: impl AsRef<Path>) -> Self {
        self.cgroup = Some(delegated.as_ref().to_owned());
        self
    }

    /// The sandbox that the child puts around itself before it calls its function. Default: none.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher, Sandbox};
    ///
    /// let sandbox = Sandbox::new().no_network();
    /// # if !sandbox.is_available() { return Ok(()) }
    /// let child = Launcher::new(|_| assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_err()));
    /// assert_eq!(child.sandbox(sandbox).launch()?.wait(), Exit::Code(0));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    #[cfg(feature = "sandbox")]
    pub fn sandbox(mut self, sandbox: crate::Sandbox) -> Self {
        self.settings.sandbox = Some(sandbox);
        self
    }

    /// What it does to itself first. Default: nothing.
    pub(crate) fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Starts the child.
    ///
    /// Blocks until the kernel has started the program (about a millisecond) and not until the
    /// function runs. Whether the child could start to serve, its [`Exit`] tells: the codes of
    /// [`refusal`](crate::refusal). By [`StartMethod::Zygote`], it blocks until the zygote has run its
    /// preload function and forked.
    ///
    /// # Errors
    ///
    /// - [`HookDidNotRun`](SpawnError::HookDidNotRun), [`InConstructor`](SpawnError::InConstructor):
    ///   called before the start-up hook ran, or by a constructor of a child process
    /// - [`Privileged`](SpawnError::Privileged): the program is setuid or the like
    /// - [`NotRestartable`](SpawnError::NotRestartable): the function is in another image than this crate; or this crate is
    ///   in a shared library, or the program was started through the dynamic linker, and no other program was named
    /// - [`TooDeep`](SpawnError::TooDeep): this process is at depth [`DEPTH_MAX`]
    /// - [`TooManyDescriptors`](SpawnError::TooManyDescriptors): more than 251 were given
    /// - [`Cgroup`](SpawnError::Cgroup): the child cannot have the cgroup that was asked for
    /// - [`ZygoteThreads`](SpawnError::ZygoteThreads), [`Preload`](SpawnError::Preload),
    ///   [`ZygoteEnded`](SpawnError::ZygoteEnded): what the preload function did
    /// - [`System`](SpawnError::System): the operating system refused a step; no process is left
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let child = Launcher::new(|_| panic!("the child's own affair")).launch()?;
    /// assert_eq!(child.wait(), Exit::Code(101));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn launch(self) -> Result<Child, SpawnError> {
        self.begin_at(Pace::Waits)?.finish()
    }

    /// Has the child started, but does not wait until it is: so several can be prepared while others are on their way.
    ///
    /// By another method than [`StartMethod::Spawn`] it blocks as [`launch`](Self::launch) does.
    ///
    /// # Errors
    ///
    /// Those of [`launch`](Self::launch), but for what the operating system says to the start itself:
    /// [`Launching::finish`] tells that.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let on_its_way = Launcher::new(|_| ()).begin()?;
    /// let prepared = vec![0; 1 << 20];                      // meanwhile
    /// assert_eq!(on_its_way.finish()?.wait(), Exit::Code(0));
    /// # drop(prepared);
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn begin(self) -> Result<Launching, SpawnError> {
        self.begin_at(Pace::GoesOn)
    }

    fn begin_at(self, pace: Pace) -> Result<Launching, SpawnError> {
        hook::check()?;
        self.settings.check(self.start_method)?;
        let depth = hook::depth() + 1;
        if depth > DEPTH_MAX {
            return Err(SpawnError::TooDeep { depth });
        }
        let offices = Offices::open()?;
        match self.start_method {
            StartMethod::Spawn => self.spawn(offices, depth, pace),
            StartMethod::Zygote => self.fork(offices, depth).map(Launching::over),
            StartMethod::Inline => {
                let main = self.main;
                let run = move |start| {
                    main(start);
                    0
                };
                self.run_inline(offices.generation(), run).map(Launching::over)
            }
        }
    }

    fn spawn(mut self, offices: &Offices, depth: u32, pace: Pace) -> Result<Launching, SpawnError> {
        let executable = self.executable()?;
        self.check_descriptors()?;
        let ending = self.ending(offices)?;
        let variable = Variable {
            descriptor: command::SOCKET_NUMBER,
            parent: std::process::id(),
            depth,
            hook: hook::number(),
        };
        let (environment, unset) = command::environment(&self.environment, variable)?;
        self.settings.unset = unset;
        self.settings.has_directory = self.directory.is_some();
        let (_ours, socket) = self.mail(offices)?;
        let order = Order {
            executable,
            environment,
            socket,
            standard: self.standard,
            block_interrupt: self.ignore_interrupt || self.is_zygote,
            ending,
        };
        offices.spawn(order, pace)
    }

    /// What is due at the end of the child, and the group in which it will be, if it is to have one.
    fn ending(&mut self, offices: &Offices) -> Result<Ending, SpawnError> {
        let on_exit = self.on_exit.take();
        let Some(delegated) = &self.cgroup else { return Ok(Ending { on_exit, group: None }) };
        let memory_bytes = self.settings.limits.take_memory_bytes();
        let group = Group::new(offices, delegated, memory_bytes, self.program.as_ref())?;
        self.door = Some(group.door()?);
        self.settings.has_group = true;
        Ok(Ending { on_exit, group: Some(group) })
    }

    /// What is executed, if the child can be what it must be.
    fn executable(&self) -> Result<Executable, SpawnError> {
        match &self.program {
            Some(program) => restart::check_for_other_program().and_then(|()| program.executable()),
            None => restart::check().and_then(|()| Executable::this_program()),
        }
    }

    fn fork(mut self, offices: &Offices, depth: u32) -> Result<Child, SpawnError> {
        // The zygote's own are those that this process had when it started the zygote, or what the preload function has made
        // of them.
        if self.directory.is_none() {
            self.directory = Some(own_directory()?);
        }
        self.settings.has_directory = true;
        if self.standard.stdin_null {
            self.standard.descriptors[0] = Some(spawner::open_null()?);
        }
        self.check_descriptors()?;
        let kind = Kind::new(self.program.take(), self.preload)?;
        let ending = self.ending(offices)?;
        let standard = std::mem::take(&mut self.standard.descriptors);
        let birth = |before: &BTreeMap<OsString, OsString>| self.birth(offices, depth, before);
        offices.zygotes().fork(offices, &kind, &standard, birth, ending)
    }

    /// The request for one process, to a zygote that was started with the environment `before`.
    fn birth(
        &mut self,
        offices: &Offices,
        depth: u32,
        before: &BTreeMap<OsString, OsString>,
    ) -> Result<Birth, SpawnError> {
        let changed = self.environment.apply(std::env::vars_os()).since(before);
        let (environment, unset) =
            changed.map_err(|error| SpawnError::system("pass on the environment", error))?;
        self.settings.unset = unset;
        let (ours, theirs) = self.mail(offices)?;
        let block_interrupt = self.ignore_interrupt;
        Ok(Birth { depth, block_interrupt, environment, ours, theirs })
    }

    fn check_descriptors(&self) -> Result<(), SpawnError> {
        let taken = usize::from(self.directory.is_some()) + usize::from(self.cgroup.is_some());
        let max = CALLER_DESCRIPTORS_MAX - taken;
        let given = self.fds.len();
        if given > max { Err(SpawnError::TooManyDescriptors { given, max }) } else { Ok(()) }
    }

    /// Both ends of a socket in which the child's message lies, and the child's end is the second.
    fn mail(&self, offices: &Offices) -> Result<(OwnedFd, OwnedFd), SpawnError> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| SpawnError::system("create the bootstrap socket", error))?;
        let memory = self.payload_memory()?;
        let payload = match memory {
            Some(_) => Payload::Memory { len_bytes: self.payload.len() as u64 },
            None => Payload::Inline(&self.payload),
        };
        let message = Message {
            identity: image::identity().clone(),
            entry: image::offset_of(self.main as usize)?,
            name: &self.name,
            parent_name: lineage::own_name(),
            settings: Cow::Borrowed(&self.settings),
            core_dumps: self.core_dumps,
            ignore_interrupt: self.ignore_interrupt,
            has_pidfd: offices.own_pidfd().is_some(),
            cores: u32::try_from(Spin::cores()).unwrap_or(u32::MAX),
            is_zygote: self.is_zygote,
            payload,
        };
        let descriptors: Vec<BorrowedFd<'_>> = offices
            .own_pidfd()
            .into_iter()
            .chain(self.door.as_ref().map(AsFd::as_fd))
            .chain(memory.as_ref().map(AsFd::as_fd))
            .chain(self.directory.as_ref().map(AsFd::as_fd))
            .chain(self.fds.iter().map(AsFd::as_fd))
            .collect();
        bootstrap::send(&ours, &message, &descriptors)
            .map_err(|error| SpawnError::system("send the bootstrap message", error))?;
        Ok((ours, theirs))
    }

    fn payload_memory(&self) -> Result<Option<OwnedFd>, SpawnError> {
        if self.payload.len() <= INLINE_PAYLOAD_BYTES_MAX {
            return Ok(None);
        }
        let memory = sealed_memory(&self.payload)
            .map_err(|error| SpawnError::system("copy the payload into shared memory", error))?;
        Ok(Some(memory))
    }
}

/// The working directory of this process, which another one may enter.
fn own_directory() -> Result<OwnedFd, SpawnError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(".", flags, Mode::empty())
        .map_err(|error| SpawnError::system("open the working directory", error))
}

/// Anonymous memory with these contents, which nobody can change any more.
pub(crate) fn sealed_memory(contents: &[u8]) -> io::Result<OwnedFd> {
    // Writing past the limit would not only fail but also kill by SIGXFSZ.
    if limit::soft(Resource::Fsize).is_some_and(|limit| limit < contents.len() as u64) {
        return Err(Errno::FBIG.into());
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd("procession-payload", flags)?);
    file.write_all(contents)?;
    let memory = OwnedFd::from(file);
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&memory, seals)?;
    Ok(memory)
}

/// Anonymous memory that cannot be made executable, where the kernel has that.
pub(crate) fn memfd(name: &str, flags: MemfdFlags) -> rustix::io::Result<OwnedFd> {
    match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3 the flag is unknown.
        Err(Errno::INVAL) => memfd_create(name, flags),
        created => created,
    }
}
