//! Operations with a bug each. The harness must find all of them.

use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::thread;

use crate::fault::Fault;
use crate::scene::{Played, Scene};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        Scene::again("toy: leaks where a call fails", leaks),
        Scene::again("toy: panics where a call fails", panics),
        Scene::again("toy: ends where a call fails", ends),
        Scene::again("toy: says nothing", says_nothing),
    ]
}

fn open() -> io::Result<File> {
    File::open("/dev/null")
}

fn leaks(fault: &Fault) -> Played {
    fault.during(|| {
        let first = open()?;
        open().inspect_err(|_| drop(first.try_clone().map(IntoRawFd::into_raw_fd)))?;
        Ok(())
    })
}

fn panics(fault: &Fault) -> Played {
    fault.during(|| drop(open().expect("a toy")));
    Ok(())
}

fn ends(fault: &Fault) -> Played {
    fault.during(|| {
        let opened = thread::spawn(|| {
            if open().is_err() {
                std::process::abort()
            }
        });
        opened.join().map_err(|_| io::Error::other("it has panicked"))
    })?;
    Ok(())
}

#[derive(Debug)]
struct Nothing;

impl std::fmt::Display for Nothing {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Nothing {}

fn says_nothing(fault: &Fault) -> Played {
    Ok(fault.during(open).map(drop).map_err(|_| Nothing)?)
}
