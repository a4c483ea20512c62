//! Joining, leaving, dying, and what only looks like it.

use procession_shm::family::Member;
use rustix::process::Signal;

use crate::stage::Actor;

fn verify(member: Member) -> String {
    format!("verify {}", member.to_bits())
}

#[test]
fn the_first_use_founds_a_family() {
    needs_pidfds!();
    let root = Actor::start();
    let member = root.member("me");
    assert!(root.sees_alive(member));
    assert_eq!(root.number::<i32>(&format!("pid_of {}", member.to_bits())), root.pid.as_raw_pid());
    assert_eq!(root.ask("check_root"), "done");
    assert!(root.ask("leave").starts_with("RootStays"));
}

#[test]
fn a_member_is_alive_until_it_dies_and_the_dead_keeps_its_pid() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, member) = root.child();
    assert!(root.sees_alive(member));
    assert_eq!(child.member("me"), member);
    assert!(child.sees_alive(root.member("me")));
    let pid = format!("pid_of {}", member.to_bits());
    assert_eq!(root.number::<i32>(&pid), child.pid.as_raw_pid());
    child.kill();
    assert_eq!(root.sees_death_of(member), 1);
    assert_eq!(root.number::<i32>(&pid), child.pid.as_raw_pid());
}

#[test]
fn an_invitation_is_good_for_one() {
    needs_pidfds!();
    let root = Actor::start();
    let (first, second) = (Actor::start(), Actor::start());
    let (member, fds) = root.invitation().into_fds();
    let copy = fds.each_ref().map(|fd| fd.try_clone().unwrap());
    let invitation = procession_shm::family::Invitation::from_fds(member, fds);
    let copy = procession_shm::family::Invitation::from_fds(member, copy);
    first.tell_to_join(invitation);
    assert_eq!(first.hear(), member.to_bits().to_string());
    second.tell_to_join(copy);
    assert!(second.hear().starts_with("InvitationClosed"));
    assert!(root.sees_alive(member));
}

#[test]
fn who_is_a_member_cannot_join_again() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    child.tell_to_join(root.invitation());
    assert!(child.hear().starts_with("AlreadyMember"));
    let stranger = Actor::start();
    stranger.ask("me");
    stranger.tell_to_join(root.invitation());
    assert!(stranger.hear().starts_with("AlreadyMember"));
}

#[test]
fn a_slot_that_comes_back_is_somebody_else() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, old) = root.child();
    child.kill();
    root.sees_death_of(old);
    let new = root.member(&format!("reuse {}", old.slot()));
    assert_eq!((new.slot(), new.generation()), (old.slot(), old.generation() + 1));
    assert_eq!(root.ask(&format!("pid_of {}", old.to_bits())), "0", "its pid is forgotten");
    // The invitation above was dropped, so the slot goes to the end of the queue once more; the next holder joins.
    let last = root.member(&format!("reuse {}", new.slot()));
    assert!(last.generation() > new.generation());
    assert!(!root.sees_alive(old) && !root.sees_alive(new));
    assert_eq!(root.ask(&verify(old)), "false");
}

#[test]
fn a_stopped_member_is_alive() {
    needs_pidfds!();
    let root = Actor::start();
    let (stopped, member) = root.child();
    let (other, _) = root.child();
    stopped.stop();
    assert_eq!(other.ask(&verify(member)), "true");
    assert_eq!(root.ask(&verify(member)), "true");
    assert!(root.sees_alive(member));
    assert_eq!(root.epoch(), 0);
    stopped.signal(Signal::CONT);
    assert_eq!(stopped.member("me"), member);
}

#[test]
fn a_grandchild_that_dies_with_its_parent_is_noticed() {
    needs_pidfds!();
    let root = Actor::start();
    let (parent, parents) = root.child();
    let grandchild = parent.offspring("spawn");
    grandchild.tell_to_join(parent.invitation());
    let grandchilds: u64 = grandchild.hear().parse().unwrap();
    let grandchilds = Member::from_bits(grandchilds).unwrap();
    assert!(root.sees_alive(grandchilds));
    parent.signal(Signal::KILL);
    grandchild.signal(Signal::KILL);
    root.sees_death_of(parents);
    root.sees_death_of(grandchilds);
}

#[test]
fn running_another_program_ends_a_membership_and_not_the_process() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, member) = root.child();
    child.tell("exec");
    root.sees_death_of(member);
    assert!(!child.has_ended());
}

#[test]
fn a_thread_that_ends_does_not_leave() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, member) = root.child();
    assert_eq!(child.member("thread"), member);
    drop(child.invitation()); // the root has had a turn since
    assert!(root.sees_alive(member));
    assert_eq!(root.ask(&verify(member)), "true");
    assert_eq!(root.epoch(), 0);
}

#[test]
fn a_clean_leave_frees_the_slot_and_wakes_nobody() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, member) = root.child();
    assert_eq!(child.ask("leave"), "done");
    assert!(!root.sees_alive(member));
    assert!(child.ask("me").starts_with("Left"));
    assert!(child.ask("leave").starts_with("Left"));
    child.kill();
    drop(root.child()); // its death is announced after the other one's would have been
    let (last, lasts) = root.child();
    last.kill();
    root.sees_death_of(lasts);
    assert!((1..=2).contains(&root.epoch()), "{}", root.epoch());
}

