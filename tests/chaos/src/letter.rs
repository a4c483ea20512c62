//! What travels: messages with handles of every kind, also handles with messages in which handles lie.

use std::fs::File;

use procession::Fd;
use procession::pipe::{PipeError, Receiver, Sender};
use procession::prelude::*;
use procession::queue::{Getter, Putter};
use procession::sync::Mutex;
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::ledger::{came, complain, new_message, new_pipe};

/// A message. Its pad repeats the lowest byte of its number, so that a torn one is seen.
#[derive(Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) number: u32,
    /// Its place in its pipe, from one.
    pub(crate) place: u32,
    pad: Vec<u8>,
    pub(crate) loads: Vec<Load>,
}

/// An end to send by, and what must be known of it wherever it goes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Out {
    pub(crate) pipe: u32,
    pub(crate) next: u32,
    /// Whether nobody has the other side, as sending has shown: then it does not travel.
    pub(crate) is_closed: bool,
    pub(crate) is_trusting: bool,
    pub(crate) end: Sender<Letter>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct In {
    pub(crate) pipe: u32,
    pub(crate) last: u32,
    pub(crate) is_trusting: bool,
    pub(crate) end: Receiver<Letter>,
}

/// A handle. What is in shared memory is the number beside it, all over.
#[derive(Serialize, Deserialize)]
pub(crate) enum Load {
    Out(Out),
    In(In),
    Buf(u64, SharedBuf<u64>),
    Slice(u64, SharedSlice<u64>),
    Lock(Shared<Mutex<Twins>>),
    Queue(Queue<Letter>),
    Putter(Putter<Letter>),
    Getter(Getter<Letter>),
    File(Fd<File>),
    Bundle(Vec<Load>),
}

/// Two numbers that are the same whenever nobody has the lock.
#[derive(Shareable, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Twins {
    pub(crate) one: u64,
    pub(crate) other: u64,
}

impl Letter {
    /// Mostly short, sometimes longer than the pipe that it goes through.
    pub(crate) fn new(dice: &mut Dice, loads: Vec<Load>) -> Self {
        let number = new_message();
        let bound = *dice.pick(&[200, 200, 200, 200, 200, 5000, 5000, 60_000]);
        let pad = vec![number.to_le_bytes()[0]; dice.below(bound) as usize];
        Self { number, place: 0, pad, loads }
    }

    /// Looks at what has come, and takes it out.
    pub(crate) fn open(mut self) -> Vec<Load> {
        came(self.number);
        self.look();
        self.loads
    }

    pub(crate) fn look(&mut self) {
        let lowest = self.number.to_le_bytes()[0];
        if self.pad.iter().any(|byte| *byte != lowest) {
            complain(format_args!("message {} is torn", self.number));
        }
        self.loads.iter_mut().for_each(Load::look);
    }
}

/// Both ends of a new pipe, with a small buffer or a larger one.
pub(crate) fn pair(dice: &mut Dice, is_trusting: bool) -> Result<(Out, In), PipeError> {
    let builder = pipe::builder().capacity(4096 << dice.below(6));
    let builder = if is_trusting { builder.trusting() } else { builder };
    let ((sender, receiver), pipe) = (builder.simplex()?, new_pipe());
    let out = Out { pipe, next: 1, is_closed: false, is_trusting, end: sender };
    Ok((out, In { pipe, last: 0, is_trusting, end: receiver }))
}

impl Load {
    /// Any of those that are no end of a pipe.
    pub(crate) fn new(dice: &mut Dice, queue: &Queue<Letter>) -> procession::Result<Self> {
        let number = dice.number();
        let items = vec![number; 1 + dice.below(3000) as usize];
        Ok(match dice.below(8) {
            0 | 1 => Self::Buf(number, SharedBuf::from_slice(&items)?),
            2 => Self::Slice(number, SharedSlice::from_slice(&items)?),
            3 => Self::Lock(Shared::new(Mutex::new(Twins::default()))?),
            4 => Self::Queue(Queue::builder().capacity(1 << 16).build()?),
            5 => Self::Putter(queue.putter()),
            6 => Self::Getter(queue.getter()),
            _ => Self::File(Fd::new(File::open("/dev/null")?)),
        })
    }

    /// Whether it goes only to those who are trusted.
    pub(crate) fn is_trusting(&self) -> bool {
        match self {
            Self::Out(out) => out.is_trusting,
            Self::In(into) => into.is_trusting,
            Self::Buf(..) | Self::Slice(..) | Self::File(_) => false,
            Self::Lock(_) | Self::Queue(_) | Self::Putter(_) | Self::Getter(_) => true,
            Self::Bundle(loads) => loads.iter().any(Self::is_trusting),
        }
    }

    /// Looks at what has just come.
    pub(crate) fn look(&mut self) {
        let is_right = match self {
            Self::Buf(number, buf) => buf.as_mut_slice().iter().all(|item| item == number),
            Self::Slice(number, slice) => slice.iter().all(|item| item == number),
            Self::Bundle(loads) => {
                loads.iter_mut().for_each(Self::look);
                true
            }
            _ => true,
        };
        if !is_right {
            complain(format_args!("what a handle names is not what was sent"));
        }
    }

    /// What else can be done with it: written to, split and put together, frozen, packed and unpacked.
    pub(crate) fn altered(self, dice: &mut Dice) -> procession::Result<Vec<Self>> {
        Ok(match self {
            Self::Buf(number, buf) if dice.one_in(3) => vec![Self::Slice(number, buf.freeze()?)],
            Self::Buf(number, buf) => {
                let mut whole = SharedBuf::unsplit(buf.split_into(1 + dice.below(4) as usize))?;
                whole.as_mut_slice().fill(number);
                vec![Self::Buf(number, whole)]
            }
            Self::File(file) => vec![Self::File(Fd::new(file.into_inner()?.try_clone()?))],
            Self::Bundle(loads) => loads,
            load => vec![Self::Bundle(vec![load])],
        })
    }
}
