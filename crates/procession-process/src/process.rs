//! Processes that run one function and give its value.

use std::fmt;
use std::io::{PipeReader, PipeWriter};
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use procession_channel::codec::DecodeError;
use procession_channel::{IntoArg, Message};
use procession_shm::{Waitable, Watch};

use crate::answer::{self, Trouble};
use crate::builder::ProcessBuilder;
use crate::exit::Exit;
use crate::handle::ProcessHandle;
use crate::outbox::{Content, Outbox};
use crate::outcome::Outcome;
use crate::process_error::ProcessError;

/// A process that runs one function, as a thread would, and gives its value.
///
/// ```
/// use procession_process::{Failure, Process, ProcessError};
///
/// fn parse(text: String) -> Result<u32, Failure> {
///     Ok(text.trim().parse()?)
/// }
///
/// assert_eq!(Process::spawn(parse, " 42 ")?.join()?, 42);
/// match Process::spawn(parse, "x")?.join() {
///     Err(ProcessError::Failed(report)) => assert_eq!(report.to_string(), "invalid digit found in string"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), ProcessError>(())
/// ```
///
/// The function is a plain `fn`: an item, or a closure that captures nothing. It gets one owned argument; several are a tuple,
/// or the macro [`spawn!`](crate::spawn). What it needs of this process it must be given: statics are as at the program's start.
///
/// # The end
///
/// A handle may be dropped: the process goes on, and is reaped when it ends. When *this* process ends by itself (`main`
/// returns, or `std::process::exit` is called) it first kills its children that are [daemons](ProcessBuilder::daemon) and then
/// waits for all others. When it ends in any other way, its children are killed by the kernel, and theirs. A child that is
/// started while this process is exiting is killed.
///
/// The process ends when its function returns, and does not wait for threads that the function has left behind; what it has
/// printed is flushed, and exit handlers run. Its exit code is 0 if the function returned a value, 1 if it returned a
/// failure, 101 if it panicked.
///
/// # The result
///
/// It lies in shared memory until it is joined, so that a process never waits for anybody to take it. A result of more than
/// [`result_len_max`](ProcessBuilder::result_len_max) bytes is an error. This process does not trust it: whatever the child
/// writes, `join` gives a value or an error.
///
/// # Waiting
///
/// Everything that a [`ProcessHandle`] can do a `Process` can do. It is also a future with the result of [`join`](Self::join),
/// which needs no runtime: the thread that reaps children wakes it. The last task that polled it is woken. A process that was forked
/// from this one has no such thread: there a `Process` can be waited for and joined, and awaited in vain.
///
/// Ctrl-C on a terminal interrupts parent and children alike, and a process that does nothing about it dies.
pub struct Process<R> {
    handle: ProcessHandle,
    /// Until the result was taken.
    outbox: Option<Outbox>,
    decode: fn(&[u8]) -> Result<R, DecodeError>,
    pipes: Pipes,
}

/// This process's ends of the pipes that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    pub(crate) stdin: Option<PipeWriter>,
    pub(crate) stdout: Option<PipeReader>,
    pub(crate) stderr: Option<PipeReader>,
}

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("pid", &self.pid())
            .field("name", &self.name())
            .field("exit_status", &self.exit_status())
            .finish_non_exhaustive()
    }
}

impl<R> Deref for Process<R> {
    type Target = ProcessHandle;

    fn deref(&self) -> &ProcessHandle {
        &self.handle
    }
}

impl Process<()> {
    /// A process in the making: options first, then [`spawn`](ProcessBuilder::spawn).
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let builder = Process::builder().name("adder").nice(5);
    /// assert_eq!(builder.spawn(|n: u64| n + 1, 1)?.join()?, 2);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn builder() -> ProcessBuilder {
        ProcessBuilder::new()
    }
}

