//! One worker as the pool sees it: its process, its link, and what it was given.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_process::link::{Frame, LinkError, ParentLink, RESULT_HEAD_LEN, SharedValue};
use procession_process::{Child, answer};

use super::chunk::{CallId, Chunk};
use super::errand;
use crate::parcel::Budget;

/// How many wake-ups in a row may come with nothing. An honest worker's are one after each chunk at most.
const FALSE_ALARMS_MAX: u32 = 64;

/// How many bytes a worker takes at least, of what it is owed, in so many wake-ups for room: 8 KiB in each. Who is owed something
/// has a full ring, of which an honest worker gives back an eighth at a time, 32 KiB, or all.
const TAKEN_MIN: u64 = FALSE_ALARMS_MAX as u64 * (8 << 10);

/// From how long on a worker is asked how much of it it worked: less is not worth a look at a word of its own.
const ACCOUNT_FROM: Duration = Duration::from_micros(20);

/// What the pool decided about a worker before it died: the reason that its current item is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// Its current item was over its timeout.
    TimedOut(Duration),
    /// Its current item was cancelled.
    Cancelled,
    /// It wrote what cannot be: positions, lengths.
    Corrupt(LinkError),
    /// It wrote what no worker writes: an unknown tag, a result that nobody asked for, wake-ups without news.
    Nonsense,
    /// It was not ready in time.
    NeverReady,
    /// Its initializer failed.
    Unfit,
    /// It was told to leave and did not.
    Lingering,
}

/// What was last seen of the item that a worker is on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) has_begun: bool,
}

impl Seen {
    fn not_begun(at: Instant) -> Self {
        Self { at, has_begun: false }
    }
}

/// Why a worker was not given something.
#[derive(Debug)]
pub(crate) enum Ungiven {
    /// The worker broke the rules of the link.
    Corrupt(LinkError),
    /// The system would not send the descriptors.
    Unsent(io::Error),
}

impl From<LinkError> for Ungiven {
    fn from(error: LinkError) -> Self {
        Self::Corrupt(error)
    }
}

/// A worker process and what it was given.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Where it is heard what it says beside its results.
    #[cfg(feature = "tracing")]
    pub(crate) ear: crate::trace::Ear,
    /// Tells this worker from those that had its place before.
    pub(crate) id: u64,
    pub(crate) child: Arc<Child>,
    pub(crate) link: ParentLink,
    /// It has said hello.
    pub(crate) ready: bool,
    /// Why it was killed by the pool, if it was. It gets nothing more to do.
    pub(crate) sentence: Option<Sentence>,
    /// The item it was on then.
    pub(crate) sentenced: Option<(CallId, usize)>,
    /// What it was given, oldest first; it works on the first.
    pub(crate) in_flight: VecDeque<Chunk>,
    /// What waited behind its item was taken back. No more is put there before it has finished something and has answered: until then
    /// nothing can be taken back again.
    pub(crate) is_slow: bool,
    /// It was sent something and has not been rung for yet.
    pub(crate) is_unrung: bool,
    /// How many items of those have no outcome yet.
    items: usize,
    /// Frames that are not sent in full yet, oldest first, and how much of the first one is.
    outbox: VecDeque<Arc<Frame>>,
    sent_of_first: usize,
    /// Bytes of all frames it was ever given, sent or not.
    promised: u64,
    /// What has come of a result that is not whole yet.
    pub(crate) inbox: Vec<u8>,
    /// The number of the last handles that were moved to it.
    moved: u64,
    /// How many descriptors of its results have not been taken.
    pub(crate) budget: Budget,
    /// It is in the family of this process, or was told how to get there.
    pub(crate) is_kin: bool,
    /// Items that have an outcome, since the worker started.
    pub(crate) done: u64,
    /// Since when its current item can have been running at most.
    pub(crate) item_since: Instant,
    /// When it was last seen whether that has begun, and whether it had.
    pub(crate) seen: Seen,
    /// The call of the chunks that it has finished since `chunk_since`, and how many items they had.
    pub(crate) finished: Option<(CallId, usize)>,
    /// Before which result it last said how long it took: the end of the chunk's frame, and how many results of it had come.
    pub(crate) told_time_at: Option<(u64, usize)>,
    /// Since when its current chunk can have been running at most.
    pub(crate) chunk_since: Instant,
    /// How long it has worked, by its own account when it was last asked.
    told: Duration,
    /// When its process was started.
    pub(crate) hired: Instant,
    /// Wake-ups in a row that came with nothing.
    false_alarms: u32,
    /// How many bytes had been sent to it when there was none of them.
    sent_before_alarms: u64,
    /// Calls whose context it was sent.
    pub(crate) contexts: Vec<CallId>,
    /// How many more items it may be given, if that is limited.
    pub(crate) quota: Option<u64>,
    /// It has grown too large and gets nothing more to do.
    pub(crate) is_bloated: bool,
    /// It was told to leave, and when.
    pub(crate) leaving: Option<Instant>,
    /// When it said hello.
    pub(crate) ready_since: Option<Instant>,
    /// How long its initializer took; with none, no time. `None` while it runs.
    pub(crate) initializing: Option<Duration>,
    /// How long it took for what it has done.
    pub(crate) working: Duration,
    /// How many of the items that it has done were errands.
    pub(crate) errands_done: u64,
    /// How many of them are tried again.
    pub(crate) retried: u64,
}

