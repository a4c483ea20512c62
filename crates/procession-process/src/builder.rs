//! Processes with options.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use procession_channel::codec::{DecodeError, EncodeError, Limits as CodecLimits, decode};
use procession_channel::{IntoArg, Message};
use procession_shm::family::{self, Member};
use procession_shm::transfer::{Outgoing, send_scope};
use rustix::fs::{Mode, OFlags};
use rustix::thread::CpuSet;

use crate::answer::One;
use crate::environment::Changes;
use crate::error::SpawnError;
use crate::function::Function;
use crate::handle::ProcessHandle;
use crate::launcher::Launcher;
use crate::limits::Limits;
use crate::offices::Offices;
use crate::outbox::Outbox;
use crate::outcome::Outcome;
use crate::process::{Pipes, Process};
use crate::process_error::ProcessError;
use crate::program::Program;
use crate::settings::Settings;
use crate::start_method::StartMethod;
use crate::stdio::Stdio;
use crate::{errand, hook, lineage};

/// A result that is larger than this many bytes is an error, unless the builder says otherwise.
const RESULT_LEN_MAX: usize = 1 << 30;

/// A process in the making, made by [`Process::builder`]. It can start any number of processes.
///
/// ```
/// use procession_process::{Process, ProcessError, current};
///
/// let builder = Process::builder().name("worker").env("GREETING", "hello").nice(5);
/// let greet = |name: String| format!("{} {name}", std::env::var("GREETING").unwrap());
/// assert_eq!(builder.spawn(greet, "you")?.join()?, "hello you");
/// assert_eq!(builder.spawn(|()| current().name().to_owned(), ())?.join()?, "worker");
/// # Ok::<(), ProcessError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is started before `spawn` is called"]
pub struct ProcessBuilder {
    name: Option<String>,
    program: Option<Program>,
    is_daemon: bool,
    environment: Changes,
    current_dir: Option<PathBuf>,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    settings: Settings,
    cgroup: Option<PathBuf>,
    core_dumps: bool,
    result_len_max: usize,
    start_method: Option<StartMethod>,
    preload: Option<fn()>,
}

impl ProcessBuilder {
    pub(crate) fn new() -> Self {
        Self {
            name: None,
            program: None,
            is_daemon: false,
            environment: Changes::default(),
            current_dir: None,
            stdin: Stdio::default(),
            stdout: Stdio::default(),
            stderr: Stdio::default(),
            settings: Settings::default(),
            cgroup: None,
            core_dumps: false,
            result_len_max: RESULT_LEN_MAX,
            start_method: None,
            preload: None,
        }
    }

