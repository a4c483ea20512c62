//! A command that is shown, run, timed, and whose output is both passed on and kept.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long output may stay open after the command has exited. Only a process that outlived the
/// command can hold it, and nobody should wait for that one.
const STRAGGLER_GRACE: Duration = Duration::from_secs(10);

/// A command line with the environment it needs.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) success: bool,
    /// Standard output and standard error, in the order in which they were written.
    pub(crate) output: String,
    pub(crate) took: Duration,
}

impl Invocation {
    pub(crate) fn new(program: &str) -> Self {
        Self { program: program.to_owned(), args: Vec::new(), env: Vec::new() }
    }

    /// The same cargo that runs xtask, with these arguments separated by spaces.
    pub(crate) fn cargo(args: &str) -> Self {
        Self::new("cargo").args(args)
    }

    pub(crate) fn args(mut self, args: &str) -> Self {
        self.args.extend(args.split_whitespace().map(str::to_owned));
        self
    }

    /// One argument, which may have spaces.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shows the command, runs it in `dir` without standard input, and shows its time. A command that leaves
    /// a process behind, which still holds its output, did not succeed.
    ///
    /// # Errors
    /// When the command cannot be started, and when its output cannot be read.
    pub(crate) fn run(&self, dir: &Path) -> io::Result<Finished> {
        println!("\n$ {self}");
        let started = Instant::now();
        let (reader, writer) = io::pipe()?;
        let mut child = self
            .command(dir)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        let forwarder = Forwarder::start(reader);
        let status = child.wait()?;
        let (output, straggler) = forwarder.finish(STRAGGLER_GRACE)?;
        let success = status.success() && !straggler;
        let took = started.elapsed();
        println!("  {} in {:.1} s", if success { "done" } else { "FAILED" }, took.as_secs_f32());
        Ok(Finished { success, output, took })
    }

    /// Whether the command can be run at all and succeeds. Shows nothing.
    pub(crate) fn succeeds(&self, dir: &Path) -> bool {
        let quiet = self
            .command(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        quiet.is_ok_and(|status| status.success())
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(self.resolve());
        // Colours would have to be taken out again before the output can be counted.
        command.args(&self.args).current_dir(dir).env("CARGO_TERM_COLOR", "never");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    fn resolve(&self) -> OsString {
        let running = if self.program == "cargo" { env::var_os("CARGO") } else { None };
        running.unwrap_or_else(|| self.program.clone().into())
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}=\"{value}\" ")?;
        }
        f.write_str(&self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// Passes output on line by line from a thread of its own and keeps a copy.
struct Forwarder {
    kept: Arc<Mutex<String>>,
    ended: Receiver<io::Result<()>>,
}

impl Forwarder {
    fn start(reader: PipeReader) -> Self {
        let kept = Arc::new(Mutex::new(String::new()));
        let (sender, ended) = mpsc::channel();
        let copy = Arc::clone(&kept);
        thread::spawn(move || {
            // Nobody is left to tell only when `finish` gave up on a straggler, and said so.
            let _ = sender.send(forward(reader, &copy));
        });
        Self { kept, ended }
    }

    /// What was written, and whether something still held the output open after `grace`.
    fn finish(self, grace: Duration) -> io::Result<(String, bool)> {
        let straggler = match self.ended.recv_timeout(grace) {
            Ok(result) => result.map(|()| false)?,
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("nobody reads its output any more"));
            }
        };
        if straggler {
            println!("!!! a process that it started outlived it and holds its output");
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((std::mem::take(&mut *kept), straggler))
    }
}

fn forward(reader: PipeReader, kept: &Mutex<String>) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Invocation {
        let mut shell = Invocation::new("sh").args("-c");
        shell.args.push(script.to_owned());
        shell
    }

    #[test]
    fn output_of_both_streams_is_kept_in_order() {
        let finished = shell("echo one; echo two >&2; echo three").run(Path::new(".")).unwrap();
        assert!(finished.success);
        assert_eq!(finished.output, "one\ntwo\nthree\n");
    }

    #[test]
    fn a_failure_is_not_a_success() {
        assert!(!shell("exit 3").run(Path::new(".")).unwrap().success);
        assert!(!shell("exit 3").succeeds(Path::new(".")));
        assert!(shell("exit 0").succeeds(Path::new(".")));
    }

    #[test]
    fn output_that_stays_open_is_not_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        let (output, straggler) = Forwarder::start(reader).finish(Duration::ZERO).unwrap();
        assert!(straggler);
        assert_eq!(output, "");
        drop(writer);
    }

    #[test]
    fn standard_input_is_at_its_end() {
        let finished = shell("cat; echo ended").run(Path::new(".")).unwrap();
        assert_eq!(finished.output, "ended\n");
    }

    #[test]
    fn the_environment_is_shown_and_passed() {
        let greeting = shell("echo $GREETING").env("GREETING", "good morning");
        assert_eq!(greeting.to_string(), "GREETING=\"good morning\" sh -c echo $GREETING");
        assert_eq!(greeting.run(Path::new(".")).unwrap().output, "good morning\n");
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let missing = Invocation::new("no-program-has-this-name");
        assert_eq!(missing.run(Path::new(".")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!missing.succeeds(Path::new(".")));
    }
}
