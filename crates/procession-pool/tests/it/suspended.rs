//! A program that is stopped and continued as a whole, as by Ctrl-Z and `fg`.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use procession_pool::{Pool, TaskError};
use rustix::process::{Pid, Signal, kill_process_group};

use super::guard::{eventually, guarded};
use super::ledger::{Ledger, record};
use super::program::{Role, command, say, state_of};
use super::trap::assert_sound;

pub(crate) const ROLES: &[Role] = &[
    ("is suspended", || map_while_suspended(None)),
    ("is suspended, with deadlines", || map_while_suspended(Some(Duration::from_millis(50)))),
];

const ITEMS: u32 = 300;

fn note((ledger, number): (String, u32)) -> u32 {
    record(&ledger, number);
    sleep(Duration::from_millis(2));
    number
}

/// Without deadlines nothing comes of it. With them an item may be over its time when it goes on, but no other harm is done.
fn map_while_suspended(timeout: Option<Duration>) {
    let ledger = std::env::var("LEDGER").unwrap();
    let pool = Pool::with_workers(2).unwrap();
    let job = pool.job().chunk(5).window(50);
    let job = timeout.into_iter().fold(job, |job, timeout| job.timeout(timeout));
    let items = (0..ITEMS).map(|number| (ledger.clone(), number));
    let mut late = 0;
    for (number, outcome) in (0..).zip(job.imap(note, items)) {
        match outcome {
            Ok(same) => assert_eq!(same, number),
            Err(TaskError::TimedOut { item, .. }) if timeout.is_some() => {
                assert_eq!(item, number as usize);
                late += 1;
            }
            Err(error) => panic!("item {number}: {error:?}"),
        }
    }
    say(&format!("late {late}"));
    assert_sound(&pool);
}

fn signal(program: &Child, signal: Signal) {
    kill_process_group(Pid::from_child(program), signal).unwrap();
}

/// Has a program play a role, and stops and continues it and its workers meanwhile.
fn suspend(role: &str) {
    let ledger = Ledger::new();
    let mut command = command(role);
    command.env("LEDGER", ledger.path()).process_group(0);
    let program = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for done in [10, 60, 110, 160] {
        eventually("the program gets on", || ledger.entries().len() >= done);
        signal(&program, Signal::STOP);
        eventually("the program is stopped", || state_of(program.id()) == 'T');
        sleep(Duration::from_millis(120));
        signal(&program, Signal::CONT);
    }
    let output = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("\nDONE\n"), "{said}\n{complaints}");
    let counts = ledger.counts();
    // One that was killed at its very beginning wrote nothing down.
    let late: usize =
        said.lines().find_map(|line| line.strip_prefix("late ")).unwrap().parse().unwrap();
    assert!((ITEMS as usize - late..=ITEMS as usize).contains(&counts.len()), "{said}{counts:?}");
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

#[test]
fn a_program_that_was_suspended_goes_on_where_it_was() {
    guarded(|| suspend("is suspended"));
}

#[test]
fn deadlines_go_on_while_a_program_is_suspended_and_cost_what_was_running_at_most() {
    guarded(|| suspend("is suspended, with deadlines"));
}
