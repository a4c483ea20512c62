//! What `/proc` shows of a process or a thread.

use std::fs;

use rustix::process::Pid;

/// Of one task, which is a thread, or a process as its first thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    state: u8,
    /// How many there are in its process.
    threads: u64,
    /// Processor time in the program and in the kernel, each with that of children which it has waited for, in ticks.
    pub(crate) cpu_ticks: [u64; 2],
    /// When it was started, in ticks since the start of the system: with it, a number that is used again is told from the first.
    pub(crate) started: u64,
}

impl Stat {
    /// `None` if there is none of this number, or if `/proc` cannot be looked at.
    pub(crate) fn of_process(pid: Pid) -> Option<Self> {
        Self::read(&format!("/proc/{pid}/stat"))
    }

    /// Of a thread of this process; `None` as above.
    pub(crate) fn of_thread(tid: i32) -> Option<Self> {
        Self::read(&format!("/proc/self/task/{tid}/stat"))
    }

    fn read(path: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The name in the second field may contain anything but ends at the last parenthesis.
        let (_, behind_name) = line.rsplit_once(')')?;
        let fields: Vec<&str> = behind_name.split_ascii_whitespace().collect();
        // proc(5) counts from 1, and the first of these is the third.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |at: usize| field(at)?.parse::<u64>().ok();
        let sum = |one: usize, other: usize| Some(number(one)?.saturating_add(number(other)?));
        Some(Self {
            state: *field(3)?.as_bytes().first()?,
            cpu_ticks: [sum(14, 16).unwrap_or(0), sum(15, 17).unwrap_or(0)],
            threads: number(20)?,
            started: number(22)?,
        })
    }

    /// Whether the process has ended. One whose first thread alone has ended looks like a zombie, but for its other threads.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, b'X' | b'x') || (self.state == b'Z' && self.threads <= 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, state: char, threads: u64) -> String {
        format!("7 ({name}) {state} 1 7 7 0 -1 64 0 0 0 0 1 2 30 40 20 0 {threads} 0 4711 100 5")
    }

    #[test]
    fn a_name_may_look_like_fields() {
        let stat = Stat::parse(&line("a) Z 1 (b", 'S', 3)).unwrap();
        assert_eq!((stat.state, stat.threads, stat.started), (b'S', 3, 4711));
        assert_eq!(stat.cpu_ticks, [31, 42]);
        assert!(Stat::parse("7 (cut) S 1 7").is_none() && Stat::parse("").is_none());
    }

    #[test]
    fn a_process_lives_as_long_as_one_of_its_threads() {
        let over = |state, threads| Stat::parse(&line("x", state, threads)).unwrap().is_over();
        assert!(over('Z', 1) && over('X', 0));
        assert!(!over('Z', 2) && !over('T', 1) && !over('D', 1));
    }
}
