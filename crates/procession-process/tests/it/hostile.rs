//! The bootstrap variable set by hand, or left over, in every wrong way: the process says so and
//! exits with a documented code. `main` never runs.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;

use procession_process::{Process, refusal};

use super::role::{Finished, MAIN, command, finish};

pub(crate) const ROLES: &[(&str, fn())] = &[("innocent", || ())];

/// Runs a program with this variable and this descriptor as number 3.
fn run(value: &str, descriptor: Option<OwnedFd>) -> Finished {
    let mut command = command("innocent");
    command.env("PROCESSION_BOOT", value);
    let source = descriptor.as_ref().map(AsRawFd::as_raw_fd);
    let place = move || {
        match source {
            // SAFETY: this concerns a number of the new process only.
            Some(3) => unsafe { libc::fcntl(3, libc::F_SETFD, 0) },
            // SAFETY: as above.
            Some(source) => unsafe { libc::dup2(source, 3) },
            // SAFETY: as above.
            None => unsafe { libc::close(3) },
        };
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only.
    unsafe { command.pre_exec(place) };
    finish(&mut command)
}

fn refused(value: &str, descriptor: Option<OwnedFd>, code: i32) {
    let finished = run(value, descriptor);
    assert_eq!(finished.status.code(), Some(code), "{value:?}: {}", finished.err);
    assert_eq!(finished.count(MAIN), 0, "{value:?}");
    assert_eq!(finished.out, "", "{value:?}: not even the test harness has started");
    assert!(finished.err.contains("unset it if it was set by hand"), "{}", finished.err);
    assert_eq!(finished.err.lines().count(), 1, "{}", finished.err);
}

/// The value that this process gives to a child.
fn genuine() -> String {
    let environment = |()| std::fs::read("/proc/self/environ").unwrap();
    let bytes = Process::spawn(environment, ()).unwrap().join().unwrap();
    let environment = String::from_utf8_lossy(&bytes);
    let mut variables = environment.split('\0');
    variables.find_map(|variable| variable.strip_prefix("PROCESSION_BOOT=")).unwrap().to_owned()
}

#[test]
fn the_innocent_program_runs_without_the_variable() {
    assert_eq!(finish(&mut command("innocent")).succeed().count(MAIN), 1);
}

#[test]
fn malformed_values() {
    let values = [
        "",
        "1",
        ",,,",
        "1,3",
        "1,3,1",
        "1,3,1,1",
        "1,3,1,1,1,1",
        "2,3,1,1,1",
        "0,3,1,1,1",
        "1,-3,1,1,1",
        "1,0,1,1,1",
        "1,2,1,1,1",
        "1,3,1,0,1",
        "1,3,1,99999999999,1",
        "1,3,1,1,99999999999999999999",
        "1,4294967295,1,1,1",
        "+1,3,1,1,1",
        "1, 3,1,1,1",
        "01,3,1,1,1",
        "yes",
        "\u{ff}\u{fe}",
        "1;3;1;1;1",
        "1,3,1,1,1\n",
    ];
    for value in values {
        refused(value, None, refusal::BAD_VARIABLE);
    }
    refused(&"1,".repeat(10_000), None, refusal::BAD_VARIABLE);
}

#[test]
fn a_descriptor_that_is_not_open() {
    let value = format!("1,777,{},1,1", std::process::id());
    refused(&value, None, refusal::BAD_DESCRIPTOR);
}

#[test]
fn a_descriptor_that_is_a_file_or_a_pipe() {
    refused(&genuine(), Some(File::open("/dev/zero").unwrap().into()), refusal::BAD_DESCRIPTOR);
    let (reader, writer) = std::io::pipe().unwrap();
    refused(&genuine(), Some(reader.into()), refusal::BAD_DESCRIPTOR);
    drop(writer);
}

#[test]
fn somebody_elses_parent() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for parent in [0, 1, std::process::id() + 1] {
        let theirs = theirs.try_clone().unwrap();
        refused(&format!("1,3,{parent},1,1"), Some(theirs.into()), refusal::PARENT_GONE);
    }
    drop(ours);
}

#[test]
fn a_socket_that_closes() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    refused(&genuine(), Some(theirs.into()), refusal::PARENT_GONE);
}

#[test]
fn a_socket_that_sends_garbage() {
    let garbage: [&[u8]; 5] =
        [&[0], &[0; 100], &[0xff; 100], &[1; 4096], b"GET / HTTP/1.1\r\n\r\n"];
    for bytes in garbage {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(bytes).unwrap();
        refused(&genuine(), Some(theirs.into()), refusal::BAD_MESSAGE);
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.send(bytes).unwrap();
        refused(&genuine(), Some(theirs.into()), refusal::BAD_MESSAGE);
    }
}

/// A number that is no hook of this program.
#[test]
fn a_hook_that_is_not_there() {
    let value = genuine();
    let (rest, hook) = value.rsplit_once(',').unwrap();
    for hook in [0, 1, hook.parse::<u64>().unwrap() + 1, u64::MAX] {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.send(&[0]).unwrap();
        refused(&format!("{rest},{hook}"), Some(theirs.into()), refusal::OTHER_BUILD);
    }
}

#[test]
fn a_packet_that_is_too_long() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.send(&[0; 64 << 10]).unwrap();
    refused(&genuine(), Some(theirs.into()), refusal::BAD_MESSAGE);
}
