//! A program in which two versions of procession meet: each serves the children that it has started, and what one of them has
//! started the other one knows for a child.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::sync::atomic::{AtomicUsize, Ordering};

use procession_process as first;
use second_version as second;

/// Who a process takes itself for: by name, who its parent is, and how deep it is, asked in both versions.
type Told = (String, Option<u32>, [u32; 2]);

fn told_by_first((): ()) -> Told {
    let parent = first::parent().map(|parent| parent.pid());
    (first::current().name().to_owned(), parent, [first::depth(), second::depth()])
}

fn told_by_second((): ()) -> Told {
    let parent = second::parent().map(|parent| parent.pid());
    (second::current().name().to_owned(), parent, [first::depth(), second::depth()])
}

#[test]
fn each_serves_its_own_children() {
    let own = Some(std::process::id());
    let builder = first::Process::builder().name("one");
    let told = builder.spawn(told_by_first, ()).unwrap().join().unwrap();
    assert_eq!(told, ("one".to_owned(), own, [1, 1]));
    let builder = second::Process::builder().name("two");
    let told = builder.spawn(told_by_second, ()).unwrap().join().unwrap();
    assert_eq!(told, ("two".to_owned(), own, [1, 1]));
}

#[test]
fn each_has_its_own_zygote() {
    let builder = first::Process::builder().start_method(first::StartMethod::Zygote);
    assert_eq!(builder.spawn(told_by_first, ()).unwrap().join().unwrap().2, [1, 1]);
    let builder = second::Process::builder().start_method(second::StartMethod::Zygote);
    assert_eq!(builder.spawn(told_by_second, ()).unwrap().join().unwrap().2, [1, 1]);
    // Where one of them has served, by whichever means, the other one starts what it likes.
    let builder = first::Process::builder().start_method(first::StartMethod::Zygote);
    assert_eq!(builder.spawn(through_second, 1).unwrap().join().unwrap(), 2);
}

fn through_first(levels: u32) -> u32 {
    if levels == 0 {
        return first::depth();
    }
    first::Process::spawn(through_second, levels - 1).unwrap().join().unwrap()
}

fn through_second(levels: u32) -> u32 {
    if levels == 0 {
        return second::depth();
    }
    second::Process::spawn(through_first, levels - 1).unwrap().join().unwrap()
}

#[test]
fn their_children_start_children_in_turn_and_are_counted_together() {
    assert_eq!(through_first(4), 4);
    assert_eq!(through_second(3), 3);
}

/// Neither may start anything in a process that is already a child and not yet at its function: each child would do the same.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = {
    extern "C" fn constructor() {
        let refused = [
            matches!(
                first::Process::spawn(|()| (), ()),
                Err(first::ProcessError::Spawn(first::SpawnError::InConstructor { .. }))
            ),
            matches!(
                second::Process::spawn(|()| (), ()),
                Err(second::ProcessError::Spawn(second::SpawnError::InConstructor { .. }))
            ),
        ];
        REFUSED.store(refused.into_iter().filter(|refused| *refused).count(), Ordering::Relaxed);
    }
    constructor
};

static REFUSED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn constructors_start_nothing_in_children_of_either() {
    let refused = |()| REFUSED.load(Ordering::Relaxed);
    assert_eq!(refused(()), 0, "this is no child");
    assert_eq!(first::Process::spawn(refused, ()).unwrap().join().unwrap(), 2);
    assert_eq!(second::Process::spawn(refused, ()).unwrap().join().unwrap(), 2);
}
