//! What was dropped is gone. One test alone in its process, so that the counts are exact.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "shared/travel.rs"]
mod travel;

use backstage::holdings::{assert_all_come_back, mappings};
use procession_shm::transfer::{TransferError, Trust};
use procession_shm::{Shared, SharedBuf, SharedSlice};
use travel::{UNTRUSTING, encode, forged, receive, send, travel};

fn one_round() {
    let shared = Shared::new([0_u64; 100]).unwrap();
    let _shared: (Shared<[u64; 100]>, Shared<[u64; 100]>) = travel((&shared, &shared));

    let parts = SharedBuf::<u32>::zeroed(10_000).unwrap().split_into(3);
    let parts: Vec<SharedBuf<u32>> = parts.into_iter().map(travel).collect();
    let frozen = SharedBuf::unsplit(parts).unwrap().freeze().unwrap();
    let part: SharedSlice<u32> = receive(send(frozen.slice(5000..)), UNTRUSTING).unwrap();
    assert_eq!(part.len(), 5000);

    let copy: SharedBuf<u8> =
        receive(send(SharedBuf::from_slice(&[1_u8; 100]).unwrap()), UNTRUSTING).unwrap();
    drop(encode(&copy).unwrap());
    encode(&copy).unwrap().1.commit();

    let fd = send(SharedBuf::<u8>::zeroed(1).unwrap()).fds.remove(0);
    let lie: Result<SharedBuf<u8>, TransferError> = receive(forged(fd, 0, 2), Trust::Trusting);
    assert!(lie.is_err());
}

#[test]
fn dropping_frees_memory_and_descriptors() {
    assert_all_come_back(one_round);
    assert_eq!(mappings(), 0);
}