impl Lane {
    pub(crate) fn new(
        id: u64,
        child: Child,
        link: ParentLink,
        #[cfg(feature = "tracing")] ear: crate::trace::Ear,
    ) -> Self {
        let now = Instant::now();
        Self {
            #[cfg(feature = "tracing")]
            ear,
            id,
            link,
            hired: now,
            false_alarms: 0,
            sent_before_alarms: 0,
            ready: false,
            sentence: None,
            sentenced: None,
            in_flight: VecDeque::new(),
            is_slow: false,
            is_unrung: false,
            items: 0,
            outbox: VecDeque::new(),
            sent_of_first: 0,
            promised: 0,
            inbox: Vec::new(),
            moved: 0,
            budget: Budget::default(),
            // A thread is in it, if this process is.
            is_kin: child.is_inline(),
            done: 0,
            item_since: now,
            seen: Seen::not_begun(now),
            finished: None,
            told_time_at: None,
            chunk_since: now,
            told: Duration::ZERO,
            contexts: Vec::new(),
            quota: None,
            is_bloated: false,
            leaving: None,
            ready_since: None,
            initializing: Some(Duration::ZERO),
            working: Duration::ZERO,
            errands_done: 0,
            retried: 0,
            child: Arc::new(child),
        }
    }

    /// Whether it may have said something beside its results.
    #[inline]
    pub(crate) fn has_said(&self) -> bool {
        #[cfg(feature = "tracing")]
        return self.ear.has_news(self.link.said());
        #[cfg(not(feature = "tracing"))]
        false
    }

    /// Ends it: a process at once, a thread as soon as it is done with its item.
    pub(super) fn end(&mut self) {
        // It may finish its item before it dies, and must not begin another one then.
        self.link.close();
        if !self.child.is_inline() {
            // A process that cannot be killed is dead already: the notice of it is on its way.
            let _ = self.child.kill();
            return;
        }
        for frame in [Frame::resume(), Frame::quit()] {
            // The rings of a thread are its process' own: if they are corrupt, all is.
            let _ = self.send(&Arc::new(frame));
        }
    }

    /// Whether it can be given something to do.
    pub(crate) fn is_available(&self) -> bool {
        self.ready && self.sentence.is_none() && !self.is_spent() && self.leaving.is_none()
    }

    /// Whether it has done all that it is allowed to do.
    pub(crate) fn is_spent(&self) -> bool {
        self.quota == Some(0) || self.is_bloated
    }

