//! Chunks that wait for a worker: highest priority first, first come first served within one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use super::chunk::{CallId, Chunk};

/// Chunks that wait for a worker.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    levels: BTreeMap<Reverse<i32>, VecDeque<Chunk>>,
    len: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, priority: i32, chunk: Chunk) {
        self.levels.entry(Reverse(priority)).or_default().push_back(chunk);
        self.len += 1;
    }

    /// Puts back what had its turn already.
    pub(crate) fn push_front(&mut self, priority: i32, chunk: Chunk) {
        self.levels.entry(Reverse(priority)).or_default().push_front(chunk);
        self.len += 1;
    }

    /// The one whose turn it is. Asked for at each step of the pool, and as a rule none waits.
    #[inline]
    pub(crate) fn peek(&self) -> Option<&Chunk> {
        if self.len == 0 { None } else { self.levels.values().find_map(VecDeque::front) }
    }

    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.levels.values_mut().find_map(VecDeque::pop_front)?;
        self.len -= 1;
        Some(chunk)
    }

    /// How many chunks wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes all chunks of a call out.
    pub(crate) fn remove_call(&mut self, call: CallId) -> Vec<Chunk> {
        let mut removed = Vec::new();
        for level in self.levels.values_mut() {
            let (out, kept) = level.drain(..).partition(|chunk| chunk.call == call);
            *level = kept;
            let out: VecDeque<Chunk> = out;
            removed.extend(out);
        }
        self.len -= removed.len();
        removed
    }
}

#[cfg(test)]
mod tests {
    use procession_process::link::Frame;

    use super::*;

    fn chunk(call: CallId, first: usize) -> Chunk {
        Chunk::new(call, first, Frame::resume())
    }

    fn order(queue: &mut Queue) -> Vec<(CallId, usize)> {
        std::iter::from_fn(|| queue.pop()).map(|chunk| (chunk.call, chunk.first)).collect()
    }

    #[test]
    fn priority_first_then_order_of_arrival() {
        let mut queue = Queue::default();
        for (priority, first) in [(0, 1), (5, 2), (0, 3), (-1, 4), (5, 5)] {
            queue.push(priority, chunk(1, first));
        }
        queue.push_front(0, chunk(1, 0));
        assert_eq!(queue.peek().map(|chunk| chunk.first), Some(2));
        assert_eq!(queue.len(), 6);
        let firsts: Vec<usize> = order(&mut queue).into_iter().map(|(_, first)| first).collect();
        assert_eq!(firsts, [2, 5, 0, 1, 3, 4]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_call_can_be_taken_out() {
        let mut queue = Queue::default();
        for (call, first) in [(1, 0), (2, 0), (1, 1), (2, 1)] {
            queue.push(0, chunk(call, first));
        }
        assert_eq!(queue.remove_call(1).len(), 2);
        assert_eq!(order(&mut queue), [(2, 0), (2, 1)]);
    }
}
