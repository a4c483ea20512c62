//! Messages of each kind: numbers, texts, trees, descriptors, ends of pipes.

use std::os::fd::OwnedFd;

use procession_channel::pipe::{self, Receiver};
use procession_channel::{Fd, Message};
use serde::{Deserialize, Serialize};

/// A message that is made of a byte, and recognised.
pub(crate) trait Sample: Message + 'static {
    /// One that is longer the larger `n` is; `None` when there is no descriptor left for it.
    fn of(n: u8) -> Option<Self>;

    /// Whether this is what [`of`](Self::of) makes of some byte.
    fn is_one(&self) -> bool;
}

impl Sample for Vec<u16> {
    fn of(n: u8) -> Option<Self> {
        Some(vec![u16::from(n); 8 * usize::from(n)])
    }

    fn is_one(&self) -> bool {
        self.len().is_multiple_of(8)
            && self.iter().all(|&number| usize::from(number) == self.len() / 8)
    }
}

impl Sample for String {
    fn of(n: u8) -> Option<Self> {
        Some("text".repeat(n.into()))
    }

    fn is_one(&self) -> bool {
        *self == "text".repeat(self.len() / 4)
    }
}

/// A value that lies in others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Tree {
    Leaf(u64),
    Branch(Vec<Tree>),
    Boxed(Box<Tree>, Option<String>),
}

impl Sample for Tree {
    fn of(n: u8) -> Option<Self> {
        Some(match n {
            0 => Self::Leaf(7),
            _ if n.is_multiple_of(2) => Self::Branch((0..n / 2).map(|_| Self::Leaf(7)).collect()),
            _ => Self::Boxed(Box::new(Self::of(n / 2)?), Some("leaf".to_owned())),
        })
    }

    fn is_one(&self) -> bool {
        match self {
            Self::Leaf(number) => *number == 7,
            Self::Branch(all) => all.iter().all(Self::is_one),
            Self::Boxed(inner, name) => name.as_deref() == Some("leaf") && inner.is_one(),
        }
    }
}

/// Some descriptors.
#[derive(Serialize, Deserialize)]
pub(crate) struct Luggage(u8, Vec<Fd<OwnedFd>>);

impl Sample for Luggage {
    fn of(n: u8) -> Option<Self> {
        let count = n % 4;
        let reader = || std::io::pipe().ok().map(|(reader, _)| Fd::new(OwnedFd::from(reader)));
        Some(Self(count, (0..count).map(|_| reader()).collect::<Option<_>>()?))
    }

    fn is_one(&self) -> bool {
        self.1.len() == usize::from(self.0)
    }
}

/// The end of another pipe, with a message under way.
#[derive(Serialize, Deserialize)]
pub(crate) struct End(Receiver<u64>);

impl Sample for End {
    fn of(n: u8) -> Option<Self> {
        let (sender, receiver) = pipe::builder().capacity(4096).simplex().ok()?;
        // In a pipe that is lied about it may fail, and then there is none.
        let _sent = sender.try_send(u64::from(n));
        Some(Self(receiver))
    }

    fn is_one(&self) -> bool {
        matches!(self.0.try_recv(), Ok(Some(0..=255)))
    }
}