    /// The item it is on, as far as is known.
    pub(crate) fn current_item(&self) -> Option<(CallId, usize)> {
        self.in_flight.front().map(|chunk| (chunk.call, chunk.next_item()))
    }

    /// Whether anything is expected from it.
    pub(crate) fn is_busy(&self) -> bool {
        !self.in_flight.is_empty() || !self.ready
    }

    pub(crate) fn has_outbox(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether what it writes is still believed.
    pub(crate) fn is_credible(&self) -> bool {
        !matches!(self.sentence, Some(Sentence::Corrupt(_) | Sentence::Nonsense))
    }

    /// Takes note of a wake-up; false when there were too many with nothing behind them: neither a result, nor room for what is
    /// still to be sent. Room counts once it is used, so that only what was taken does.
    ///
    /// A worker that only ever wakes its parent could otherwise keep it from ever sleeping.
    pub(crate) fn was_woken_by(&mut self, has_results: bool) -> bool {
        let has_taken = self.link.sent() - self.sent_before_alarms >= TAKEN_MIN;
        if has_results || has_taken {
            self.forget_alarms();
        } else {
            self.false_alarms += 1;
        }
        self.false_alarms <= FALSE_ALARMS_MAX
    }

    fn forget_alarms(&mut self) {
        (self.false_alarms, self.sent_before_alarms) = (0, self.link.sent());
    }

    /// Takes note that it has finished something.
    pub(crate) fn made_progress(&mut self, now: Instant) {
        self.forget_alarms();
        self.is_slow = self.is_slow && !self.link.can_be_revoked();
        (self.item_since, self.seen) = (now, Seen::not_begun(now));
    }

    /// Bytes of all frames that it was given.
    pub(crate) fn promised(&self) -> u64 {
        self.promised
    }

    /// Takes note that the first of what it was given is done, which took `elapsed`.
    pub(crate) fn book(&mut self, call: CallId, elapsed: Duration) {
        if !errand::is_one(call) {
            self.working += elapsed;
            return;
        }
        self.errands_done += 1;
        if call == errand::SETUP {
            self.initializing = Some(elapsed);
        }
    }

    /// How long it worked of the `elapsed` time in which it has finished something: by its own account, if that is less. It counts as
    /// little as it may: who says less than it was only gets longer chunks, of which what it does not begin is taken back.
    pub(crate) fn worked(&mut self, elapsed: Duration) -> Duration {
        if elapsed < ACCOUNT_FROM {
            return elapsed;
        }
        let told = self.link.spent();
        believed(told.saturating_sub(std::mem::replace(&mut self.told, told)), elapsed)
    }

    /// Whether a result may come from it before all of its chunk is done.
    pub(crate) fn has_long_chunk(&self) -> bool {
        self.in_flight.front().is_some_and(|chunk| chunk.left() > 1)
    }

    /// Items that it was given and that have no outcome.
    pub(crate) fn items_in_flight(&self) -> usize {
        self.items
    }

    /// `count` more items have an outcome.
    pub(crate) fn settle(&mut self, count: usize) {
        self.done += count as u64;
        self.items -= count;
    }

    /// How many values may come before its first chunk is done.
    pub(crate) fn values_expected(&self) -> usize {
        if self.ready { self.in_flight.front().map_or(0, Chunk::left) } else { 0 }
    }

    /// Passes over the whole values at `at` in the inbox that belong to the first chunk, and says how many they are.
    pub(crate) fn pass_values(&self, inbox: &[u8], at: &mut usize) -> usize {
        let expected = self.values_expected();
        let mut count = 0;
        while count < expected
            && let Ok(Some(result)) = self.link.whole_result(inbox, *at)
            && result.tag == answer::OK
        {
            let start = std::mem::replace(at, result.end);
            count += 1;
            // Neighbours are as long as a rule.
            let (first, rest) = inbox[start..].split_at(result.end - start);
            let alike = count_alike(first, rest, expected - count);
            *at += alike * first.len();
            count += alike;
        }
        count
    }

    /// Gives it a chunk, and before that the context of its call if it has not got it yet.
    pub(crate) fn give(
        &mut self,
        mut chunk: Chunk,
        context: Option<&SharedValue>,
    ) -> Result<(), Ungiven> {
        if let Some(context) = context.filter(|_| !self.contexts.contains(&chunk.call)) {
            let frame = Frame::context(chunk.call, context);
            self.send_beside(&frame)?;
            self.contexts.push(chunk.call);
            self.send(&Arc::new(frame))?;
        }
        let number = self.link.handles_sent();
        #[cfg(feature = "tracing")]
        self.link.set_verbosity(crate::trace::verbosity());
        self.send_beside(&chunk.frame)?;
        if chunk.is_moved() {
            // They are the worker's now: their peers learn that it is gone when it is, and not when the item is done.
            Arc::make_mut(&mut chunk.frame).let_go_of_handles();
            self.moved = number;
        }
        self.send(&chunk.frame)?;
        if self.in_flight.is_empty() {
            // Behind the send, so that a worker who looks need not wait for the clock.
            let now = Instant::now();
            (self.item_since, self.chunk_since, self.seen) = (now, now, Seen::not_begun(now));
        }
        self.items += chunk.left();
        if !errand::is_one(chunk.call) {
            self.quota = self.quota.map(|quota| quota.saturating_sub(chunk.left() as u64));
        }
        self.in_flight.push_back(Chunk { end: self.promised, ..chunk });
        Ok(())
    }

    /// Sends what goes beside a frame that is sent next.
    pub(crate) fn send_beside(&mut self, frame: &Frame) -> Result<(), Ungiven> {
        if frame.handles().is_empty() {
            return Ok(());
        }
        Ok(self.link.send_handles(frame).map_err(Ungiven::Unsent)??)
    }

    /// Gets back what was moved to it with a chunk that it has not begun, now that it is dead. Says whether that was there.
    ///
    /// There is one such chunk at most: what has handles is given only to a worker that has nothing else.
    pub(crate) fn salvage(&mut self, chunk: &mut Chunk) -> bool {
        let Some(handles) = self.link.take_back_handles(self.moved) else { return false };
        Arc::make_mut(&mut chunk.frame).regain_handles(handles);
        true
    }

    /// Where in the ring of tasks the worker has half of its work behind it.
    pub(crate) fn halfway(&self) -> u64 {
        match (&self.in_flight, self.in_flight.len()) {
            (_, 0) => 0,
            // It may be many messages.
            (chunks, 1) => chunks[0].end.saturating_sub(chunks[0].frame.len() as u64 / 2),
            (chunks, count) => chunks[(count - 1) / 2].end,
        }
    }

    /// Sends a frame behind all that was sent before.
    pub(crate) fn send(&mut self, frame: &Arc<Frame>) -> Result<(), LinkError> {
        self.promised += frame.len() as u64;
        self.is_unrung = true;
        if self.outbox.is_empty() {
            let sent = self.link.send(frame, 0)?;
            if sent == frame.len() {
                return Ok(());
            }
            self.sent_of_first = sent;
        }
        self.outbox.push_back(Arc::clone(frame));
        Ok(())
    }

    /// Sends as much of the outbox as there is room for.
    pub(crate) fn pump(&mut self) -> Result<(), LinkError> {
        self.is_unrung |= !self.outbox.is_empty();
        while let Some(frame) = self.outbox.front() {
            self.sent_of_first += self.link.send(frame, self.sent_of_first)?;
            if self.sent_of_first < frame.len() {
                break;
            }
            self.outbox.pop_front();
            self.sent_of_first = 0;
        }
        Ok(())
    }

    /// How many of the items in flight the worker has begun: all whose results are in the ring, and the one it is on.
    ///
    /// That is the worker's own account, which counts only as far as it is possible.
    pub(crate) fn begun(&self) -> usize {
        self.possible(self.link.started())
    }

    /// The same if it has started as many in all.
    fn possible(&self, started: u64) -> usize {
        let claimed = started.saturating_sub(self.done);
        usize::try_from(claimed).unwrap_or(usize::MAX).min(self.items_in_flight())
    }

    /// Whether items could be taken back from it now.
    pub(crate) fn can_be_revoked(&self) -> bool {
        self.is_available() && self.has_more_than_one()
    }

    /// Whether it has something that may be taken back, whatever it is allowed to do otherwise.
    pub(crate) fn has_more_than_one(&self) -> bool {
        self.items_in_flight() > 1 && self.link.can_be_revoked()
    }

    /// Takes back everything that it has not begun, oldest first.
    pub(crate) fn revoke(&mut self) -> Result<Vec<Chunk>, LinkError> {
        self.is_slow = true;
        let Some(started) = self.link.revoke() else { return Ok(Vec::new()) };
        // That is ruled: from here on the worker cannot begin another item.
        let mut begun = self.possible(started);
        let mut kept = VecDeque::new();
        let mut taken = Vec::new();
        for chunk in std::mem::take(&mut self.in_flight) {
            let stays = begun.min(chunk.left());
            begun -= stays;
            if stays == 0 {
                taken.push(chunk);
                continue;
            }
            let (cut, end) = (chunk.done + stays, chunk.frame.count());
            if cut < end {
                taken.push(chunk.part(cut..end));
            }
            kept.push_back(Chunk { frame: Arc::new(chunk.frame.part(0, cut)), ..chunk });
        }
        self.items = kept.iter().map(Chunk::left).sum();
        self.in_flight = kept;
        self.send(&Arc::new(Frame::resume()))?;
        Ok(taken)
    }
}

/// How many results that follow `first` in `rest` have its head, and so its tag and its length; at most `max`.
#[inline]
fn count_alike(first: &[u8], rest: &[u8], max: usize) -> usize {
    let head = first.first_chunk::<RESULT_HEAD_LEN>();
    let others = rest.chunks_exact(first.len()).take(max);
    others.take_while(|other| other.first_chunk::<RESULT_HEAD_LEN>() == head).count()
}

/// How long a worker has worked that says that it was `told`, of the time that has `elapsed`.
fn believed(told: Duration, elapsed: Duration) -> Duration {
    if told.is_zero() { elapsed } else { told.min(elapsed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_results_with_the_same_head_are_alike() {
        let result = |tag: u8, body: &[u8]| {
            let head = (body.len() as u64) << 8 | u64::from(tag);
            let mut bytes = [&head.to_le_bytes(), body].concat();
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes
        };
        let (first, other) = (result(answer::OK, b"abc"), result(answer::OK, b"xyz"));
        let alike = |rest: &[&[u8]], max| count_alike(&first, &rest.concat(), max);
        assert_eq!(alike(&[], 9), 0);
        assert_eq!(alike(&[&other, &first, &other], 9), 3);
        assert_eq!(alike(&[&other, &first, &other], 2), 2);
        assert_eq!(alike(&[&other, &other[..15]], 9), 1, "the second is not whole");
        assert_eq!(alike(&[&other, &result(answer::OK, b"abcd"), &other], 9), 1);
        assert_eq!(alike(&[&result(answer::FAILED, b"abc")], 9), 0);
        let nothing = result(answer::OK, b"");
        assert_eq!(count_alike(&nothing, &[&nothing[..], &nothing].concat(), 9), 2);
    }

    #[test]
    fn a_worker_is_believed_that_it_waited_and_not_that_it_did_more_or_nothing() {
        let ms = Duration::from_millis;
        assert_eq!(believed(ms(1), ms(8)), ms(1));
        assert_eq!(believed(ms(9), ms(8)), ms(8));
        assert_eq!(believed(ms(0), ms(8)), ms(8));
    }
}
