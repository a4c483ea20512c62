use std::ffi::CString;
use std::os::fd::AsFd;

use proptest::prelude::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

fn message<'a>(name: &'a str, payload: Payload<'a>) -> Message<'a> {
    let identity = crate::image::identity().clone();
    Message {
        identity,
        entry: 77,
        name,
        parent_name: "parent",
        settings: Cow::default(),
        core_dumps: true,
        ignore_interrupt: false,
        has_pidfd: false,
        cores: 1,
        is_zygote: false,
        payload,
    }
}

#[test]
fn the_largest_message_with_the_most_descriptors_arrives() {
    let (ours, theirs) = pair();
    let name = "n".repeat(crate::launcher::NAME_BYTES_MAX);
    let payload = vec![5; INLINE_PAYLOAD_BYTES_MAX];
    let descriptors = vec![ours.as_fd(); DESCRIPTORS_MAX];
    send(&ours, &message(&name, Payload::Inline(&payload)), &descriptors).unwrap();
    let packet = Packet::receive(&theirs).unwrap();
    assert_eq!(packet.descriptors.len(), DESCRIPTORS_MAX);
    let message = packet.message().unwrap();
    assert_eq!((message.entry, message.name), (77, name.as_str()));
    assert!(matches!(message.payload, Payload::Inline(bytes) if bytes == payload));
}

#[test]
fn a_message_that_is_longer_than_a_packet_arrives() {
    let (ours, theirs) = pair();
    let unset = vec!["LD_X".repeat(100); 1000];
    let settings = Cow::Owned(Settings { unset, ..Settings::default() });
    let long = Message { settings, ..message("long", Payload::Inline(&[5; 100])) };
    send(&ours, &long, &[ours.as_fd()]).unwrap();
    let packet = Packet::receive(&theirs).unwrap();
    assert_eq!(packet.descriptors.len(), 1);
    let arrived = packet.message().unwrap();
    assert_eq!((arrived.entry, &arrived.settings.unset), (77, &long.settings.unset));
    assert!(matches!(arrived.payload, Payload::Inline(bytes) if bytes == [5; 100]));
}

#[test]
fn a_letter_without_its_memory_is_refused() {
    let (ours, theirs) = pair();
    let letter = Letter::<&Message<'_>>::Memory { len_bytes: 3 };
    let bytes = postcard::to_stdvec(&letter).unwrap();
    packet::send(&ours, &bytes, &[], SendFlags::DONTWAIT).unwrap();
    let refusal = Packet::receive(&theirs).unwrap_err();
    assert!(format!("{refusal:?}").contains("without its descriptors"), "{refusal:?}");
    assert!(Packet { bytes, descriptors: Vec::new() }.message().is_err());
}

#[test]
fn a_message_with_something_behind_it_is_refused() {
    let message = message("x", Payload::Memory { len_bytes: 3 });
    let mut bytes = postcard::to_stdvec(&Letter::Here(&message)).unwrap();
    let packet = |bytes: &[u8]| Packet { bytes: bytes.to_vec(), descriptors: Vec::new() };
    assert!(packet(&bytes).message().is_ok());
    bytes.push(0);
    assert!(packet(&bytes).message().is_err());
}

#[test]
fn a_closed_peer_is_a_parent_that_is_gone() {
    let (ours, theirs) = pair();
    drop(ours);
    let refusal = Packet::receive(&theirs).unwrap_err();
    assert!(format!("{refusal:?}").contains("code: 113"), "{refusal:?}");
}

proptest! {
    #[test]
    fn a_variable_comes_back(descriptor in 3..i32::MAX, parent: u32, depth in 1..u32::MAX, hook: u64) {
        let variable = Variable { descriptor, parent, depth, hook };
        let value = CString::new(variable.to_string()).unwrap();
        prop_assert_eq!(Variable::parse(&value), Some(variable));
    }

    #[test]
    fn any_value_is_refused_or_one_that_is_written_so(value in "[0-9,+ -]{0,24}") {
        let parsed = Variable::parse(&CString::new(value.clone()).unwrap());
        prop_assert!(parsed.is_none_or(|variable| variable.to_string() == value));
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let packet = Packet { bytes, descriptors: Vec::new() };
        if let Ok(message) = packet.message() {
            prop_assert!(message.name.len() <= packet.bytes.len());
        }
    }
}
