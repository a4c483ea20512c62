//! The process outside of a program: it starts it, kills and stops by chance, sees whether it gets on, and looks for what it has
//! left. It uses nothing of Procession.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::census::{descendants, report};
use crate::dice::Dice;
use crate::ledger::{Ledger, VARIABLE};

const TICK: Duration = Duration::from_millis(20);

/// So many ticks in which nobody has begun anything are a hang. Ticks and not a time: who stops all processes of a machine for a
/// while stops this one as well.
const HANG: u32 = 1500;

/// So many ticks after its end all of a program has gone.
const GONE: u32 = 250;

/// A program that runs, and how often it is hit, once in so many ticks.
struct Run {
    ledger: &'static Ledger,
    dice: Dice,
    root: Pid,
    kill: Option<u32>,
    stop: Option<u32>,
    /// When the process is killed that all others are below.
    kill_root: Option<u32>,
    /// And the ticks in which they go on.
    stopped: Vec<(Pid, u32)>,
}

/// Plays the program of a seed and says what was wrong with it.
pub(crate) fn play(seed: u64) -> io::Result<Result<(), String>> {
    rustix::process::set_child_subreaper(Pid::from_raw(1))?;
    let folder = format!("procession-chaos-{}-{seed}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    fs::create_dir(&folder)?;
    let (ledger, complaints) = (folder.join("ledger"), folder.join("complaints"));
    let names = shared_names()?;
    let child = Command::new(std::env::current_exe()?)
        .args(["act", &seed.to_string()])
        .env(VARIABLE, &ledger)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stderr(File::create(&complaints)?)
        .spawn()?;
    let mut run = Run::new(Ledger::open(&ledger)?, seed, &child);
    let mut wrong = run.watch(child)?;
    wrong.push_str(&left_over());
    if shared_names()? != names {
        wrong.push_str("there are other names in /dev/shm than before\n");
    }
    if run.ledger.complaints.load(SeqCst) > 0 || !wrong.is_empty() {
        wrong.push_str(&fs::read_to_string(&complaints)?);
    }
    run.ledger.close()?;
    fs::remove_dir_all(&folder)?;
    Ok(if wrong.is_empty() { Ok(()) } else { Err(wrong) })
}

fn shared_names() -> io::Result<Vec<OsString>> {
    fs::read_dir("/dev/shm")?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}

impl Run {
    fn new(ledger: &'static Ledger, seed: u64, root: &Child) -> Self {
        let mut dice = Dice::new(seed);
        let weather = [(None, None), (None, Some(5)), (Some(40), Some(20)), (Some(8), Some(8))];
        let (kill, stop) = *dice.pick(&weather);
        let is_peaceful = kill.is_none() && dice.one_in(2);
        ledger.is_peaceful.store(is_peaceful, SeqCst);
        let kill_root = (!is_peaceful && dice.one_in(6)).then(|| 10 + dice.below(200));
        Self {
            ledger,
            dice,
            root: Pid::from_child(root),
            kill,
            stop,
            kill_root,
            stopped: Vec::new(),
        }
    }

    /// Until the end of the program, or until it hangs.
    fn watch(&mut self, mut child: Child) -> io::Result<String> {
        let (mut before, mut idle, mut wrong) = (0, 0, String::new());
        for tick in 0.. {
            thread::sleep(TICK);
            if let Some(status) = child.try_wait()? {
                if !status.success() && self.kill_root.is_none_or(|at| at > tick) {
                    wrong = format!("it ended with {status}\n");
                }
                break;
            }
            self.go_on(tick);
            self.hit(tick);
            let progress = self.ledger.progress.swap(0, SeqCst);
            idle = if progress + before == 0 { idle + 1 } else { 0 };
            before = progress;
            if idle > HANG {
                wrong = format!("it hangs:\n{}", report());
                descendants().into_iter().for_each(|pid| send(pid, Signal::KILL));
                child.wait()?;
                break;
            }
        }
        self.go_on(u32::MAX);
        Ok(wrong)
    }

    fn go_on(&mut self, tick: u32) {
        for (pid, _) in self.stopped.extract_if(.., |(_, at)| *at <= tick) {
            send(pid, Signal::CONT);
        }
    }

    fn hit(&mut self, tick: u32) {
        if self.kill_root == Some(tick) {
            self.ledger.is_root_dead.store(true, SeqCst);
            return self.kill(self.root);
        }
        if let Some(pid) = self.victim(self.kill).filter(|pid| *pid != self.root) {
            self.kill(pid);
        }
        if let Some(pid) = self.victim(self.stop) {
            send(pid, Signal::STOP);
            self.stopped.push((pid, tick + 1 + self.dice.below(6)));
        }
    }

    fn victim(&mut self, one_in: Option<u32>) -> Option<Pid> {
        if !self.dice.one_in(one_in?) {
            return None;
        }
        let all = descendants();
        Some(all[self.dice.place(all.len())?])
    }

    fn kill(&self, pid: Pid) {
        self.ledger.deaths.fetch_add(1, SeqCst);
        send(pid, Signal::KILL);
    }
}

/// Nobody is there any more, a moment after the end.
fn left_over() -> String {
    for _ in 0..GONE {
        while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
        if descendants().is_empty() {
            return String::new();
        }
        thread::sleep(TICK);
    }
    let report = report();
    descendants().into_iter().for_each(|pid| send(pid, Signal::KILL));
    format!("these are left behind:\n{report}")
}

/// To a process below this one. Nobody else can have got its number meanwhile, unless its parent has reaped it and the kernel has
/// given out all other numbers since.
fn send(pid: Pid, signal: Signal) {
    let _gone = kill_process(pid, signal);
}
