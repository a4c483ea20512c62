//! The slowest items.

use std::any::{TypeId, type_name};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use procession_channel::Message;
use procession_channel::codec::{Limits, decode};

use super::bytes;
use crate::core::chunk::Chunk;

/// An item that took long.
///
/// ```
/// use std::time::Duration;
///
/// let pool = procession_pool::Pool::with_workers(1)?;
/// pool.job().chunk(1).for_each(std::thread::sleep, [Duration::ZERO, Duration::from_millis(30)])?;
/// let slowest = &pool.insights().slowest[0];
/// println!("{slowest}");
/// assert!(slowest.item == 1 && slowest.duration >= Duration::from_millis(30), "{slowest}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowItem {
    /// Index of the item in its input; of a submitted task it is 0.
    pub item: usize,
    /// How many items travelled together with it, itself included, of which it is the first. The duration is then their average.
    pub of: usize,
    /// How long it took, by the clock of its worker, from decoding its argument to encoding its result. Not checked but for
    /// being possible: a worker that wants to can lie about it.
    pub duration: Duration,
    /// The worker.
    pub pid: u32,
    /// The type of the function, as the compiler writes it.
    pub function: &'static str,
    /// How many bytes its argument has, encoded; all of them, if several travelled together.
    pub bytes: usize,
    /// Its argument as text, if [`Job::describe`](crate::Job::describe) has said how to make one.
    pub argument: Option<String>,
}

impl fmt::Display for SlowItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {}, {}", self.item, self.function)?;
        match &self.argument {
            Some(argument) => write!(f, " of {argument}")?,
            None => write!(f, " of {}", bytes(self.bytes as u64))?,
        }
        write!(f, " took {:.3?} in worker {}", self.duration, self.pid)?;
        if self.of > 1 { write!(f, " (average of {})", self.of) } else { Ok(()) }
    }
}

/// How many slow items are remembered.
const SLOWEST: usize = 5;

/// Longer arguments are not kept.
const ARGUMENT_LEN_MAX: usize = 4 << 10;

/// Makes a text of an encoded argument.
type ToText = dyn Fn(&[u8]) -> Option<String> + Send + Sync;

/// What can be said of the function of a call, and of its arguments.
#[derive(Clone, Default)]
pub(crate) struct About {
    function: &'static str,
    /// What the text is made of.
    described: Option<TypeId>,
    to_text: Option<Arc<ToText>>,
}

impl About {
    pub(crate) fn describe_by<T: Message>(&mut self, describe: fn(&T) -> String) {
        let to_text = move |argument: &[u8]| {
            let argument = decode::<T>(argument, &Limits::DEFAULT).ok()?;
            Some(describe(&argument))
        };
        self.described = Some(TypeId::of::<T>());
        self.to_text = Some(Arc::new(to_text));
    }

    /// For calls of a function of type `F` with arguments of type `T`.
    pub(crate) fn of<F, T: 'static>(&self) -> Self {
        let fits = self.described == Some(TypeId::of::<T>());
        let to_text = self.to_text.as_ref().filter(|_| fits).map(Arc::clone);
        Self { function: type_name::<F>(), described: self.described, to_text }
    }
}

impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("About").field("function", &self.function).finish_non_exhaustive()
    }
}

/// A slow item whose argument is not described yet.
#[derive(Debug, Clone)]
pub(crate) struct Slow {
    item: SlowItem,
    about: About,
    argument: Option<Vec<u8>>,
}

impl Slow {
    fn new(chunk: &Chunk, about: &About, duration: Duration, pid: u32) -> Self {
        let message = chunk.frame.message_of(chunk.done);
        let of = message.len();
        let mut arguments = chunk.frame.arguments().skip(message.start).take(of);
        let first = arguments.next().unwrap_or_default();
        let bytes = first.len() + arguments.map(<[u8]>::len).sum::<usize>();
        let is_wanted = of == 1 && about.to_text.is_some() && bytes <= ARGUMENT_LEN_MAX;
        let argument = is_wanted.then(|| first.to_vec());
        let (item, function) = (chunk.first + message.start, about.function);
        let item = SlowItem { item, of, duration, pid, function, bytes, argument: None };
        Self { item, about: about.clone(), argument }
    }

    /// The item, with its argument described. Somebody else's function does that: a panic in it means that there is no text.
    pub(crate) fn told(self) -> SlowItem {
        let to_text = || (self.about.to_text.as_ref()?)(self.argument.as_ref()?);
        let argument = catch_unwind(AssertUnwindSafe(to_text)).ok().flatten();
        SlowItem { argument, ..self.item }
    }
}

/// The slowest items so far.
#[derive(Debug, Default)]
pub(crate) struct Slowest {
    items: Vec<Slow>,
    /// What an item must exceed to be one of them.
    threshold: Duration,
}

impl Slowest {
    /// From how many nanoseconds on it wants to know.
    pub(crate) fn nanos_wanted(&self) -> u64 {
        u64::try_from(self.threshold.as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Takes note that the items took so long together that travelled with the next one of `chunk`.
    pub(crate) fn note(&mut self, chunk: &Chunk, about: &About, spent: Duration, pid: u32) {
        let items = chunk.frame.message_of(chunk.done).len().max(1);
        let duration = spent / u32::try_from(items).unwrap_or(u32::MAX);
        if duration > self.threshold {
            self.keep(Slow::new(chunk, about, duration, pid));
        }
    }

    fn keep(&mut self, slow: Slow) {
        let at = self.items.partition_point(|other| other.item.duration >= slow.item.duration);
        self.items.insert(at, slow);
        self.items.truncate(SLOWEST);
        if let [.., last] = &self.items[..]
            && self.items.len() == SLOWEST
        {
            self.threshold = last.item.duration;
        }
    }

    pub(crate) fn items(&self) -> Vec<Slow> {
        self.items.clone()
    }
}

#[cfg(test)]
mod tests {
    use procession_process::link::Frame;

    use super::*;

    #[test]
    fn the_slowest_are_kept_in_order() {
        let mut slowest = Slowest::default();
        for (item, millis) in [3, 9, 1, 7, 5, 8, 2, 6].into_iter().enumerate() {
            let chunk = Chunk::new(0, item, Frame::resume());
            slowest.note(&chunk, &About::default(), Duration::from_millis(millis), 1);
        }
        let kept: Vec<u128> =
            slowest.items().iter().map(|slow| slow.item.duration.as_millis()).collect();
        assert_eq!(kept, [9, 8, 7, 6, 5]);
        assert_eq!(slowest.items()[0].item.item, 1);
        assert_eq!(slowest.nanos_wanted(), 5_000_001);
    }
}
