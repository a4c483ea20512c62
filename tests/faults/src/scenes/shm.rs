//! Memory, and who shares it.

use std::os::fd::AsFd;

use procession_process::Process;
use procession_shm::{FreezeErrorKind, Segment, Shared, SharedBuf, SharedSlice, family};
use procession_sync::Mutex;

use crate::census::Kept;
use crate::fault::Fault;
use crate::retry::Retry;
use crate::scene::{Played, Scene, Setting};

/// The table of a family, its root's sockets, its pidfds and the thread that watches.
const FAMILY: Kept = Kept { descriptors: 12, threads: 1, mappings: 1, has_children: false };

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        Scene::again("shm: a segment", segment),
        Scene::again("shm: buffers and slices", buffers),
        Scene::again("shm: a shared value", shared),
        Scene { name: "shm: a family is founded", play: founded, setting: Setting::First(FAMILY) },
        Scene::again("shm: a process joins", joined),
    ]
}

fn segment(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    fault.during(|| {
        let segment = retry.ask(|| Segment::new(100_000));
        let plain = retry.ask(|| segment.map());
        let mirrored = retry.ask(|| segment.map_mirrored(4096));
        plain.write(99_990, b"end");
        let mut end = Vec::new();
        mirrored.read(99_990, 3, &mut end);
        assert_eq!(end, b"end");
        let sparse = retry.ask(|| Segment::sparse(1 << 20));
        retry.ask(|| Segment::claim(sparse.as_fd(), 0..8192));
        let mapped = retry.ask(|| sparse.map_sparse());
        mapped.write(8000, b"x");
    });
    retry.played()
}

fn buffers(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    fault.during(|| {
        let mut buffer = retry.ask(|| SharedBuf::<u32>::zeroed(10_000));
        buffer.as_mut_slice()[9_999] = 7;
        let whole = SharedBuf::unsplit(buffer.split_into(3)).expect("all parts are there");
        if let Some(frozen) = frozen(whole, &mut retry) {
            assert_eq!(frozen[9_999], 7);
        }
        let copy = retry.ask(|| SharedBuf::from_slice(&[1_u8; 5000]));
        assert_eq!(copy.len(), 5000);
        let slice = retry.ask(|| SharedSlice::from_slice(&[2_u16; 5000]));
        assert_eq!(slice[4999], 2);
    });
    retry.played()
}

/// A buffer that is lost on the way is said to be lost; any other is there to be frozen once more.
fn frozen(whole: SharedBuf<u32>, retry: &mut Retry) -> Option<SharedSlice<u32>> {
    let error = match whole.freeze() {
        Ok(frozen) => return Some(frozen),
        Err(error) => error,
    };
    let is_lost = matches!(error.kind(), FreezeErrorKind::Lost(_));
    retry.note(error.kind().clone());
    let buffer = error.into_buffer();
    (!is_lost).then(|| buffer.freeze().expect("no further call fails"))
}

fn shared(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    fault.during(|| {
        let value = retry.ask(|| Shared::new(Mutex::new(5_u64)));
        *retry.ask(|| value.lock()) += 1;
        assert_eq!(*retry.ask(|| value.lock()), 6);
    });
    retry.played()
}

fn founded(fault: &Fault) -> Played {
    let mut retry = Retry::default();
    fault.during(|| {
        let me = retry.ask(family::me);
        assert!(family::is_alive(me));
    });
    retry.played()
}

fn add(count: Shared<Mutex<u64>>) -> u64 {
    let mut count = count.lock().expect("its family lives");
    *count += 1;
    *count
}

/// A process that cannot join dies of it; then it has added nothing.
fn joined(fault: &Fault) -> Played {
    let count = Shared::new(Mutex::new(0))?;
    let result = fault.during(|| Process::spawn(add, &count)?.join());
    let counted = *count.lock().map_err(|error| format!("{error}"))?;
    match result {
        Ok(number) => assert_eq!((number, counted), (1, 1)),
        Err(error) => {
            assert!(counted <= 1, "{counted}");
            let again = Process::spawn(add, &count).and_then(Process::join);
            assert_eq!(again.map_err(|error| error.to_string()), Ok(counted + 1));
            return Err(error.into());
        }
    }
    Ok(())
}
