//! A socket that takes its time to be closed: what a process may send that means ill.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{
    set_socket_linger, set_socket_recv_buffer_size, set_socket_send_buffer_size,
};

/// Nothing takes this long; it only keeps a broken test from running for ever.
const HANG: Duration = Duration::from_secs(30);

/// Who closes the first for the last time waits for ten minutes, unless the second is closed before.
pub fn lingering_socket() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a network of this machine's own");
    // There may be many, so they hold as little as they can.
    set_socket_recv_buffer_size(&listener, 1).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let lingering = TcpStream::connect(address).expect("somebody listens");
    let (unread, _) = listener.accept().expect("connected");
    set_socket_send_buffer_size(&lingering, 1).expect("a socket");
    lingering.set_nonblocking(true).expect("a socket");
    while (&lingering).write(&[0; 64 << 10]).is_ok() {}
    lingering.set_nonblocking(false).expect("a socket");
    set_socket_linger(&lingering, Some(Duration::from_secs(600))).expect("a socket");
    (lingering.into(), unread)
}

/// Runs `work`, which has to come to its end though somebody has sent a [`lingering_socket`].
pub fn comes_to_its_end(work: impl FnOnce() + Send + 'static) {
    let (told, hear) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        told.send(()).expect("somebody waits for it");
    });
    let heard = hear.recv_timeout(HANG);
    assert!(
        heard != Err(mpsc::RecvTimeoutError::Timeout),
        "it waits for a stranger's socket to be closed"
    );
    worker.join().expect("no panic");
}
