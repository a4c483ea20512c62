//! A root's book and watcher without processes: this one stands for all members at once.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::*;
use crate::family::watcher::Watcher;
use crate::sync::atomic::Ordering;
use skips::{needs_pidfds, skipped};

/// A family that is not this process' own.
struct Stage {
    roster: Arc<Roster>,
    watcher: Watcher,
    _outside: OwnedFd,
}

/// What a member has in its hand.
struct Guest {
    member: Member,
    socket: OwnedFd,
}

impl Stage {
    fn new() -> Self {
        let (roster, outside) = Roster::found().unwrap();
        let watcher = Watcher::new(Arc::clone(&roster)).unwrap();
        Self { roster, watcher, _outside: outside }
    }

    fn epoch(&self) -> u32 {
        self.roster.table().epoch().load(Ordering::SeqCst)
    }

    fn vacancies(&self) -> usize {
        self.roster.seats().free.len()
    }

    fn open(&self) -> Guest {
        let Opened { member, theirs } = self.roster.open(&mut self.roster.seats()).unwrap();
        Guest { member, socket: theirs }
    }

    /// A member that this process stands for.
    fn guest(&mut self) -> Guest {
        let guest = self.open();
        let pidfd = kernel::own_pidfd().unwrap();
        assert_eq!(
            self.ask(&guest, Packet::Join(guest.member), &[pidfd.as_fd()]),
            Ok(guest.member)
        );
        guest
    }

    fn ask(
        &mut self,
        guest: &Guest,
        packet: Packet,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Member, Refusal> {
        packet::send(&guest.socket, packet, fds).unwrap();
        self.watcher.work().unwrap();
        match packet::receive(&guest.socket).unwrap() {
            Arrival::Packet(Some(Packet::Accepted(member)), _) => Ok(member),
            Arrival::Packet(Some(Packet::Refused(refusal)), _) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Takes turns until the epoch has moved on from this one.
    fn await_epoch_after(&mut self, epoch: u32) {
        while self.epoch() == epoch {
            let mut fds = [PollFd::from_borrowed_fd(self.watcher.as_fd(), PollFlags::IN)];
            poll(&mut fds, None).unwrap();
            self.watcher.work().unwrap();
        }
    }

    fn is_alive(&self, guest: Member) -> bool {
        self.roster.table().is_alive(guest)
    }
}

#[test]
fn topics_survive_the_kernel() {
    let member = Member::new(MEMBERS_MAX, u32::MAX).unwrap();
    for topic in [Topic::Door, Topic::Timer, Topic::Socket(member), Topic::Pidfd(member)] {
        assert_eq!(Topic::decode(topic.encode()), Some(topic));
    }
}

/// Has this thread get `errno` from recvmsg(2) from here on.
fn deny_recvmsg(errno: Errno) -> Result<(), Box<dyn std::error::Error>> {
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_recvmsg, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno.raw_os_error().unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}

/// That the kernel cannot say what a member has said is no proof of its death.
#[test]
fn who_cannot_be_heard_for_want_of_memory_lives() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let guest = stage.guest();
    let member = guest.member;
    packet::send(&guest.socket, Packet::Invite, &[]).unwrap();
    let roster = Arc::clone(&stage.roster);
    let in_want = move || match deny_recvmsg(Errno::NOMEM) {
        Ok(()) => Ok(roster.hear(member)),
        Err(error) => Err(error.to_string()),
    };
    match std::thread::spawn(in_want).join().unwrap() {
        Ok(died) => assert!(!died),
        Err(error) => return skipped("who_cannot_be_heard_for_want_of_memory_lives", &error),
    }
    assert!(stage.is_alive(member));
    stage.watcher.work().unwrap();
    let heard = packet::receive(&guest.socket).unwrap();
    assert!(matches!(heard, Arrival::Packet(Some(Packet::Accepted(_)), _)), "{heard:?}");
}

#[test]
fn nobody_is_live_before_it_is_watched() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let guest = stage.open();
    let member = guest.member;
    assert!(!stage.is_alive(member));
    let without_pidfd = stage.ask(&guest, Packet::Join(member), &[]);
    assert_eq!(without_pidfd, Err(Refusal::pidfd_denied(Errno::PERM)));
    assert!(!stage.is_alive(member));
    let pidfd = kernel::own_pidfd().unwrap();
    let as_another = Member::new(member.slot(), member.generation() + 1).unwrap();
    assert!(stage.ask(&guest, Packet::Join(as_another), &[pidfd.as_fd()]).is_err());
    assert!(!stage.is_alive(member));
    assert_eq!(stage.ask(&guest, Packet::Join(member), &[pidfd.as_fd()]), Ok(member));
    assert!(stage.is_alive(member));
    assert!(stage.ask(&guest, Packet::Join(member), &[pidfd.as_fd()]).is_err(), "once");
}

#[test]
fn deaths_of_one_turn_share_one_announcement() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let (one, two) = (stage.guest(), stage.guest());
    let members = [one.member, two.member];
    drop((one, two));
    stage.watcher.work().unwrap();
    assert!(members.into_iter().all(|member| !stage.is_alive(member)));
    assert_eq!(stage.epoch(), 1);
}

