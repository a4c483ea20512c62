//! A process that a zygote has just forked: what makes it one like those that `Spawn` starts.
//!
//! Before its report it has touched nothing but itself; so a request whose report never came can be made again.

use std::os::fd::{AsFd, OwnedFd};

use procession_shm::fork;
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::protocol::{self, Environment, Refused, Reply, Request};
use crate::bootstrap::{self, Packet};
use crate::environment::Patch;
use crate::hook;
use crate::refusal::{self, Refusal};
use crate::serve::{self, Job, Parent};
use crate::standard;

pub(super) struct Newborn {
    pub(super) zygote: u32,
    /// Whether the kernel reaps it and keeps its status.
    pub(super) is_left: bool,
    pub(super) request: Request,
    /// The bootstrap socket.
    pub(super) socket: OwnedFd,
    /// What came with the request behind the socket.
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Newborn {
    /// Serves and exits, or refuses and exits.
    pub(super) fn live(self) -> ! {
        if serve::die_with_parent(self.zygote).is_err() {
            // The zygote is dead: this process was never started (Z2), and there is nobody to tell.
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(refusal::PARENT_GONE) }
        }
        match self.prepare().and_then(|job| job.run(1)) {
            Ok(code) => std::process::exit(code),
            Err(refusal) => refusal.exit(),
        }
    }

    fn prepare(self) -> Result<Job, Refusal> {
        self.report()?;
        fork::set_template(false);
        if self.is_left {
            let expect = standard::set_handler(libc::SIGCHLD, libc::SIG_DFL, 0);
            expect.map_err(Refusal::system("expect the ends of children"))?;
        }
        let Self { request, socket, descriptors, .. } = self;
        let mut descriptors = descriptors.into_iter();
        take_standard(&request, &mut descriptors)?;
        let blocked: &[i32] = if request.block_interrupt { &[libc::SIGINT] } else { &[] };
        standard::set_signal_mask(blocked).map_err(Refusal::system("set the signal mask"))?;
        let changes = read_environment(request.environment, descriptors.next())?;
        changes.apply().map_err(Refusal::system("set the environment"))?;
        hook::begin_child(request.depth);
        let packet = Packet::receive(socket)?;
        serve::job(Parent { pid: request.parent, is_direct: false }, packet)
    }

    /// The commit point of a launch: from here on the parent has a process.
    fn report(&self) -> Result<(), Refusal> {
        let sent = match pidfd_open(getpid(), PidfdFlags::empty()) {
            Ok(pidfd) => {
                let started = Reply::Started { pid: std::process::id(), is_left: self.is_left };
                protocol::send(&self.socket, &started, &[pidfd.as_fd()])
            }
            Err(error) => {
                let why = Refused::Pidfd { errno: error.raw_os_error() };
                let refused = protocol::send(&self.socket, &Reply::Refused(why), &[]);
                refused.and(Err(error.into()))
            }
        };
        sent.map_err(Refusal::system("report to the parent"))
    }
}

fn missing_descriptor() -> Refusal {
    Refusal::new(refusal::BAD_MESSAGE, "the request came without its descriptors")
}

fn take_standard(
    request: &Request,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> Result<(), Refusal> {
    for (number, is_given) in (0..).zip(request.standard) {
        if is_given {
            let given = descriptors.next().ok_or_else(missing_descriptor)?;
            place(&given, number).map_err(Refusal::system("move a standard descriptor"))?;
        } else {
            standard::close(number);
        }
    }
    standard::open_standard_descriptors().map_err(Refusal::system("open /dev/null"))
}

fn place(descriptor: &OwnedFd, number: i32) -> rustix::io::Result<()> {
    match number {
        0 => dup2_stdin(descriptor),
        1 => dup2_stdout(descriptor),
        _ => dup2_stderr(descriptor),
    }
}

fn read_environment(environment: Environment, memory: Option<OwnedFd>) -> Result<Patch, Refusal> {
    match environment {
        Environment::Here(patch) => Ok(patch),
        Environment::Memory { len_bytes } => {
            let memory = memory.ok_or_else(missing_descriptor)?;
            let bytes = bootstrap::read_memory(memory, len_bytes)?;
            postcard::from_bytes(&bytes).map_err(Refusal::system("read the environment"))
        }
    }
}