/// It may have used up a wake-up that was meant for one of several.
#[test]
fn who_has_slept_has_all_look_again_when_it_leaves() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    let (victim, victims) = root.child();
    assert_eq!(child.ask("crowd 4"), "done");
    std::thread::sleep(std::time::Duration::from_millis(50));
    victim.kill();
    assert_eq!(child.ask("woken"), "4");
    root.sees_death_of(victims);
    let before = root.epoch();
    assert_eq!(child.ask("leave"), "done");
    assert_eq!(root.epoch(), before + 1);
}

#[test]
fn who_has_left_can_be_invited_again() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, before) = root.child();
    child.ask("leave");
    child.tell_to_join(root.invitation());
    let after = Member::from_bits(child.hear().parse().unwrap()).unwrap();
    assert_ne!(after, before);
    assert_eq!(child.member("me"), after);
    assert!(root.sees_alive(after) && !root.sees_alive(before));
}

#[test]
fn the_root_goes_first() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, member) = root.child();
    assert_eq!(child.ask("check_root"), "done");
    root.kill();
    let pid = format!("RootGone {{ pid: {} }}", root.pid.as_raw_pid());
    assert_eq!(child.ask("check_root"), pid);
    for command in ["me", "invite", "leave"] {
        assert_eq!(child.ask(command), pid, "{command}");
    }
    assert!(child.sees_alive(member), "nobody has proof of the contrary");
}

/// A lock in its own memory that one of its threads holds would have an owner of whom the other family knows nothing.
#[test]
fn who_has_outlived_its_root_joins_no_other_family() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    root.kill();
    let gone = child.ask("check_root");
    let other = Actor::start();
    child.tell_to_join(other.invitation());
    assert_eq!(child.hear(), gone);
    assert_eq!(child.ask("me"), gone);
}

#[test]
fn a_root_that_runs_another_program_is_gone() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    let (other, others) = root.child();
    root.tell("exec");
    while child.ask("check_root") == "done" {
        std::thread::yield_now();
    }
    assert!(child.ask("me").starts_with("RootGone"));
    assert!(!root.has_ended());
    other.kill();
    assert!(child.sees_alive(others), "nobody is there to tell");
}

#[test]
fn a_program_can_drive_the_watcher_itself() {
    needs_pidfds!();
    let root = Actor::start();
    assert_eq!(root.ask("found"), "done");
    assert!(root.ask("found").starts_with("AlreadyMember"));
    let (child, invitation) = (Actor::start(), root.invitation());
    let member = invitation.member();
    child.tell_to_join(invitation);
    assert_eq!(root.ask("turns 1"), "done");
    assert_eq!(child.hear(), member.to_bits().to_string());
    child.kill();
    assert!(root.sees_alive(member), "nobody has taken a turn");
    assert_eq!(root.ask("turns 1"), "done");
    assert!(!root.sees_alive(member));
    assert_eq!(root.epoch(), 1);
    // The copy of a watcher leaves the members to the original.
    let copy = root.offspring("fork");
    copy.ask("hand_over");
    // Given back, it is driven by a thread.
    assert_eq!(root.ask("hand_over"), "done");
    let (last, lasts) = root.child();
    last.kill();
    root.sees_death_of(lasts);
}

#[test]
fn a_root_that_dies_ends_the_calls_that_wait_for_it() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    let (late, invitation) = (Actor::start(), root.invitation());
    root.stop();
    late.tell_to_join(invitation);
    child.tell("invite");
    root.kill();
    assert!(late.hear().starts_with("RootGone"));
    assert!(child.hear().starts_with("RootGone"));
    assert!(
        late.ask("me").parse::<u64>().is_ok(),
        "it has never been a member and founds a family"
    );
}

#[test]
fn the_second_line_sees_a_death_that_a_stopped_root_does_not_tell() {
    needs_pidfds!();
    let root = Actor::start();
    let (victim, member) = root.child();
    let (other, _) = root.child();
    root.stop();
    victim.kill();
    assert!(other.sees_alive(member), "the table does not know");
    assert_eq!(other.ask(&verify(member)), "false");
    assert_eq!(other.sees_death_of(member), 1);
    root.signal(Signal::CONT);
    let (last, lasts) = root.child();
    last.kill();
    assert!(root.sees_death_of(lasts) >= 2);
}

/// As in a container whose `/proc` is the one of the machine: a number there is not the number of the same process here.
#[test]
fn who_lives_is_alive_where_proc_counts_pids_otherwise() {
    needs_pidfds!();
    let outside = Actor::start();
    let unshared = outside.ask("unshare_pids");
    if unshared != "done" {
        let test = "who_lives_is_alive_where_proc_counts_pids_otherwise";
        return skips::skipped(test, &format!("no pid namespace of its own: {unshared}"));
    }
    let root = outside.offspring("spawn");
    let roots = root.member("me");
    let [(one, ones), (two, twos)] = [(); 2].map(|()| {
        let (child, invitation) = (outside.offspring("spawn"), root.invitation());
        let member = invitation.member();
        child.tell_to_join(invitation);
        assert_eq!(child.hear(), member.to_bits().to_string());
        (child, member)
    });
    assert_eq!(one.ask(&verify(twos)), "true");
    assert_eq!(two.ask(&verify(ones)), "true");
    assert_eq!(two.ask(&verify(roots)), "true");
    assert_eq!(root.ask(&verify(ones)), "true");
    assert_eq!(root.epoch(), 0);
    // Its number is the one that it has for the root, or nobody tells.
    let number = root.ask(&format!("pid_of {}", ones.to_bits()));
    assert!(["0", "2"].contains(&number.as_str()), "{number}");
    one.kill();
    assert_eq!(root.sees_death_of(ones), 1);
}
