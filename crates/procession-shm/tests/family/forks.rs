//! Processes made by a bare `fork`, which have all of a member's memory and descriptors and are not that member.

use crate::stage::Actor;

/// A copy is nobody, becomes somebody, and what it is has nothing to do with what it is a copy of.
fn a_copy_is_nobody_until_it_rejoins(root: &Actor, original: &Actor) {
    let originals = original.member("me");
    let copy = original.offspring("fork");
    let nobody = format!("NotAMember {{ pid: {} }}", copy.pid.as_raw_pid());
    for command in ["me", "invite", "leave", "check_root"] {
        assert_eq!(copy.ask(command), nobody, "{command}");
    }
    assert_eq!(original.member("me"), originals);
    let copys = copy.member("rejoin");
    assert_ne!(copys, originals);
    assert_eq!(copy.member("me"), copys);
    assert_eq!(copy.member("rejoin"), copys, "once is enough");
    assert!(root.sees_alive(copys));
    drop(copy.invitation());
    copy.kill();
    root.sees_death_of(copys);
    assert!(root.sees_alive(originals));
    drop(original.invitation());
}

#[test]
fn a_copy_of_a_member() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    a_copy_is_nobody_until_it_rejoins(&root, &child);
}

#[test]
fn a_copy_of_the_root() {
    needs_pidfds!();
    let root = Actor::start();
    let (_child, _) = root.child();
    a_copy_is_nobody_until_it_rejoins(&root, &root);
}

#[test]
fn a_copy_of_a_copy() {
    needs_pidfds!();
    let root = Actor::start();
    root.member("me");
    let copy = root.offspring("fork");
    copy.member("rejoin");
    a_copy_is_nobody_until_it_rejoins(&root, &copy);
}

#[test]
fn a_copy_of_a_process_of_no_family_founds_its_own() {
    needs_pidfds!();
    let original = Actor::start();
    let copy = original.offspring("fork");
    assert!(copy.ask("rejoin").parse::<u64>().is_ok());
    assert!(original.ask("me").parse::<u64>().is_ok());
}

#[test]
fn a_copy_does_not_hide_the_death_of_its_original() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, member) = root.child();
    let copy = child.offspring("fork"); // it keeps the member's socket open
    child.kill();
    root.sees_death_of(member);
    assert!(!copy.has_ended());
}

#[test]
fn a_copy_does_not_hide_the_death_of_the_root() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    let copy = root.offspring("fork"); // it keeps the root's ends of all sockets open
    root.kill();
    assert!(child.ask("check_root").starts_with("RootGone"));
    assert!(copy.ask("rejoin").starts_with("RootGone"));
    assert!(!copy.has_ended());
}

#[test]
fn a_copy_that_has_rejoined_does_not_hide_that_its_original_runs_another_program() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, member) = root.child();
    let copy = child.offspring("fork");
    copy.member("rejoin");
    child.tell("exec");
    root.sees_death_of(member);
    assert!(!child.has_ended());
}

#[test]
fn rejoining_leaves_no_copied_descriptor_behind() {
    needs_pidfds!();
    let root = Actor::start();
    let _members: Vec<_> = (0..8).map(|_| root.child()).collect();
    assert_eq!(root.ask("keep"), "done"); // the watcher is done with them all and holds no lock
    let copy = root.offspring("fork");
    copy.member("rejoin");
    let lone = Actor::start();
    let before: usize = lone.number("descriptors");
    let (control, invitation, socket_and_root) = (1, 3, 2);
    let expected = before + control + invitation + socket_and_root;
    assert!(copy.number::<usize>("descriptors") <= expected);
}

#[test]
fn a_copy_of_who_has_left_stays_out() {
    needs_pidfds!();
    let root = Actor::start();
    let (child, _) = root.child();
    child.ask("leave");
    let copy = child.offspring("fork");
    assert!(copy.ask("rejoin").starts_with("Left"));
}