impl<R: 'static> Process<R> {
    /// Starts a process that calls `function` with `argument`: a value, or a reference that stands for a clone.
    ///
    /// Blocks until the kernel has started the program (about a millisecond) and not until the function runs.
    ///
    /// # Errors
    ///
    /// [`Spawn`](ProcessError::Spawn) as for [`Launcher::launch`](crate::Launcher::launch), and
    /// [`Encode`](ProcessError::Encode) if the argument cannot be sent. No process was started then.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let process = Process::spawn(|name: String| format!("hello {name}"), "bob")?; // a reference stands for a clone
    /// assert_eq!(process.join()?, "hello bob");
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn spawn<A, X, O, K>(function: fn(A) -> O, argument: X) -> Result<Self, ProcessError>
    where
        X: IntoArg<A>,
        A: Message,
        O: Outcome<K, Ok = R>,
        K: 'static,
    {
        ProcessBuilder::new().spawn(function, argument)
    }

    pub(crate) fn new(
        handle: ProcessHandle,
        outbox: Outbox,
        decode: fn(&[u8]) -> Result<R, DecodeError>,
        pipes: Pipes,
    ) -> Self {
        Self { handle, outbox: Some(outbox), decode, pipes }
    }

    /// Blocks until the process has ended; the value of its function.
    ///
    /// If its standard input is a pipe that was not taken, it is closed first. Nobody reads its output meanwhile: a process
    /// with a piped output that is full never ends.
    ///
    /// # Errors
    ///
    /// - [`Failed`](ProcessError::Failed), [`Panicked`](ProcessError::Panicked): the function did
    /// - [`Died`](ProcessError::Died): the process ended before the function returned, or by a signal after it. One that
    ///   exits by itself after the function returned, with whatever code, has given its value
    /// - [`NotServed`](ProcessError::NotServed): the process exited before the function was called
    /// - [`Encode`](ProcessError::Encode), [`Decode`](ProcessError::Decode): the value cannot travel
    /// - [`AlreadyJoined`](ProcessError::AlreadyJoined): [`join_timeout`](Self::join_timeout) had the value
    ///
    /// ```
    /// use procession_process::{Exit, Process, ProcessError};
    ///
    /// let crashed = Process::spawn(|()| -> u64 { std::process::abort() }, ())?.join();
    /// assert!(matches!(crashed, Err(ProcessError::Died { exit: Exit::Signal(6), .. })));
    /// # Ok::<(), ProcessError>(())
    /// ```
    pub fn join(mut self) -> Result<R, ProcessError> {
        self.check_not_joined()?;
        self.pipes.stdin = None;
        let exit = self.wait();
        self.take_result(exit)
    }

    /// Blocks like [`join`](Self::join), but no longer than `timeout`; `None` if it passed. The process goes on.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join).
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_process::Process;
    ///
    /// let mut process = Process::spawn(std::thread::sleep, Duration::MAX)?;
    /// assert_eq!(process.join_timeout(Duration::from_millis(10))?, None);
    /// process.kill()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_timeout(&mut self, timeout: Duration) -> Result<Option<R>, ProcessError> {
        self.check_not_joined()?;
        match self.wait_timeout(timeout) {
            Some(exit) => self.take_result(exit).map(Some),
            None => Ok(None),
        }
    }

    /// Lets the process go on by itself, and its result be lost. This is what dropping the handle does, said on purpose.
    ///
    /// The process still does not outlive this one: see [the end](Self#the-end).
    ///
    /// ```
    /// use procession_channel::pipe::{Sender, simplex};
    /// use procession_process::Process;
    ///
    /// let (sender, receiver) = simplex()?;
    /// Process::spawn(|sender: Sender<u64>| sender.send(42).unwrap(), sender)?.detach();
    /// assert_eq!(receiver.recv()?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach(self) {}

    /// The pipe to its standard input, if that was [piped](crate::Stdio::piped) and not taken before.
    ///
    /// ```
    /// use std::io::Write;
    /// use procession_process::{Failure, Process, Stdio};
    ///
    /// fn count(_: ()) -> Result<usize, Failure> { Ok(std::io::read_to_string(std::io::stdin())?.lines().count()) }
    ///
    /// let mut process = Process::builder().stdin(Stdio::piped()).spawn(count, ())?;
    /// let mut stdin = process.take_stdin().unwrap();
    /// stdin.write_all(b"a\nb\n")?;
    /// drop(stdin);                                          // the end of its input
    /// assert_eq!(process.join()?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_stdin(&mut self) -> Option<PipeWriter> {
        self.pipes.stdin.take()
    }

    /// The pipe from its standard output, if that was [piped](crate::Stdio::piped) and not taken before.
    ///
    /// ```
    /// use procession_process::{Process, Stdio};
    ///
    /// let mut process = Process::builder().stdout(Stdio::piped()).spawn(|()| print!("hello"), ())?;
    /// let stdout = process.take_stdout().unwrap();
    /// assert_eq!(std::io::read_to_string(stdout)?, "hello");
    /// assert!(process.take_stdout().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_stdout(&mut self) -> Option<PipeReader> {
        self.pipes.stdout.take()
    }

    /// The pipe from its standard error, if that was [piped](crate::Stdio::piped) and not taken before.
    ///
    /// ```
    /// use procession_process::{Process, Stdio};
    ///
    /// let mut process = Process::builder().stderr(Stdio::piped()).spawn(|()| -> () { panic!("oh no") }, ())?;
    /// let said = std::io::read_to_string(process.take_stderr().unwrap())?;
    /// assert!(said.contains("oh no"), "{said}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_stderr(&mut self) -> Option<PipeReader> {
        self.pipes.stderr.take()
    }

    fn check_not_joined(&self) -> Result<(), ProcessError> {
        if self.outbox.is_some() { Ok(()) } else { Err(ProcessError::AlreadyJoined) }
    }

    /// The process has ended.
    fn take_result(&mut self, exit: Exit) -> Result<R, ProcessError> {
        let outbox = self.outbox.take().ok_or(ProcessError::AlreadyJoined)?;
        let died = ProcessError::Died { pid: self.pid(), exit };
        if matches!(exit, Exit::Signal(_) | Exit::OutOfMemory) {
            return Err(died);
        }
        let len_max = outbox.len_max();
        match outbox.open() {
            Ok(Content::NotBegun) => Err(not_served(died)),
            Ok(Content::Nothing) => Err(died),
            Ok(Content::Answer(answer::OK, bytes)) if bytes.len() > len_max => Err(nonsense()),
            Ok(Content::Answer(answer::OK, bytes)) => (self.decode)(&bytes).map_err(|error| {
                ProcessError::decode(format!("the result cannot be decoded: {error}"))
            }),
            Ok(Content::Answer(tag, bytes)) => Err(explain(tag, &bytes)),
            Ok(Content::Nonsense) => Err(nonsense()),
            Err(error) => Err(ProcessError::decode(format!("the result cannot be read: {error}"))),
        }
    }
}

