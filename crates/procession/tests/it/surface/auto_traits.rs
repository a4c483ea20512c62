//! What the compiler says of each public type, and how large errors are.

use super::*;
use procession::pipe::{PipeError, Violation};
use procession::queue::{Claim, Corrupt, Getter, Many, Putter};
use procession::sync::{
    BarrierError, BarrierWaitResult, Once, RwLockReadGuard, RwLockWriteGuard, SetOnceError,
    TooManyPermits, WaitTimeoutResult,
};
use procession::{
    Attempts, Cause, DecodeError, EncodeError, FamilyError, FreezeError, FreezeErrorKind,
    ImapStream, Insights, ItemTooLarge, Moved, Panic, PoolBuilder, ProcessBuilder, Ready, Sandbox,
    SegmentError, Share, SlowItem, StartMethod, Stdio, TooManyHandles, TransferError, UnsplitError,
    UnsplitErrorKind,
};
use procession::{doctor, pipe, queue, task};
use std::error::Error;
use std::future::Future;

fn send_and_sync<T: Send + Sync + Unpin>() {}

/// Moved from thread to thread, used by one at a time.
fn send<T: Send + Unpin>() {}

#[test]
fn handles_go_to_any_thread() {
    send_and_sync::<Pool>();
    send_and_sync::<Job<'_>>();
    send_and_sync::<Task<String>>();
    send_and_sync::<Canceller>();
    send_and_sync::<Process<String>>();
    send_and_sync::<ProcessHandle>();
    send_and_sync::<ProcessBuilder>();
    send_and_sync::<PoolBuilder>();
    send_and_sync::<task::AsCompleted<String>>();
    send_and_sync::<Putter<String>>();
    send_and_sync::<Getter<String>>();
    send_and_sync::<Claim<String>>();
    send_and_sync::<Many<String>>();
    send_and_sync::<queue::ItemStream<String>>();
    send_and_sync::<Queue<String>>();
    send_and_sync::<Shared<Mutex<u64>>>();
    send_and_sync::<SharedSlice<u64>>();
    send_and_sync::<SharedBuf<u64>>();
    send_and_sync::<Fd<fs::File>>();
    send_and_sync::<Exit>();
    send_and_sync::<Failure>();
    send_and_sync::<Report>();
    send::<Sender<String>>();
    send::<Receiver<String>>();
    send::<Connection<String, String>>();
    send::<Imap<'static, std::vec::IntoIter<u64>, u64>>();
    send::<ImapStream<'static, std::vec::IntoIter<u64>, u64>>();
    send::<pipe::MessageStream<String>>();
    send::<pipe::ConnectionStream<String, String>>();
    send::<pipe::RecvAsync<'_, String>>();
    send::<pipe::SendAsync<'_, String>>();
    send::<queue::GetAsync<'_, String>>();
    send::<queue::PutAsync<'_, String>>();
    send::<procession::UntilReady<'_, Queue<String>>>();
}

#[test]
fn what_is_asked_and_answered_goes_to_any_thread() {
    send_and_sync::<Insights>();
    send_and_sync::<Share>();
    send_and_sync::<SlowItem>();
    send_and_sync::<Cause>();
    send_and_sync::<Panic>();
    send_and_sync::<Attempts>();
    send_and_sync::<Ready>();
    send_and_sync::<task::Until>();
    send_and_sync::<Limits>();
    send_and_sync::<Sandbox>();
    send_and_sync::<StartMethod>();
    send_and_sync::<Stdio>();
    send_and_sync::<pipe::Builder>();
    send_and_sync::<queue::Builder<String>>();
    send_and_sync::<doctor::Report>();
    send_and_sync::<doctor::Check>();
    send_and_sync::<doctor::Status>();
    send_and_sync::<BarrierWaitResult>();
    send_and_sync::<WaitTimeoutResult>();
}

#[test]
fn primitives_are_shared_by_threads() {
    send_and_sync::<Mutex<u64>>();
    send_and_sync::<RwLock<u64>>();
    send_and_sync::<OnceLock<u64>>();
    send_and_sync::<Condvar>();
    send_and_sync::<Semaphore>();
    send_and_sync::<Barrier>();
    send_and_sync::<Event>();
    send_and_sync::<Once>();
}

