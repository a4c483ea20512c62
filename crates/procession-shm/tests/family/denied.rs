//! Machines that offer less, played by a seccomp filter or a limit.

use std::collections::BTreeMap;

use rustix::process::Signal;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::inviters::assert_that_only_members_have_slots;
use crate::stage::Actor;

/// Has all threads of this process get `errno` from a system call from here on: `"<call> <errno>"`.
pub(crate) fn deny(what: &str) -> String {
    let (call, errno) = what.split_once(' ').unwrap();
    let errno: u32 = errno.parse().unwrap();
    let (number, rules) = match call {
        "futex_waitv" => (libc::SYS_futex_waitv, vec![]),
        "pidfd_open" => (libc::SYS_pidfd_open, vec![]),
        "memfd_create" => (libc::SYS_memfd_create, vec![]),
        "memfd_noexec_seal" => (libc::SYS_memfd_create, vec![with_noexec_seal()]),
        other => panic!("no filter for {other}"),
    };
    let filter = SeccompFilter::new(
        BTreeMap::from([(number, rules)]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    match seccompiler::apply_filter_all_threads(&program) {
        Ok(()) => "done".into(),
        Err(error) => error.to_string(),
    }
}

fn with_noexec_seal() -> SeccompRule {
    let flag = u64::from(libc::MFD_NOEXEC_SEAL);
    let set = SeccompCmpOp::MaskedEq(flag);
    let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, set, flag).unwrap();
    SeccompRule::new(vec![condition]).unwrap()
}

/// An actor to whom this is denied.
fn denied(call: &str, errno: i32) -> Actor {
    let actor = Actor::start();
    assert_eq!(actor.ask(&format!("deny {call} {errno}")), "done");
    actor
}

#[test]
fn without_waitv_deaths_still_wake() {
    needs_pidfds!();
    for errno in [libc::ENOSYS, libc::EPERM] {
        let root = denied("futex_waitv", errno);
        assert_eq!(root.ask("doctor futex_waitv"), "Fallback");
        let (victim, member) = root.child();
        assert_eq!(root.ask("crowd 3"), "done");
        victim.kill();
        assert_eq!(root.ask("woken"), "3");
        assert_eq!(root.sees_death_of(member), 1);
    }
}

#[test]
fn without_noexec_seal_segments_are_made_without_it() {
    needs_pidfds!();
    let root = denied("memfd_noexec_seal", libc::EINVAL);
    assert_eq!(root.ask("doctor MFD_NOEXEC_SEAL"), "Fallback");
    assert_eq!(root.ask("doctor memfd_create"), "Full");
    let (child, member) = root.child();
    child.signal(Signal::KILL);
    root.sees_death_of(member);
}

#[test]
fn without_memfd_there_is_no_family() {
    needs_pidfds!();
    let root = denied("memfd_create", libc::EPERM);
    assert_eq!(root.ask("doctor memfd_create"), "Missing");
    assert!(root.ask("me").starts_with("Table(Denied"));
}

#[test]
fn a_root_without_pidfds_is_alone() {
    needs_pidfds!();
    for errno in [libc::ENOSYS, libc::EPERM] {
        let root = denied("pidfd_open", errno);
        assert_eq!(root.ask("doctor pidfd_open"), "Missing");
        let member = root.member("me");
        assert!(root.sees_alive(member));
        assert_eq!(root.ask(&format!("verify {}", member.to_bits())), "true");
        assert!(root.ask("invite").starts_with("PidfdDenied"));
    }
}

#[test]
fn who_cannot_have_a_pidfd_of_itself_needs_one_attached() {
    needs_pidfds!();
    let root = Actor::start();
    let child = denied("pidfd_open", libc::EPERM);
    child.tell_to_join(root.invitation());
    assert!(child.hear().starts_with("PidfdDenied"));
    let invitation = root.invitation();
    let member = invitation.member();
    assert_eq!(root.attach(member, &child), "done");
    child.tell_to_join(invitation);
    assert_eq!(child.hear(), member.to_bits().to_string());
    child.kill();
    root.sees_death_of(member);
}

#[test]
fn a_root_without_descriptors_says_so_to_everybody_and_recovers() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, member) = root.child();
    let (late, invitation) = (Actor::start(), root.invitation());
    let copy = child.offspring("fork");
    assert_eq!(root.ask("exhaust"), "done");
    assert_eq!(root.ask("invite"), "OutOfDescriptors");
    assert_eq!(child.ask("invite"), "OutOfDescriptors");
    late.tell_to_join(invitation);
    assert_eq!(late.hear(), "OutOfDescriptors");
    assert_eq!(copy.ask("rejoin"), "OutOfDescriptors");
    assert_eq!(root.ask("relieve"), "done");
    assert_eq!(child.member("me"), member);
    late.tell_to_join(child.invitation());
    assert!(late.hear().parse::<u64>().is_ok());
    assert!(copy.ask("rejoin").parse::<u64>().is_ok());
    child.kill();
    root.sees_death_of(member);
}

#[test]
fn an_inviter_without_descriptors_says_so_and_no_slot_is_lost() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    assert_eq!(child.ask("exhaust"), "done");
    assert_eq!(child.ask("invite"), "OutOfDescriptors");
    assert_eq!(child.ask("relieve"), "done");
    drop(child.invitation());
    assert_that_only_members_have_slots(&root, 1);
}
