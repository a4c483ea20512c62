//! The scopes in which handles get into messages and out of them.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::travel::{encode, send};
use procession_shm::transfer::{
    self, Moved, TransferError, Trust, Unique, receive_scope, send_scope,
};
use procession_shm::{Shared, SharedBuf, SharedSlice};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, U32Deserializer};

fn descriptor() -> Arc<OwnedFd> {
    Arc::new(std::fs::File::open("/dev/null").unwrap().into())
}

#[test]
fn outside_of_a_channel_a_handle_is_an_error() {
    assert!(postcard::to_stdvec(&Shared::new(1_u8).unwrap()).is_err());
    assert!(postcard::to_stdvec(&SharedBuf::<u8>::zeroed(0).unwrap()).is_err());
    assert!(postcard::to_stdvec(&SharedSlice::<u8>::default()).is_err());
    let error = transfer::attach("Shared", &descriptor()).unwrap_err();
    assert!(
        error.to_string().starts_with("a Shared can only be encoded into a channel"),
        "{error}"
    );

    let number: U32Deserializer<Error> = 0_u32.into_deserializer();
    let error = Shared::<u8>::deserialize(number).unwrap_err();
    assert!(
        error.to_string().starts_with("a handle can only be decoded from a channel"),
        "{error}"
    );
}

#[test]
fn a_failed_encode_outside_of_a_channel_leaves_the_buffer_alone() {
    let mut buffer = SharedBuf::from_slice(&[1_u8, 2]).unwrap();
    assert!(postcard::to_stdvec(&buffer).is_err());
    assert_eq!(buffer.as_mut_slice(), [1, 2]);
}

#[test]
fn one_descriptor_has_one_index() {
    let (first, second) = (descriptor(), descriptor());
    let indices = || -> Result<Vec<u32>, TransferError> {
        [&first, &second, &first].into_iter().map(|fd| transfer::attach("Fd", fd)).collect()
    };
    let (indices, outgoing) = send_scope(indices).unwrap();
    assert_eq!(indices, [0, 1, 0]);
    assert_eq!(outgoing.descriptors().len(), 2);
    assert!(!outgoing.needs_family());
}

#[test]
fn a_message_inside_a_message_is_its_own() {
    let (inner, outer) = send_scope(|| {
        transfer::attach("Fd", &descriptor())?;
        let inner = send_scope(|| transfer::attach("Fd", &descriptor()));
        transfer::attach("Fd", &descriptor())?;
        Ok::<_, TransferError>(inner.unwrap())
    })
    .unwrap();
    assert_eq!((inner.0, inner.1.descriptors().len()), (0, 1));
    assert_eq!(outer.descriptors().len(), 2);
}

#[test]
fn a_panic_closes_the_scope_and_undoes_it() {
    let mut buffer = SharedBuf::from_slice(&[1_u8, 2]).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        send_scope(|| -> Result<(), ()> {
            postcard::to_stdvec(&buffer).unwrap();
            panic!("in a Serialize implementation")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(buffer.as_mut_slice(), [1, 2]);
    assert!(matches!(
        transfer::attach("Fd", &descriptor()),
        Err(TransferError::NotSending { handle: "Fd" })
    ));
}

#[test]
fn a_failed_encode_undoes_what_had_left() {
    let mut buffer = SharedBuf::from_slice(&[1_u8, 2]).unwrap();
    let unsent = send_scope(|| {
        postcard::to_stdvec(&buffer).unwrap();
        Err::<(), _>("the rest is too deep")
    });
    let unsent = unsent.unwrap_err();
    assert_eq!(unsent.error, "the rest is too deep");
    assert!(unsent.failure.is_none(), "no handle is to blame");
    assert_eq!(buffer.as_mut_slice(), [1, 2]);
}

#[test]
fn descriptors_are_shared_or_taken() {
    let fds = vec![descriptor(), descriptor()].into_iter().map(|fd| Arc::into_inner(fd).unwrap());
    let received = receive_scope(fds.collect::<Vec<_>>(), Trust::Trusting, || {
        let shared = (transfer::descriptor(0).unwrap(), transfer::descriptor(0).unwrap());
        assert!(Arc::ptr_eq(&shared.0, &shared.1));
        assert!(transfer::take_descriptor(0).is_err(), "others have it");
        assert!(transfer::take_descriptor(1).is_ok());
        assert!(transfer::take_descriptor(1).is_err(), "it is gone");
        assert!(transfer::descriptor(1).is_err(), "it is gone");
    });
    let first = received.failure.unwrap();
    assert!(matches!(first, TransferError::NoDescriptor { index: 0, count: 2 }), "{first}");
}

#[test]
fn what_can_have_one_owner_has_one() {
    let end = Unique::new(String::from("an end"));
    assert_eq!(end.with(String::len), Ok(6));
    let write = |text: &String| Ok(text.len());
    assert!(matches!(end.leave("Sender", write), Err(TransferError::NotSending { .. })));

    let failing = |_: &String| -> Result<(), _> { Err(TransferError::NotReceiving) };
    let unsent = send_scope(|| end.leave("Sender", failing)).unwrap_err();
    assert!(matches!(unsent.failure, Some(TransferError::NotReceiving)));
    assert!(end.with(|_| ()).is_ok(), "still here");

    let (len, outgoing) = send_scope(|| end.leave("Sender", write)).unwrap();
    assert_eq!(len, 6);
    assert_eq!((end.with(|_| ()), end.take()), (Err(Moved), Err(Moved)));
    drop(outgoing);
    let (_, outgoing) = send_scope(|| end.leave("Sender", write)).unwrap();
    outgoing.commit();
    assert_eq!(end.take(), Err(Moved));

    let kept = Unique::new(5);
    assert_eq!((kept.take(), kept.take()), (Ok(5), Err(Moved)));
}

#[test]
fn a_message_outlives_the_handle_that_went_into_it() {
    let buffer = SharedBuf::from_slice(&[1_u8, 2]).unwrap();
    let (_, outgoing) = encode(&buffer).unwrap();
    drop(buffer);
    assert_eq!(outgoing.descriptors().len(), 1);
    outgoing.commit();
}

#[test]
fn the_limit_counts_down() {
    let message = send(());
    let received = receive_scope(message.fds, Trust::Untrusting { copy_bytes_max: 10 }, || {
        transfer::take_copy(4).unwrap();
        transfer::take_copy(6).unwrap();
        assert_eq!(transfer::trust().unwrap(), Trust::Untrusting { copy_bytes_max: 0 });
        transfer::take_copy(1)
    });
    assert!(matches!(received.value, Err(TransferError::CopyLimit { len: 1, left: 0 })));
}