    /// The name of the process, in ps(1) (the first 15 bytes of it), in front of panic messages and for
    /// [`ProcessHandle::name`]. NUL bytes are left out and what exceeds 128 bytes is cut. Default: `Process-N`, where N counts
    /// the processes that this one has started; of the process `Process-2`, the children are `Process-2:N`.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let process = Process::builder().name("decoder").spawn(|()| procession_process::current().name().to_owned(), ())?;
    /// assert_eq!(process.name(), "decoder");
    /// assert_eq!(process.join()?, "decoder");
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Executes another program than this one, for processes that cannot be started again
    /// ([`NotRestartable`](SpawnError::NotRestartable)): those started through the dynamic linker, and those that have loaded a
    /// shared library (an extension of an interpreter, say) which this crate is linked into. A relative path starts at the working
    /// directory of this process.
    ///
    /// What can be called in the child is what is called by its place in an *image*: the main program or the shared library that this
    /// crate is linked into. So the other program must have the same image, in the same build: it is the file of this
    /// program, or a program that loads the same shared library and has it call [`serve`](crate::serve). It must not be linked with this
    /// crate itself then, because its own copy would answer first.
    ///
    /// Under valgrind and the like, `/proc/self/exe` executes the tool: name the file of this program there, and children run
    /// with the tool or without it as it was told (`--trace-children=yes`).
    ///
    /// A program with another image, or one that knows nothing of all this, never has a function called: a
    /// [`NotServed`](ProcessError::NotServed) says how it ended. One that does not end is not ended by anybody: join it with a
    /// [timeout](Process::join_timeout), and [kill](ProcessHandle::kill) it. Before it serves, it also does not die with this process.
    ///
    /// ```no_run
    /// use procession_process::Process;
    ///
    /// // In a Python extension module whose function `serve` calls `procession_process::serve`:
    /// let builder = Process::builder();
    /// let builder = builder.program("/usr/bin/python3").program_args(["-c", "import module; module.serve()"]);
    /// assert_eq!(builder.spawn(|n: u64| n + 1, 1)?.join()?, 2);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn program(mut self, path: impl AsRef<Path>) -> Self {
        self.program = Some(Program::new(path.as_ref()));
        self
    }

    /// The arguments of the other [`program`](Self::program), without its name; does nothing if none was named. Default: none.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// // Another file of the same build: this one.
    /// let builder = Process::builder().program("/proc/self/exe").program_args(["--as-child"]);
    /// let arguments = builder.spawn(|()| std::env::args().skip(1).collect::<Vec<_>>(), ())?.join()?;
    /// assert_eq!(arguments, ["--as-child"]);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn program_args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        if let Some(program) = &mut self.program {
            program.set_arguments(args.into_iter().map(Into::into).collect());
        }
        self
    }

    /// Whether this process, when it ends by itself, kills the process instead of waiting for it. Unlike in Python, a daemon
    /// may have children (they end with it), and a daemon's children are no daemons unless they are told to be. Default: no.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_process::Process;
    ///
    /// let builder = Process::builder().daemon(true);
    /// let heartbeat = builder.spawn(|()| -> () { loop { std::thread::sleep(Duration::from_secs(5)) } }, ())?;
    /// assert!(heartbeat.is_alive());
    /// // `main` returns here, and does not wait for it.
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.is_daemon = daemon;
        self
    }

    /// Sets an environment variable, from the process's very start: its loader and C library see it too.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let process = Process::builder().env("GREETING", "hello").spawn(|()| std::env::var("GREETING").ok(), ())?;
    /// assert_eq!(process.join()?.as_deref(), Some("hello"));
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.set(name.as_ref(), value.as_ref());
        self
    }

    /// Takes an environment variable away. It is in no memory of the process, but for variables of the dynamic linker
    /// (`LD_...`), which the loading of this program may need: the process removes them before its own code runs, and their
    /// old values stay visible in `/proc/<pid>/environ`.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let builder = Process::builder().env("TOKEN", "secret").env_remove("TOKEN");
    /// assert_eq!(builder.spawn(|()| std::env::var("TOKEN").ok(), ())?.join()?, None);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.remove(name.as_ref());
        self
    }

    /// Takes all environment variables away, as [`env_remove`](Self::env_remove) does, and forgets those set so far.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let builder = Process::builder().env_clear().env("LANG", "C");
    /// let variables = builder.spawn(|()| std::env::vars().collect::<Vec<_>>(), ())?.join()?;
    /// assert_eq!(variables, [("LANG".to_owned(), "C".to_owned())]);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn env_clear(mut self) -> Self {
        self.environment.clear();
        self
    }

    /// The working directory. It is opened by [`spawn`](Self::spawn), relative to that of this process. Default: that of this
    /// process.
    ///
    /// ```
    /// use std::path::{Path, PathBuf};
    /// use procession_process::Process;
    ///
    /// fn place(_: ()) -> PathBuf { std::env::current_dir().unwrap() }
    ///
    /// let builder = Process::builder().current_dir("/usr");
    /// assert_eq!(builder.spawn(place, ())?.join()?, Path::new("/usr"));
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    #[doc(alias = "cwd")]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.current_dir = Some(directory.as_ref().to_owned());
        self
    }

    /// Where standard input comes from. Default: inherited.
    ///
    /// ```
    /// use std::io::Write;
    /// use procession_process::{Failure, Process, Stdio};
    ///
    /// fn first_line(_: ()) -> Result<String, Failure> {
    ///     let mut line = String::new();
    ///     std::io::stdin().read_line(&mut line)?;
    ///     Ok(line)
    /// }
    ///
    /// let mut process = Process::builder().stdin(Stdio::piped()).spawn(first_line, ())?;
    /// process.take_stdin().unwrap().write_all(b"hello\n")?;
    /// assert_eq!(process.join()?, "hello\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Where standard output goes. Default: inherited.
    ///
    /// ```
    /// use procession_process::{Process, Stdio};
    ///
    /// let mut process = Process::builder().stdout(Stdio::piped()).spawn(|()| println!("hello"), ())?;
    /// assert_eq!(std::io::read_to_string(process.take_stdout().unwrap())?, "hello\n");
    /// process.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = stdout.into();
        self
    }

    /// Where standard error goes. Default: inherited.
    ///
    /// ```
    /// use procession_process::{Process, Stdio};
    ///
    /// let process = Process::builder().stderr(Stdio::null()).spawn(|()| -> () { panic!("quietly") }, ())?;
    /// assert!(process.join().is_err());                     // the message is in the error, not on the terminal
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = stderr.into();
        self
    }

    /// The nice value, from -20 (first) to 19 (last). A lower one than this process's needs a privilege: without it, the
    /// process ends with [`refusal::SYSTEM`](crate::refusal::SYSTEM). Default: that of the thread that has started the first process
    /// of this one, at that time.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// fn nice(_: ()) -> String {
    ///     let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    ///     stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().to_owned()
    /// }
    ///
    /// assert_eq!(Process::builder().nice(19).spawn(nice, ())?.join()?, "19");
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn nice(mut self, nice: i32) -> Self {
        self.settings.nice = Some(nice);
        self
    }

    /// The numbers of the processors that the process may run on; none for those that the main thread of this process had when it
    /// started its first one. If none of them exists or
    /// is allowed, the process ends with [`refusal::SYSTEM`](crate::refusal::SYSTEM).
    ///
    /// ```
    /// use procession_process::{Process, cpu_count};
    ///
    /// # let allowed = rustix::thread::sched_getaffinity(None)?;
    /// # let first = (0..).find(|cpu| allowed.is_set(*cpu)).unwrap();
    /// let builder = Process::builder().affinity(&[first]);  // the number of a processor, say 0
    /// assert_eq!(builder.spawn(|()| cpu_count(), ())?.join()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn affinity(mut self, processors: &[usize]) -> Self {
        self.settings.affinity = processors.to_vec();
        self
    }

    /// What the process may use of the machine. Default: as much as this one.
    ///
    /// ```
    /// use procession_process::{Limits, Process, ProcessError};
    ///
    /// fn decode(size: usize) -> usize { std::hint::black_box(vec![1_u8; size]).len() }
    ///
    /// let builder = Process::builder().limits(Limits::new().memory_bytes(256 << 20));
    /// assert_eq!(builder.spawn(decode, 1 << 20)?.join()?, 1 << 20);
    /// assert!(matches!(builder.spawn(decode, 1 << 30)?.join(), Err(ProcessError::Died { .. })));
    /// # Ok::<(), ProcessError>(())
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Gives the process a cgroup (version 2) of its own, below a directory that was *delegated* to this user. It is good for
    /// three things:
    ///
    /// - [`Limits::memory_bytes`] limits what the process and all that it starts *use* together (`memory.max`), shared memory
    ///   that they were the first to touch included. What is only reserved does not count, and nothing is swapped
    ///   (`memory.swap.max` is 0).
    /// - A kill for memory is told: [`Exit::OutOfMemory`](crate::Exit::OutOfMemory). All in the group are killed together.
    /// - When the process ends, what it has started and left behind is killed, by whatever means it was started (Linux 5.14).
    ///
    /// The directory must hand the memory controller down, or have no processes in it, so that it can be made to. This process must
    /// be in a group below it, too, unless it runs as root. A service of systemd has such a directory with `Delegate=memory` and
    /// `DelegateSubgroup=main` (version 254) in its unit, `/sys/fs/cgroup/system.slice/<name>.service`. `systemd-run --user
    /// --scope -p Delegate=yes` makes one, in which a subgroup has to be made and entered first. `doctor` tells whether there
    /// is one.
    ///
    /// The first process with a cgroup starts another, small one, the *janitor*. It outlives this process by a moment and removes
    /// the groups that are left then, however this process has ended; if both were killed at once, the next janitor does it.
    /// A group costs a descriptor for as long as the process lives. Of a process that a [zygote](StartMethod::Zygote) has forked,
    /// memory that the zygote has touched does not count, and an [inline](StartMethod::Inline) process has no group. Unless a
    /// sandbox keeps it from files, the process can write to its group as this one can, and raise its limit. Default: none.
    ///
    /// ```no_run
    /// use procession_process::{Exit, Limits, Process};
    ///
    /// let builder = Process::builder().cgroup("/sys/fs/cgroup/system.slice/app.service");
    /// let builder = builder.limits(Limits::new().memory_bytes(64 << 20));
    /// let process = builder.spawn(|size: usize| std::hint::black_box(vec![1_u8; size]).len(), 1 << 30)?;
    /// assert_eq!(process.wait(), Exit::OutOfMemory);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn cgroup(mut self, delegated: impl AsRef<Path>) -> Self {
        self.cgroup = Some(delegated.as_ref().to_owned());
        self
    }

    /// The sandbox around the process. Default: none. If this kernel does not offer it, or there is no process to put it around
    /// ([`StartMethod::Inline`]), [`spawn`](Self::spawn) is [`SandboxUnavailable`](SpawnError::SandboxUnavailable).
    /// [`best_effort`](crate::Sandbox::best_effort) allows both. Paths of it that do not exist end the process with
    /// [`refusal::SANDBOX`](crate::refusal::SANDBOX).
    ///
    /// ```
    /// use procession_process::{Process, Sandbox};
    ///
    /// let sandbox = Sandbox::new().compute_only();
    /// # if !sandbox.is_available() { return Ok(()) }
    /// let builder = Process::builder().sandbox(sandbox);
    /// assert!(builder.spawn(|()| std::fs::read("/etc/passwd").is_err(), ())?.join()?);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    #[cfg(feature = "sandbox")]
    pub fn sandbox(mut self, sandbox: crate::Sandbox) -> Self {
        self.settings.sandbox = Some(sandbox);
        self
    }

    /// Whether a crash may write a core file, which delays the notice of its death by the time that takes. Default: no.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// fn core_len_max(_: ()) -> String {
    ///     let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    ///     let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    ///     line.split_whitespace().nth(4).unwrap().to_owned()
    /// }
    ///
    /// let none = Process::builder().core_dumps(false).spawn(core_len_max, ())?.join()?;
    /// assert_eq!(none, "1");                                // a byte: too little for a file, and for who collects cores
    /// let inherited = Process::builder().core_dumps(true).spawn(core_len_max, ())?.join()?;
    /// assert_eq!(inherited, core_len_max(()));
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn core_dumps(mut self, allowed: bool) -> Self {
        self.core_dumps = allowed;
        self
    }

    /// How many bytes the encoded result may have. This process takes that much memory at most for it, whatever the process
    /// does, and 64 KiB for the explanation of a failure. Under an RLIMIT_FSIZE of this process, no more than that. Default: 1 GiB.
    ///
    /// ```
    /// use procession_process::{Process, ProcessError};
    ///
    /// let builder = Process::builder().result_len_max(1 << 20);
    /// assert_eq!(builder.spawn(|len: usize| vec![1_u8; len], 1000)?.join()?.len(), 1000);
    /// assert!(matches!(builder.spawn(|len: usize| vec![1_u8; len], 2 << 20)?.join(), Err(ProcessError::Encode { .. })));
    /// # Ok::<(), ProcessError>(())
    /// ```
    pub fn result_len_max(mut self, bytes: usize) -> Self {
        self.result_len_max = bytes;
        self
    }

    /// How the process comes into being. Default: what the environment variable `PROCESSION_START_METHOD` names, otherwise
    /// [`StartMethod::Spawn`].
    ///
    /// ```
    /// use procession_process::{Process, StartMethod};
    ///
    /// let inline = Process::builder().start_method(StartMethod::Inline); // for a debugger
    /// assert_eq!(inline.spawn(|()| std::process::id(), ())?.join()?, std::process::id());
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn start_method(mut self, start_method: StartMethod) -> Self {
        self.start_method = Some(start_method);
        self
    }

    /// A function that a [zygote](StartMethod::Zygote) runs once, before it forks the first process: what it leaves in memory
    /// (statics, caches, loaded models) each process finds there, without having paid for it. Other start methods ignore it.
    /// Default: none.
    ///
    /// One zygote is started for each such function, by the first process that asks for it, which waits for the function to
    /// return. What the function prints is printed once. Descriptors that it opens and signal handlers that it sets are there
    /// in each process, and so are its changes of the environment, except for variables that this process or the builder have
    /// changed.
    ///
    /// What was drawn at random is the same in each process: a generator that it has seeded goes on alike in all of them. Seed it in the
    /// process. The keys of `HashMap` are the same in all processes of a zygote, too.
    ///
    /// What it must not leave behind: threads, of which a fork would copy none ([`SpawnError::ZygoteThreads`], until they have
    /// ended). What it cannot do: start processes ([`SpawnError::InConstructor`]), or make shared memory, pipes and locks
    /// between processes (an error of each). If it panics, each process that asks for it gets [`SpawnError::Preload`].
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use procession_process::{Process, ProcessError, StartMethod};
    ///
    /// static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    ///
    /// fn load() {
    ///     WORDS.get_or_init(|| ["a", "long", "list"].map(String::from).to_vec());
    /// }
    ///
    /// fn find(word: String) -> Option<usize> {
    ///     WORDS.get()?.iter().position(|known| *known == word)
    /// }
    ///
    /// let builder = Process::builder().start_method(StartMethod::Zygote).preload(load);
    /// assert_eq!(builder.spawn(find, "list")?.join()?, Some(2));
    /// assert!(WORDS.get().is_none(), "nothing was loaded here");
    /// # Ok::<(), ProcessError>(())
    /// ```
    pub fn preload(mut self, preload: fn()) -> Self {
        self.preload = Some(preload);
        self
    }

    /// Starts a process that calls `function` with `argument`, like [`Process::spawn`].
    ///
    /// # Errors
    ///
    /// As there. Files that cannot be opened, names that no environment can hold and processors that cannot exist are a
    /// [`SpawnError::System`]. What only the process itself finds out (a nice value or an affinity that is not allowed)
    /// ends it with [`refusal::SYSTEM`](crate::refusal::SYSTEM) and a line on its standard error, and is a
    /// [`Died`](ProcessError::Died) for whoever joins it.
    ///
    /// ```
    /// use procession_process::{Process, ProcessError};
    ///
    /// let builder = Process::builder().name("worker").result_len_max(1 << 20);
    /// let processes: Vec<_> = (1..4).map(|n: u64| builder.spawn(|n: u64| n * n, n)).collect::<Result<_, _>>()?;
    /// let squares: Vec<u64> = processes.into_iter().map(Process::join).collect::<Result<_, _>>()?;
    /// assert_eq!(squares, [1, 4, 9]);
    /// # Ok::<(), ProcessError>(())
    /// ```
    pub fn spawn<A, X, O, K>(
        &self,
        function: fn(A) -> O,
        argument: X,
    ) -> Result<Process<O::Ok>, ProcessError>
    where
        X: IntoArg<A>,
        A: Message,
        O: Outcome<K>,
        K: 'static,
    {
        let function = Function::unary::<One<K>, A, O>(function)?;
        let encode = |out: &mut Vec<u8>| argument.encode_arg(out, &CodecLimits::DEFAULT);
        self.start(function, encode, |bytes| decode(bytes, &CodecLimits::DEFAULT))
    }

    /// Starts a process that calls `function` with what `encode` appends.
    pub(crate) fn start<R: 'static>(
        &self,
        function: Function,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
        decode: fn(&[u8]) -> Result<R, DecodeError>,
    ) -> Result<Process<R>, ProcessError> {
        self.check()?;
        let method = self.start_method.map_or_else(StartMethod::from_environment, Ok)?;
        self.settings.check(method)?;
        let outbox = Outbox::new(self.result_len_max)
            .map_err(|error| SpawnError::system("make memory for the result", error))?;
        let position = lineage::next_position();
        let (argument, handles) = pack(encode)?;
        // What runs in this process is what this process is.
        let invited = (method != StartMethod::Inline).then(|| invite_for(&handles));
        let (member, mut fds) = invited.transpose()?.unwrap_or_default();
        for fd in handles.descriptors() {
            let copy = fd.try_clone_to_owned();
            fds.push(copy.map_err(|error| SpawnError::system("duplicate a descriptor", error))?);
        }
        let mut payload = errand::write(function, &position, outbox.len_max(), member)?;
        payload.extend_from_slice(&argument);
        let default_name = || format!("Process-{position}");
        let name = self.name.clone().unwrap_or_else(default_name);
        let (launcher, pipes) = self.prepare(&name, payload, &outbox, fds, method)?;
        // What is moved by this call is moved now: the child may be the first to seal it.
        handles.commit();
        let handle = self.launch(launcher, method)?;
        Ok(Process::new(handle, outbox, decode, pipes))
    }

    /// What the kernel would not refuse clearly.
    fn check(&self) -> Result<(), SpawnError> {
        let refuse = |op, why: String| {
            Err(SpawnError::system(op, io::Error::new(io::ErrorKind::InvalidInput, why)))
        };
        if let Some(name) = self.environment.invalid_name() {
            let why = format!("{name:?} is no name of a variable: empty, or with a `=`");
            return refuse("set the environment", why);
        }
        let impossible = |number: &&usize| **number >= CpuSet::MAX_CPU;
        if let Some(number) = self.settings.affinity.iter().find(impossible) {
            return refuse("set the affinity", format!("there is no processor {number}"));
        }
        Ok(())
    }

    fn prepare(
        &self,
        name: &str,
        payload: Vec<u8>,
        outbox: &Outbox,
        fds: Vec<OwnedFd>,
        start_method: StartMethod,
    ) -> Result<(Launcher, Pipes), SpawnError> {
        let open = |error| SpawnError::system("open a standard descriptor", error);
        let (input, stdin) = self.stdin.open_input().map_err(open)?;
        let (output, stdout) = self.stdout.open_output().map_err(open)?;
        let (errors, stderr) = self.stderr.open_output().map_err(open)?;
        let writer = outbox.writer();
        let writer = writer.map_err(|error| SpawnError::system("duplicate a descriptor", error))?;
        let launcher = Launcher::new(errand::main)
            .other_program(self.program.clone())
            .name(name)
            .payload(payload)
            .fds(std::iter::once(writer).chain(fds).collect())
            .standard([input, output, errors])
            .environment(self.environment.clone())
            .directory(self.open_directory()?)
            .settings(self.settings.clone())
            .core_dumps(self.core_dumps)
            .start_method(start_method);
        let launcher = self.cgroup.iter().fold(launcher, Launcher::cgroup);
        let launcher = self.preload.into_iter().fold(launcher, Launcher::preload);
        Ok((launcher, Pipes { stdin, stdout, stderr }))
    }

    fn open_directory(&self) -> Result<Option<OwnedFd>, SpawnError> {
        let Some(path) = &self.current_dir else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        opened
            .map(Some)
            .map_err(|error| SpawnError::file("open the working directory", path, error))
    }

    fn launch(&self, launcher: Launcher, method: StartMethod) -> Result<ProcessHandle, SpawnError> {
        hook::check()?;
        let offices = Offices::open()?;
        let household = offices.household();
        let key = household.expect()?;
        let name = launcher.given_name().to_owned();
        let launcher = launcher.on_exit(move |_| household.leave(key));
        let launched = match method {
            StartMethod::Inline => launcher.run_inline(offices.generation(), errand::run_here),
            StartMethod::Spawn | StartMethod::Zygote => launcher.launch(),
        };
        let child = launched.inspect_err(|_| household.leave(key))?;
        let handle = ProcessHandle::of_child(name, child);
        household.enter(key, handle.clone(), self.is_daemon);
        Ok(handle)
    }
}

/// Encodes the argument and gathers the handles in it.
fn pack(
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(Vec<u8>, Outgoing), ProcessError> {
    let mut argument = Vec::new();
    let packed = send_scope(|| encode(&mut argument));
    let ((), handles) = packed.map_err(|unsent| {
        let why = unsent.failure.map_or_else(|| unsent.error.to_string(), |why| why.to_string());
        ProcessError::encode(format!("the argument cannot be encoded: {why}"))
    })?;
    Ok((argument, handles))
}

/// A place in the family for a child that gets shared memory with locks in it, and the descriptors of its invitation.
fn invite_for(handles: &Outgoing) -> Result<(Option<Member>, Vec<OwnedFd>), SpawnError> {
    if !handles.needs_family() {
        return Ok((None, Vec::new()));
    }
    let invitation = family::invite();
    let invitation = invitation.map_err(|error| {
        SpawnError::system("find a place in the family for a child", io::Error::other(error))
    })?;
    let (member, fds) = invitation.into_fds();
    Ok((Some(member), fds.into()))
}
