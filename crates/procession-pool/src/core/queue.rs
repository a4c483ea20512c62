//! Chunks that wait for a worker: highest priority first, first come first served within one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use super::chunk::{CallId, Chunk};

/// How many levels are kept although nothing is in them: as many as a program has as a rule, that does not make one for each task.
const EMPTY_LEVELS_MAX: usize = 8;

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
        let (&priority, level) = self.levels.iter_mut().find(|(_, level)| !level.is_empty())?;
        let chunk = level.pop_front()?;
        if level.is_empty() && self.levels.len() > EMPTY_LEVELS_MAX {
            self.levels.remove(&priority);
        }
        self.len -= 1;
        Some(chunk)
    }

    /// How many chunks wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes all chunks of a call out, which have `items` items at most. Who has many tasks cancels one after the other: where one
    /// chunk is all that there is, the others are not touched.
    pub(crate) fn remove_call(&mut self, call: CallId, items: usize) -> Vec<Chunk> {
        let mut removed = Vec::new();
        for level in self.levels.values_mut() {
            let Some(at) = level.iter().position(|chunk| chunk.call == call) else { continue };
            if level[at].left() == items {
                removed.extend(level.remove(at));
                break;
            }
            let behind = level.split_off(at);
            let (out, kept): (Vec<_>, Vec<_>) =
                behind.into_iter().partition(|chunk| chunk.call == call);
            level.extend(kept);
            removed.extend(out);
        }
        self.levels.retain(|_, level| !level.is_empty());
        self.len -= removed.len();
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use procession_process::Plain;
    use procession_process::answer::One;
    use procession_process::function::Function;
    use procession_process::link::{Frame, ItemTooLarge};

    use super::*;

    fn one_item() -> Frame {
        let mut frame = Frame::call(Function::unary::<One<Plain>, u8, u8>(|n| n).unwrap(), 0);
        let pushed = frame.push_plain(|bytes| {
            bytes.push(7);
            Ok::<_, ItemTooLarge>(())
        });
        pushed.unwrap();
        frame.sealed()
    }

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
        assert_eq!(queue.remove_call(1, 2).len(), 2);
        assert_eq!(order(&mut queue), [(2, 0), (2, 1)]);
    }

    #[test]
    fn a_call_of_one_chunk_or_of_several_priorities_can_be_taken_out() {
        let mut queue = Queue::default();
        for (priority, call, first) in
            [(0, 1, 0), (0, 2, 0), (0, 3, 0), (7, 4, 0), (-7, 4, 1), (-7, 5, 0), (0, 4, 2)]
        {
            queue.push(priority, Chunk { frame: Arc::new(one_item()), ..chunk(call, first) });
        }
        assert_eq!(queue.remove_call(2, 1).len(), 1);
        assert_eq!(queue.remove_call(2, 1).len(), 0);
        assert_eq!(queue.remove_call(4, 3).len(), 3);
        assert_eq!(queue.len(), 3);
        assert_eq!(order(&mut queue), [(1, 0), (3, 0), (5, 0)]);
    }

    #[test]
    fn priorities_that_were_used_once_leave_nothing() {
        let mut queue = Queue::default();
        for priority in 0..1000 {
            queue.push(priority, chunk(1, 0));
            queue.push(-priority, chunk(2, 0));
            assert_eq!(queue.pop().map(|chunk| chunk.call), Some(1));
            assert_eq!(queue.pop().map(|chunk| chunk.call), Some(2));
        }
        assert!(queue.levels.len() <= EMPTY_LEVELS_MAX, "{}", queue.levels.len());
    }
}