#[test]
fn deaths_that_follow_each_other_are_told_once_each_at_most_and_none_is_forgotten() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let guests: Vec<_> = (0..200).map(|_| stage.guest()).collect();
    for guest in guests {
        drop(guest);
        stage.watcher.work().unwrap();
    }
    let last = stage.guest();
    let before = stage.epoch();
    assert!((1..=200).contains(&before), "{before}");
    drop(last);
    stage.await_epoch_after(before);
}

#[test]
fn a_death_is_told_though_the_second_line_has_buried_it() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let guest = stage.guest();
    assert!(stage.roster.table().bury(guest.member));
    drop(guest);
    stage.watcher.work().unwrap();
    assert_eq!(stage.epoch(), 1);
}

#[test]
fn a_clean_leave_moves_no_epoch_and_frees_the_slot() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let before = stage.vacancies();
    let guest = stage.guest();
    assert_eq!(stage.ask(&guest, Packet::Leave, &[]), Ok(guest.member));
    assert!(!stage.is_alive(guest.member));
    assert_eq!((stage.epoch(), stage.vacancies()), (0, before));
    drop(guest);
    stage.watcher.work().unwrap();
    assert_eq!((stage.epoch(), stage.vacancies()), (0, before));
}

#[test]
fn the_last_word_of_the_dead_counts() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let guest = stage.guest();
    packet::send(&guest.socket, Packet::Leave, &[]).unwrap();
    assert!(!stage.roster.has_ended(guest.member), "it had left before it died");
    assert_eq!(stage.epoch(), 0);
}

#[test]
fn a_dropped_invitation_frees_its_slot_and_wakes_nobody() {
    let mut stage = Stage::new();
    let before = stage.vacancies();
    let guest = stage.open();
    assert_eq!(stage.vacancies(), before - 1);
    drop(guest);
    stage.watcher.work().unwrap();
    assert_eq!((stage.epoch(), stage.vacancies()), (0, before));
}

#[test]
fn who_speaks_another_language_is_put_out() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let guest = stage.guest();
    rustix::net::send(&guest.socket, b"gibberish", rustix::net::SendFlags::NOSIGNAL).unwrap();
    stage.watcher.work().unwrap();
    assert!(!stage.is_alive(guest.member));
    assert_eq!(stage.epoch(), 1);
}

#[test]
fn members_cannot_speak_for_the_root() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let guest = stage.guest();
    let member = guest.member;
    let refused = Err(Refusal::closed(member.slot()));
    assert_eq!(stage.ask(&guest, Packet::Accepted(member), &[]), refused);
    assert!(stage.is_alive(member));
}

#[test]
fn slots_are_used_in_turn_and_each_time_with_the_next_generation() {
    needs_pidfds!();
    let mut stage = Stage::new();
    let first = stage.guest();
    let old = first.member;
    drop(first);
    stage.watcher.work().unwrap();
    let mut seen = 0;
    let guest = loop {
        let guest = stage.open();
        seen += 1;
        if guest.member.slot() == old.slot() {
            break guest;
        }
        drop(guest);
        stage.watcher.work().unwrap();
    };
    let new = guest.member;
    assert_eq!(seen, usize::from(MEMBERS_MAX) - 1, "all the others come first");
    assert_eq!(new.generation(), old.generation() + 1);
    assert!(!stage.is_alive(old) && !stage.is_alive(new));
    assert_eq!(stage.roster.table().holder_of(old), None);
    let pidfd = kernel::own_pidfd().unwrap();
    assert_eq!(stage.ask(&guest, Packet::Join(new), &[pidfd.as_fd()]), Ok(new));
    assert!(stage.is_alive(new), "the new member has joined");
    assert!(!stage.is_alive(old), "the old one does not come back with its slot");
}

/// How many members the documentation promises.
const PROMISED: u32 = 1024;

#[test]
fn more_members_than_promised_live_at_once_and_end_at_once() {
    needs_pidfds!();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let (needed, mut raised) = (4 * u64::from(PROMISED), limit);
    raised.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    if limit.maximum.is_some_and(|hard| hard < needed) {
        skipped("more_members_than_promised", "the hard limit of descriptors is below 4096");
        return;
    }
    let mut stage = Stage::new();
    let guests: Vec<_> = (0..=PROMISED).map(|_| stage.guest()).collect();
    let members: Vec<_> = guests.iter().map(|guest| guest.member).collect();
    assert!(members.iter().all(|&member| stage.is_alive(member)));
    let before = stage.vacancies();
    drop(guests);
    while stage.vacancies() < before + members.len() {
        stage.watcher.work().unwrap();
    }
    assert!(members.iter().all(|&member| !stage.is_alive(member)));
    let told = stage.epoch();
    assert!((1..=PROMISED / 64 + 2).contains(&told), "{told}: one turn, one announcement");
}

#[test]
fn a_root_without_descriptors_says_so_and_loses_no_slot() {
    let stage = Stage::new();
    let before = stage.vacancies();
    let refused = Refusal::from(Errno::MFILE);
    assert_eq!(refused, Refusal::OUT_OF_DESCRIPTORS);
    assert!(matches!(FamilyError::from(refused), FamilyError::OutOfDescriptors));
    let not_watchable = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(stage.roster.seat(&mut stage.roster.seats(), not_watchable.into()).is_err());
    assert_eq!(stage.vacancies(), before);
}
