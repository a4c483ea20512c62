//! Plays scenes, each in processes of its own, and counts.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::fault::Target;
use crate::scene::{Scene, Setting};
use crate::scenes;

/// The exit code of a process that could not install its filter.
pub(crate) const NO_LISTENER: u8 = 77;

/// Nothing that happens between two lines takes this long, but for what hangs.
const GUARD: Duration = Duration::from_secs(30);

/// How a scene went.
#[derive(Default)]
struct Count {
    calls: usize,
    /// Rounds in which a call failed.
    faults: usize,
    /// Those that came to an error; the others did without the call.
    errors: usize,
    failures: Vec<String>,
    messages: BTreeMap<String, usize>,
}

/// What the process that plays has said, up to its end.
enum End {
    /// The scene is over before the n-th call.
    Over,
    /// It has played what it was asked to.
    Played,
    Failed(String),
    NoListener,
}

pub(crate) fn all(words: &[String], stride: usize, is_loud: bool) -> ExitCode {
    let has_words = |scene: &&Scene| words.iter().all(|word| scene.name.contains(word.as_str()));
    let chosen: Vec<&Scene> = scenes::ALL.iter().filter(has_words).collect();
    let (mut passed, mut failed, mut faults, mut errors) = (0, 0, 0, 0);
    let started = Instant::now();
    for scene in &chosen {
        let begun = Instant::now();
        let Some(count) = tried(scene, stride) else { return skip(chosen.len()) };
        let verdict = verdict(scene, &count);
        println!(
            "{} {:<34} {:>5} calls, {:>5} faults: {:>5} errors, {:>5} did without; {:.1} s",
            if verdict.is_ok() { "passed" } else { "FAILED" },
            scene.name,
            count.calls,
            count.faults,
            count.errors,
            count.faults - count.errors,
            begun.elapsed().as_secs_f32()
        );
        if let Err(complaint) = &verdict {
            println!("{complaint}");
        }
        if is_loud {
            count.messages.iter().for_each(|(message, times)| println!("  {times:>4} {message}"));
        }
        *(if verdict.is_ok() { &mut passed } else { &mut failed }) += 1;
        faults += count.faults;
        errors += count.errors;
    }
    println!("{faults} faults, {errors} errors; {:.0} s", started.elapsed().as_secs_f32());
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn skip(count: usize) -> ExitCode {
    match skips::announce("faults", "this kernel has no seccomp filters with a listener") {
        Ok(()) => println!("0 passed, 0 failed, {count} skipped"),
        Err(error) => eprintln!("nor can that be noted: {error}"),
    }
    ExitCode::SUCCESS
}

/// A scene in which nothing failed has shown nothing; a toy must be found.
fn verdict(scene: &Scene, count: &Count) -> Result<(), String> {
    if scene.is_toy() {
        let is_found = !count.failures.is_empty();
        return if is_found { Ok(()) } else { Err("  its bug was not found".to_owned()) };
    }
    if count.faults == 0 {
        return Err("  there was no call to fail".to_owned());
    }
    if count.failures.is_empty() { Ok(()) } else { Err(count.failures.join("\n")) }
}

/// `None` where nothing can be tried.
fn tried(scene: &Scene, stride: usize) -> Option<Count> {
    let mut count = Count::default();
    let mut next = Target { nth: 1, error: 0 };
    // What is found again and again need not be.
    let enough = if scene.is_toy() { 1 } else { 20 };
    while count.failures.len() < enough {
        let before = count.faults;
        match played(scene, next, stride, &mut count) {
            Ok((End::Over, _)) => break,
            Ok((End::NoListener, _)) => return None,
            Ok((End::Played, _)) if count.faults == before => {
                next = Target { nth: next.nth + stride, error: 0 };
            }
            Ok((End::Played, last)) => next = Target { error: last.error + 1, ..last },
            Ok((End::Failed(complaint), last)) => {
                count.failures.push(complaint);
                if count.faults == before && matches!(scene.setting, Setting::Again(_)) {
                    break;
                }
                next = Target { error: last.error + 1, ..last };
            }
            Err(error) => {
                count.failures.push(format!("  it could not be played: {error}"));
                break;
            }
        }
    }
    Some(count)
}

/// Plays from `next` on, and says what failed last.
fn played(
    scene: &Scene,
    next: Target,
    stride: usize,
    count: &mut Count,
) -> io::Result<(End, Target)> {
    let numbers = [next.nth, next.error, stride].map(|number| number.to_string());
    let mut child = Command::new(std::env::current_exe()?)
        .args(["play", scene.name])
        .args(numbers)
        .env("RUST_BACKTRACE", "0")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let complaints = collect(&mut child);
    let (mut shot, mut last) = (String::new(), next);
    let mut over = false;
    let hung = follow(&mut child, |line| {
        over |= line == "OVER";
        if let Some((target, what)) = shot_in(line) {
            count.faults += 1;
            count.calls = count.calls.max(target.nth);
            (shot, last) = (what, target);
        } else if let Some(error) = line.strip_prefix("ERROR ") {
            count.errors += 1;
            *count.messages.entry(format!("{shot}: {error}")).or_default() += 1;
        }
    });
    let status = child.wait()?;
    let complaints = complaints.join().map_err(|_| io::Error::other("the reader has panicked"))?;
    let what = if hung { "it hangs".to_owned() } else { status.to_string() };
    let end = match status.code() {
        Some(0) if over => End::Over,
        Some(0) => End::Played,
        Some(code) if code == i32::from(NO_LISTENER) => End::NoListener,
        _ => End::Failed(format!("  {}.{} {shot}: {what}\n{complaints}", last.nth, last.error)),
    };
    Ok((end, last))
}

/// `SHOT 12 0: own mmap: ENOMEM`
fn shot_in(line: &str) -> Option<(Target, String)> {
    let (numbers, what) = line.strip_prefix("SHOT ")?.split_once(": ")?;
    let (nth, error) = numbers.split_once(' ')?;
    Some((Target { nth: nth.parse().ok()?, error: error.parse().ok()? }, what.to_owned()))
}

/// What a process and its children write on standard error, until the last of them is gone.
fn collect(child: &mut Child) -> JoinHandle<String> {
    let stderr = child.stderr.take();
    thread::spawn(move || {
        let mut all = Vec::new();
        // What was read before an error is what there is.
        let _read = stderr.map(|mut stderr| stderr.read_to_end(&mut all));
        String::from_utf8_lossy(&all).lines().map(|line| format!("    {line}\n")).collect()
    })
}

/// Hands over each line; kills a process that says nothing for too long, and says that it did.
fn follow(child: &mut Child, mut hear: impl FnMut(&str)) -> bool {
    let Some(stdout) = child.stdout.take() else { return false };
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    let hung = loop {
        match told.recv_timeout(GUARD) {
            Ok(line) => hear(&line),
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    // With all that it has started: one that is about to be executed would keep the listener, and wait for it for ever.
    let group = Pid::from_child(child);
    if hung && kill_process_group(group, Signal::KILL).is_err() {
        return false;
    }
    reader.join().is_ok() && hung
}