/// What it is called that a process died before its function was called.
fn not_served(died: ProcessError) -> ProcessError {
    match died {
        ProcessError::Died { pid, exit: Exit::Code(code) } => ProcessError::NotServed { pid, code },
        died => died,
    }
}

/// The error that an answer which is no value stands for.
fn explain(tag: u8, bytes: &[u8]) -> ProcessError {
    match Trouble::read(tag, bytes) {
        Some(Trouble::Failed(report)) => ProcessError::Failed(report),
        Some(Trouble::Panicked((message, location, backtrace))) => {
            ProcessError::Panicked { message, location, backtrace }
        }
        Some(Trouble::Decode(why)) => {
            ProcessError::decode(format!("the argument cannot be decoded: {why}"))
        }
        Some(Trouble::Encode(why)) => {
            ProcessError::encode(format!("the result cannot be encoded: {why}"))
        }
        None => nonsense(),
    }
}

fn nonsense() -> ProcessError {
    ProcessError::decode(
        "the process left what no process of this program leaves: its memory was overwritten",
    )
}

/// Ready when [`join`](Process::join) goes on at once, as its [`ProcessHandle`] is.
impl<R> Waitable for Process<R> {
    fn is_ready(&self) -> bool {
        self.handle.is_ready()
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        self.handle.watch(watches);
    }

    fn unwatch(&self) {
        self.handle.unwatch();
    }
}

impl<R: 'static> Future for Process<R> {
    type Output = Result<R, ProcessError>;

    /// Does not block.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.check_not_joined()?;
        // A process that was started is a child.
        let Some(child) = this.handle.as_child() else { return Poll::Pending };
        let polled = child.poll_exit(context);
        polled.map(|exit| this.take_result(exit))
    }
}

#[cfg(test)]
mod tests {
    use procession_channel::codec::{Limits, decode};

    use super::*;
    use crate::outbox;

    /// A process that has left the number 7, as `result`.
    fn ended(result: u8) -> Process<u8> {
        has_left(result, &[7])
    }

    fn has_left(result: u8, bytes: &[u8]) -> Process<u8> {
        let outbox = Outbox::new(8).unwrap();
        let writer = outbox.writer().unwrap();
        outbox::begin(&writer).unwrap().leave(result, bytes).unwrap();
        let decode = |bytes: &[u8]| decode(bytes, &Limits::DEFAULT);
        Process::new(crate::lineage::current(), outbox, decode, Pipes::default())
    }

    #[test]
    fn who_is_killed_has_given_no_value_and_who_exits_has() {
        for exit in [Exit::Signal(libc::SIGKILL), Exit::OutOfMemory] {
            let died = ended(answer::OK).take_result(exit);
            assert!(matches!(died, Err(ProcessError::Died { .. })), "{died:?}");
        }
        for exit in [Exit::Code(0), Exit::Code(3), Exit::Unknown] {
            assert_eq!(ended(answer::OK).take_result(exit).unwrap(), 7);
        }
        assert!(matches!(ended(77).take_result(Exit::Code(0)), Err(ProcessError::Decode { .. })));
    }

    #[test]
    fn a_value_over_the_limit_is_none() {
        let result = has_left(answer::OK, &[7; 9]).take_result(Exit::Code(0));
        assert!(
            matches!(&result, Err(ProcessError::Decode { reason }) if reason.contains("overwritten")),
            "{result:?}"
        );
    }
}
