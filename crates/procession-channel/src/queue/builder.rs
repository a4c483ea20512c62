//! A queue with other limits than the default.

use std::marker::PhantomData;

use procession_shm::page_size;

use super::control::Settings;
use super::{Getter, Putter, Queue, QueueError, body};

/// 64 MiB, of which a queue takes 64 KiB until more is under way.
const DEFAULT_CAPACITY: usize = 64 << 20;
/// 8 GiB.
const CAPACITY_MAX: usize = 8 << 30;

/// 1 GiB.
const DEFAULT_LEN_MAX: usize = 1 << 30;

/// The limits of a queue: see [`Queue::builder`].
///
/// ```
/// use procession_channel::queue::{Builder, Queue, QueueError};
///
/// let builder: Builder<u64> = Queue::builder();
/// assert_eq!(builder.items(3).build()?.capacity(), Some(3));
/// assert!(matches!(Queue::<u64>::builder().items(0).build(), Err(QueueError::Option { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "it makes nothing by itself"]
pub struct Builder<T> {
    capacity: usize,
    items_max: Option<usize>,
    len_max: usize,
    _value: PhantomData<fn(T) -> T>,
}

impl<T> Builder<T> {
    pub(super) fn new() -> Self {
        Self {
            capacity: DEFAULT_CAPACITY,
            items_max: None,
            len_max: DEFAULT_LEN_MAX,
            _value: PhantomData,
        }
    }

    /// How many bytes of items the queue holds, 64 MiB unless told, at most 8 GiB; rounded up to a power of two. Each item takes
    /// 8 bytes more than its encoding, and padding to a multiple of 8.
    ///
    /// Memory is taken as it is needed, and kept until the queue is gone: a queue in which there are never more than 64 KiB takes
    /// no more than that. An item of more than a quarter of the capacity takes memory of its own, and 32 bytes in the queue.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::<u64>::builder().capacity(100_000).build()?;
    /// assert_eq!(queue.capacity_bytes(), 128 << 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// How many items the queue holds. Unless told, only bytes are counted. Whichever limit is reached first counts.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::builder().items(2).build()?;
    /// queue.put_many([1, 2])?;
    /// assert!(queue.is_full() && queue.try_put(3).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn items(mut self, items: usize) -> Self {
        self.items_max = Some(items);
        self
    }

    /// The longest item in bytes, as it is encoded; 1 GiB unless told.
    ///
    /// ```
    /// use procession_channel::queue::{Queue, SendErrorKind};
    ///
    /// let queue = Queue::builder().max_message(1000).build()?;
    /// let error = queue.put("x".repeat(2000)).unwrap_err();
    /// assert!(matches!(error.kind, SendErrorKind::TooLarge { limit: 1000, .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.len_max = bytes;
        self
    }

    /// Makes the queue.
    ///
    /// # Errors
    ///
    /// [`QueueError::Option`] for a limit that makes no sense; [`QueueError::Memory`], [`QueueError::Socket`] when the system has
    /// none left or does not allow it.
    ///
    /// ```
    /// use procession_channel::queue::Queue;
    ///
    /// let queue = Queue::builder().items(10).capacity(1 << 20).build()?;
    /// queue.put("hello".to_owned())?;
    /// assert_eq!(queue.get()?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build(self) -> Result<Queue<T>, QueueError> {
        let (put, get) = body::create(self.settings()?)?;
        Ok(Queue { putter: Putter::new(put, true), getter: Getter::new(get, true) })
    }

    fn settings(&self) -> Result<Settings, QueueError> {
        let check = |option, value: usize, max| {
            let (is_sound, min) = ((1..=max).contains(&value), 1);
            if is_sound {
                Ok(value as u64)
            } else {
                Err(QueueError::Option { option, value, min, max })
            }
        };
        check("a capacity in bytes of", self.capacity, CAPACITY_MAX)?;
        let items_max = self.items_max.map(|items| check("a number of items of", items, ITEMS_MAX));
        let items_max = items_max.transpose()?.and_then(|items| u32::try_from(items).ok());
        Ok(Settings {
            capacity: self.capacity.next_power_of_two().max(page_size()) as u64,
            items_max: items_max.unwrap_or(u32::MAX),
            len_max: check("a max_message of", self.len_max, isize::MAX.cast_unsigned())?,
        })
    }
}

/// More than 8 GiB have room for.
const ITEMS_MAX: usize = (u32::MAX - 1) as usize;

impl<T> Clone for Builder<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Builder<T> {}
