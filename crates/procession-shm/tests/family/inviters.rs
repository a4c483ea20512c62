//! Inviters and invited that are killed at each step between the invitation and the membership: no slot is lost to them.

use procession_shm::family::MEMBERS_MAX;
use std::time::Duration;

use rustix::process::Signal;

use skips::skipped;

use crate::stage::{Actor, has_room_for_a_full_family};

/// How many places a family has beside its root's.
const PLACES: usize = MEMBERS_MAX as usize - 1;

/// Asserts that all places but those of `members` are free, by taking them all.
///
/// The death of a process is seen by the root somewhat later than by this one, so it may take several tries.
pub(crate) fn assert_that_only_members_have_slots(root: &Actor, members: usize) {
    if !has_room_for_a_full_family(root, "the slots of killed inviters and invited are free") {
        return;
    }
    for _ in 0..1000 {
        let answer = root.ask("fill");
        assert_eq!(root.ask("drop"), "done");
        let (count, reason) = answer.split_once(' ').unwrap();
        assert!(reason.starts_with("Full"), "{answer}");
        let count: usize = count.parse().unwrap();
        assert!(count <= PLACES - members, "a member's slot was given away");
        if count == PLACES - members {
            return;
        }
    }
    panic!("a slot is lost");
}

#[test]
fn killed_while_the_root_has_not_answered() {
    needs_pidfds!();
    let root = Actor::start();
    let (inviter, _) = root.child();
    root.stop();
    inviter.tell("keep");
    inviter.kill();
    root.signal(Signal::CONT);
    assert_that_only_members_have_slots(&root, 0);
}

#[test]
fn killed_with_the_invitation_in_hand() {
    needs_pidfds!();
    let root = Actor::start();
    let (inviter, _) = root.child();
    assert_eq!(inviter.ask("keep"), "done");
    inviter.kill();
    assert_that_only_members_have_slots(&root, 0);
}

#[test]
fn killed_with_the_answer_unread() {
    needs_pidfds!();
    let root = Actor::start();
    let (inviter, member) = root.child();
    root.stop();
    inviter.tell("keep");
    let asked = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        is_polling(&inviter)
    });
    if !asked {
        skipped("killed_with_the_answer_unread", "/proc does not say what a process sleeps in");
        return;
    }
    inviter.stop();
    root.signal(Signal::CONT);
    drop(root.invitation()); // the root has had a turn: the answer lies in the inviter's socket
    inviter.kill();
    root.sees_death_of(member);
    assert_that_only_members_have_slots(&root, 0);
}

/// Whether the process has asked the root, and polls for the answer: nothing else in it polls.
fn is_polling(actor: &Actor) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", actor.pid.as_raw_pid())).unwrap();
    tasks.flatten().any(|task| {
        let wchan = std::fs::read_to_string(task.path().join("wchan"));
        let syscall = std::fs::read_to_string(task.path().join("syscall"));
        let ppoll = format!("{} ", libc::SYS_ppoll);
        let poll = format!("{} ", libc::SYS_poll);
        wchan.is_ok_and(|function| function.contains("poll"))
            || syscall.is_ok_and(|call| call.starts_with(&ppoll) || call.starts_with(&poll))
    })
}

#[test]
fn killed_after_the_invited_has_it() {
    needs_pidfds!();
    let root = Actor::start();
    let (inviter, inviters) = root.child();
    let invited = Actor::start();
    let invitation = inviter.invitation();
    inviter.kill();
    root.sees_death_of(inviters);
    let member = invitation.member();
    invited.tell_to_join(invitation);
    assert_eq!(invited.hear(), member.to_bits().to_string());
    assert!(root.sees_alive(member), "an invitation outlives its inviter");
    assert_that_only_members_have_slots(&root, 1);
    invited.kill();
    root.sees_death_of(member);
    assert_that_only_members_have_slots(&root, 0);
}

#[test]
fn the_invited_is_killed_while_the_root_has_not_answered() {
    needs_pidfds!();
    let root = Actor::start();
    root.member("me");
    let invited = Actor::start();
    let invitation = root.invitation();
    root.stop();
    invited.tell_to_join(invitation);
    invited.kill();
    root.signal(Signal::CONT);
    assert_that_only_members_have_slots(&root, 0);
}

#[test]
fn the_attached_is_killed_while_a_copy_of_its_socket_is_open() {
    needs_pidfds!();
    let root = Actor::start();
    let (inviter, _) = root.child();
    let invited = Actor::start();
    let invitation = inviter.invitation();
    let member = invitation.member();
    assert_eq!(inviter.attach(member, &invited), "done");
    assert_eq!(root.epoch(), 0);
    invited.kill();
    assert_that_only_members_have_slots(&root, 1);
    assert!(inviter.attach(member, &invited).starts_with("InvitationClosed"));
    assert_eq!(root.epoch(), 0, "nobody was there to hold anything");
    drop(invitation);
}
