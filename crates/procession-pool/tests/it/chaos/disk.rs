//! What items write does not fit: on a small disk that fills up and is cleared again, and under a limit for the size of a file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU32;

use procession_pool::{Pool, TaskError};
use procession_process::{Exit, Failure, Limits};

use skips::skipped;

use super::super::guard::guarded;
use super::super::long::{tell, times};
use super::super::program::{Finished, command, finish, say};
use super::super::scribbler::{Random, seed};
use super::{Arena, assert_over, below, during, kill_and_stop, settled};

/// Where the role writes.
const FOLDER: &str = "PROCESSION_POOL_TEST_DISK";

/// At most so much is written by an item.
const LEN_MAX: usize = 32 << 10;

fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os(FOLDER).unwrap())
}

/// What item `n` writes: as much as the seed says.
fn text(n: u32) -> Vec<u8> {
    let mut random = Random(seed() ^ (u64::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let len = below(&mut random, LEN_MAX);
    (0..len).map(|at| at.to_le_bytes()[0] ^ n.to_le_bytes()[0]).collect()
}

fn path(n: u32) -> PathBuf {
    folder().join(n.to_string())
}

fn write(n: u32) -> Result<u32, Failure> {
    fs::write(path(n), text(n))?;
    Ok(n + 1)
}

/// Makes room, also after an item that has written only a part.
fn clear(n: u32) {
    match fs::remove_file(path(n)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}

/// Writes each item, and those again for which there was no room or whose worker died, until all are written. How often there was no
/// room.
fn write_all(pool: &Pool, items: u32) -> u32 {
    let (mut left, mut refused): (Vec<u32>, u32) = ((0..items).collect(), 0);
    while !left.is_empty() {
        let mut open: BTreeSet<u32> = left.iter().copied().collect();
        let mut again = Vec::new();
        for outcome in pool.imap_unordered(write, left.clone()) {
            let n = match &outcome {
                Ok(value) => value - 1,
                Err(error) => left[error.item().unwrap()],
            };
            assert!(open.remove(&n), "item {n} has two outcomes");
            match outcome {
                Ok(_) => assert_eq!(fs::read(path(n)).unwrap(), text(n), "item {n}"),
                Err(error) => {
                    refused += u32::from(has_no_room(&error));
                    again.push(n);
                }
            }
            clear(n);
        }
        assert!(open.is_empty(), "without an outcome: {open:?}");
        left = again;
    }
    refused
}

/// What else can happen is that the worker was killed.
fn has_no_room(error: &TaskError) -> bool {
    match error {
        TaskError::Failed { report, .. } => {
            assert!(report.to_string().contains("No space left on device"), "{report}");
            true
        }
        TaskError::Died { exit: Exit::Signal(9), .. } => false,
        other => panic!("{other:?}"),
    }
}

pub(super) fn full() {
    let arena = Arena::new(Pool::builder());
    let before = settled(&arena.pool);
    let (kills, items) = (AtomicU32::new(0), times(1000, 100_000));
    during(
        |over| kill_and_stop(&arena, over, &kills),
        || say(&format!("refused {} times over {items} items", write_all(&arena.pool, items))),
    );
    assert_eq!(fs::read_dir(folder()).unwrap().count(), 0, "files that nobody knows of");
    assert_over(&arena.pool, before);
}

/// The program in a mount namespace of its own, in which `folder` is a disk of this size; `None` if that may not be made.
fn on_a_disk(folder: &Path, size_kib: usize, program: &Command) -> Option<Command> {
    let mount =
        format!("mount -t tmpfs -o size={size_kib}k none \"${FOLDER}\" && exec \"$0\" \"$@\"");
    let with = |user: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(user).args(["--mount", "sh", "-c", &mount]).env(FOLDER, folder);
        command
    };
    let users: [&[&str]; 2] = [&[], &["--map-root-user"]];
    let user = users
        .into_iter()
        .find(|user| with(user).arg("true").output().is_ok_and(|output| output.status.success()))?;
    let mut command = with(user);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        value.map(|value| command.env(name, value));
    }
    Some(command)
}

#[test]
fn an_item_for_which_the_disk_has_no_room_fails_alone() {
    guarded(|| {
        let folder = std::env::temp_dir().join(format!("procession-disk-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let size_kib = 64 + below(&mut Random(seed()), 64);
        let command = on_a_disk(&folder, size_kib, &command("chaos on a full disk"));
        let finished = command.map(|mut command| finish(&mut command));
        fs::remove_dir(&folder).unwrap();
        let Some(finished) = finished.map(Finished::succeed) else {
            let test = "an_item_for_which_the_disk_has_no_room_fails_alone";
            return skipped(test, "no file system can be mounted, or there is no unshare(1)");
        };
        let refused = finished.answer("refused ");
        tell(&format!("full disk of {size_kib} KiB: refused {refused}"));
        assert!(!refused.starts_with("0 "), "the disk was never full");
    });
}

/// The kernel kills who writes more than the limit says: which items that costs is known beforehand.
pub(super) fn little() {
    let most = LEN_MAX / 2 + below(&mut Random(seed()), LEN_MAX / 2);
    let limits = Limits::new().file_size_bytes(most as u64);
    let pool = Pool::builder().workers(3).limits(limits).build().unwrap();
    let before = settled(&pool);
    let mut killed = 0;
    for (n, outcome) in (0..).zip(pool.imap(write, 0..times(300, 30_000))) {
        match outcome {
            Ok(value) => {
                assert_eq!(value, n + 1);
                assert_eq!(fs::read(path(n)).unwrap(), text(n), "item {n}");
            }
            Err(TaskError::Died { item, exit: Exit::Signal(libc::SIGXFSZ), .. }) => {
                assert!(item == n as usize && text(n).len() > most, "item {n}");
                killed += 1;
            }
            Err(other) => panic!("item {n}: {other:?}"),
        }
        clear(n);
    }
    assert_eq!(fs::read_dir(folder()).unwrap().count(), 0, "files that nobody knows of");
    assert_over(&pool, before);
    say(&format!("killed {killed} for more than {most} bytes"));
}

#[test]
fn an_item_that_writes_too_much_dies_alone() {
    guarded(|| {
        let folder = std::env::temp_dir().join(format!("procession-little-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let finished = finish(command("chaos with little to write").env(FOLDER, &folder));
        fs::remove_dir_all(&folder).unwrap();
        let finished = finished.succeed();
        let killed = finished.answer("killed ");
        tell(&format!("file size: killed {killed}"));
        assert!(!killed.starts_with("0 "), "nothing was too much");
    });
}