/// A type has none of a trait if the compiler can tell which of two implementations is meant: one is for all types, the other
/// for those that have the trait.
macro_rules! assert_not {
    ($bound:path: $($type:ty),+ $(,)?) => {{
        trait Ambiguous<A> {
            fn check() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + $bound> Ambiguous<u8> for T {}
        $(<$type as Ambiguous<_>>::check();)+
    }};
}

#[test]
fn what_has_one_user_is_not_shared_or_copied() {
    assert_not!(Sync: Sender<u8>, Receiver<u8>, Connection<u8, u8>);
    assert_not!(Clone: Sender<u8>, Receiver<u8>, Connection<u8, u8>, SharedBuf<u8>, Task<u8>, Process<u8>, Pool);
    assert_not!(Sync: pipe::IntoIter<u8>, pipe::Iter<'static, u8>, pipe::Room<'static, u8>);
    assert_not!(Clone: Claim<u8>, Permit<'static>, Imap<'static, std::vec::IntoIter<u8>, u8>);
    assert_not!(Send: MutexGuard<'static, u8>, RwLockReadGuard<'static, u8>, RwLockWriteGuard<'static, u8>);
}

#[test]
fn a_failure_is_no_error_and_no_message_and_a_report_is_both() {
    assert_not!(Error: Failure);
    assert_not!(serde::Serialize: Failure);
    fn is_both<T: Error + Clone + serde::Serialize + serde::de::DeserializeOwned>() {}
    is_both::<Report>();
}

/// Can be returned through `?`, boxed, and sent to another thread; and is not so large that every `Result` pays for it.
#[track_caller]
fn error<E: Error + Send + Sync + 'static>() {
    assert!(size_of::<E>() < 128, "{} has {} bytes", std::any::type_name::<E>(), size_of::<E>());
}

#[test]
fn errors_are_small_and_go_anywhere() {
    error::<TaskError>();
    error::<SubmitError>();
    error::<PoolError>();
    error::<ProcessError>();
    error::<SpawnError>();
    error::<SendErrorKind>();
    error::<SendError<()>>();
    error::<RecvError>();
    error::<PipeError>();
    error::<Violation>();
    error::<queue::SendErrorKind>();
    error::<queue::RecvError>();
    error::<queue::QueueError>();
    error::<queue::JoinError>();
    error::<queue::TaskDoneError>();
    error::<LockError>();
    error::<BarrierError>();
    error::<SetOnceError<u64>>();
    error::<TooManyPermits>();
    error::<SegmentError>();
    error::<FreezeError<u64>>();
    error::<UnsplitError<u64>>();
    error::<Report>();
    error::<FreezeErrorKind>();
    error::<UnsplitErrorKind>();
    error::<EncodeError>();
    error::<DecodeError>();
    error::<TransferError>();
    error::<FamilyError>();
    error::<Corrupt>();
    error::<pipe::Corrupt>();
    error::<Moved>();
    error::<ItemTooLarge>();
    error::<TooManyHandles>();
    error::<queue::SendError<()>>();
    assert!(size_of::<Failure>() < 128);
}

#[test]
fn what_is_awaited_is_a_future_with_the_result() {
    fn future<O, F: Future<Output = O> + Send + Unpin + 'static>() {}
    future::<Result<u64, TaskError>, Task<u64>>();
    future::<Result<u64, ProcessError>, Process<u64>>();
    fn borrows<O, F: Future<Output = O> + Send + Unpin>() {}
    borrows::<Result<u64, RecvError>, pipe::RecvAsync<'_, u64>>();
    borrows::<Result<(), SendError<u64>>, pipe::SendAsync<'_, u64>>();
    borrows::<Result<u64, queue::RecvError>, queue::GetAsync<'_, u64>>();
    borrows::<Result<(), queue::SendError<u64>>, queue::PutAsync<'_, u64>>();
}

#[test]
fn small_answers_are_copied() {
    fn copy<T: Copy + Eq>() {}
    copy::<Exit>();
    copy::<StartMethod>();
    copy::<task::Until>();
    copy::<WaitTimeoutResult>();
}
