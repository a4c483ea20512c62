//! Workers that misuse the sockets they have: for what they say, for handles. They find them as an attacker would, by trying all numbers.

use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use backstage::lingering::{comes_to_its_end, lingering_socket};
use procession_pool::{Pool, TaskError};
use procession_process::Sandbox;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg, sendto, sockopt,
};
use skips::skipped;
use tracing::info;
use tracing_subscriber::layer::SubscriberExt;

use super::guard::guarded;
use super::ledger::Ledger;
use super::trap::{How, assert_sound};

/// All sockets that this process has.
fn sockets() -> impl Iterator<Item = BorrowedFd<'static>> {
    // SAFETY: whoever is asked for a number that is not open says so, and nobody here closes any meanwhile.
    let numbers = (3..256).map(|number| unsafe { BorrowedFd::borrow_raw(number) });
    numbers.filter(|fd| sockopt::socket_type(fd).is_ok())
}

/// Sends to whom it was not connected to, over each socket that it has. Says how many these are.
fn call_out(path: String) -> usize {
    let to = SocketAddrUnix::new(path).unwrap();
    let send = |fd: &BorrowedFd<'_>| {
        let _sent = sendto(fd, b"help", SendFlags::DONTWAIT, &to);
    };
    sockets().inspect(send).count()
}

#[test]
fn no_socket_of_a_worker_reaches_anybody_but_its_parent() {
    if !Sandbox::new().no_network().is_available() {
        let test = "no_socket_of_a_worker_reaches_anybody_but_its_parent";
        return skipped(test, "this kernel has no Landlock, or no seccomp filters");
    }
    guarded(|| {
        let scratch = Ledger::new();
        let path = format!("{}.socket", scratch.path());
        let outside = UnixDatagram::bind(&path).unwrap();
        outside.set_nonblocking(true).unwrap();
        for sandbox in [Sandbox::new().no_network(), Sandbox::new().compute_only()] {
            let pool = Pool::builder().workers(1).sandbox(sandbox).build().unwrap();
            // What it has sent to its parent so may cost it its life, with the next item.
            assert!(pool.apply(call_out, &path).is_ok_and(|sockets| sockets > 0));
        }
        let heard = outside.recv(&mut [0; 16]);
        std::fs::remove_file(path).unwrap();
        assert_eq!(heard.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it was heard");
    });
}

/// Sends a descriptor that takes its time to be closed over each socket, another one each time, and has the parent look.
fn send_what_lingers(how: How) {
    let sockets: Vec<BorrowedFd<'_>> = sockets().collect();
    for fd in sockets {
        let (socket, unread) = lingering_socket();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let rights = [socket.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        // Some may be sockets over which none can be sent.
        let _sent = sendmsg(fd, &[std::io::IoSlice::new(b"x")], &mut control, flags);
        // Whoever closes the other one for the last time waits until this one is closed.
        let _kept = ManuallyDrop::new(unread);
    }
    info!("listen");
    how.happen().unwrap();
}

#[test]
fn what_a_worker_sends_and_nobody_wants_holds_up_nobody() {
    comes_to_its_end(|| {
        let subscriber =
            tracing_subscriber::registry().with(tracing_subscriber::filter::LevelFilter::INFO);
        tracing::subscriber::with_default(subscriber, || {
            let pool = Pool::with_workers(2).unwrap();
            for how in [How::Well, How::Kill, How::Well] {
                let sent = pool.apply(send_what_lingers, how);
                let is_expected = matches!(
                    sent,
                    Ok(()) | Err(TaskError::Corrupt { .. } | TaskError::Died { .. })
                );
                assert!(is_expected, "{sent:?}");
                std::thread::sleep(Duration::from_millis(20));
                assert_sound(&pool);
            }
        });
    });
}
