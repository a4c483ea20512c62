//! A value as a frame, and back.

use procession_shm::SharedSlice;
use procession_shm::transfer::{Outgoing, Received, Trust, receive_scope, send_scope};
use std::os::fd::OwnedFd;

use super::control::{GRANULE, Settings};
use super::frame::{HEADER_LEN, Header, Kind, TAG_LEN, frame_len};
use super::packets::DESCRIPTORS_MAX;
use super::{RecvError, SendErrorKind};
use crate::Message;
use crate::codec::{self, Limits};

/// A message that is longer than the ring divided by this goes into a file of its own.
const SHARE: u64 = 4;

/// The memory that a decoded value may take: this many times its bytes, and at least [`ALLOCATION_BYTES_MIN`].
const ALLOCATION_FACTOR: usize = 16;
const ALLOCATION_BYTES_MIN: usize = 1 << 30;

/// Appends the frame of `value` to `buffer`, which begins at a multiple of 8 bytes, and says what goes beside it. After an
/// error there may be anything in the buffer.
#[inline]
pub(super) fn encode<T: Message>(
    value: &T,
    buffer: &mut Vec<u8>,
    settings: &Settings,
) -> Result<Vec<Outgoing>, SendErrorKind> {
    if append_memory(value, buffer, settings) {
        return Ok(Vec::new());
    }
    encode_value(value, buffer, settings)
}

/// Appends the frame of a value whose memory is its message, unless that is long or too long. False if nothing was appended.
#[inline]
fn append_memory<T: Message>(value: &T, buffer: &mut Vec<u8>, settings: &Settings) -> bool {
    let Some(memory) = codec::as_message(value) else { return false };
    if !is_small(memory.len(), settings) || memory.len() as u64 > settings.len_max {
        return false;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a quarter of the largest ring is below 4 GiB"
    )]
    let header = Header { len: memory.len() as u32, kind: Kind::Inline, descriptors: 0 };
    let padding = frame_len(memory.len()) - HEADER_LEN - memory.len();
    buffer.reserve(frame_len(memory.len()));
    buffer.extend_from_slice(&header.to_bytes());
    buffer.extend_from_slice(memory);
    buffer.extend_from_slice(&[0; GRANULE][..padding]);
    true
}

/// Whether a body of `len` bytes lies in the ring, and not in a file.
#[inline]
fn is_small(len: usize, settings: &Settings) -> bool {
    (len + HEADER_LEN + TAG_LEN) as u64 <= settings.capacity / SHARE
}

fn encode_value<T: Message>(
    value: &T,
    buffer: &mut Vec<u8>,
    settings: &Settings,
) -> Result<Vec<Outgoing>, SendErrorKind> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_LEN]);
    let outgoing = encode_body(value, buffer)?;
    let len = buffer.len() - start - HEADER_LEN;
    if len as u64 > settings.len_max {
        return Err(too_large(len, settings));
    }
    let is_small = is_small(len, settings);
    let mut handles = Vec::new();
    if outgoing.descriptors().len() > 0 {
        handles.push(outgoing);
    }
    if !is_small {
        handles.push(move_apart(start, buffer)?);
    }
    let descriptors = count_descriptors(&handles)?;
    if descriptors > 0 {
        let at = start + HEADER_LEN;
        buffer.splice(at..at, [0; TAG_LEN]);
    }
    let len = u32::try_from(buffer.len() - start - HEADER_LEN);
    let len = len.expect("a quarter of the largest ring is below 4 GiB");
    let kind = if is_small { Kind::Inline } else { Kind::Apart };
    let header = Header { len, kind, descriptors };
    buffer[start..start + HEADER_LEN].copy_from_slice(&header.to_bytes());
    buffer.resize(buffer.len().next_multiple_of(GRANULE), 0);
    Ok(handles)
}

#[cold]
fn too_large(len: usize, settings: &Settings) -> SendErrorKind {
    SendErrorKind::TooLarge { len, limit: usize::try_from(settings.len_max).unwrap_or(usize::MAX) }
}

#[inline]
fn encode_body<T: Message>(value: &T, buffer: &mut Vec<u8>) -> Result<Outgoing, SendErrorKind> {
    let mut encode = || codec::encode_with(value, buffer, &Limits::DEFAULT);
    if codec::is_plain::<T>() {
        encode()?;
        return Ok(Outgoing::default());
    }
    let encoded = send_scope(encode).map_err(|unsent| SendErrorKind::Encode(unsent.error));
    encoded.map(|((), outgoing)| outgoing)
}

/// Puts the body that begins behind the header at `start` into a file, and the handle of the file in its place.
#[cold]
fn move_apart(start: usize, buffer: &mut Vec<u8>) -> Result<Outgoing, SendErrorKind> {
    let body = &buffer[start + HEADER_LEN..];
    let file = SharedSlice::from_slice(body).map_err(std::io::Error::from)?;
    buffer.truncate(start + HEADER_LEN);
    encode_body(&file, buffer)
}

fn count_descriptors(handles: &[Outgoing]) -> Result<u16, SendErrorKind> {
    let count = handles.iter().map(|outgoing| outgoing.descriptors().len()).sum();
    let is_few = count <= DESCRIPTORS_MAX;
    let few = if is_few { u16::try_from(count).ok() } else { None };
    few.ok_or(SendErrorKind::TooManyDescriptors { count, limit: DESCRIPTORS_MAX })
}

/// The value of an item.
///
/// One whose memory is its message is copied right into its place: on the way through a function that may also return an error it
/// would be stored in one way and loaded in another, and the load would wait until the stores are in the cache.
#[inline]
pub(super) fn decode<T: Message>(
    bytes: &[u8],
    kind: Kind,
    descriptors: Vec<OwnedFd>,
) -> Result<T, RecvError> {
    match codec::read_fixed(bytes) {
        Some(value) if kind == Kind::Inline => Ok(value),
        _ => decode_any(bytes, kind, descriptors),
    }
}

fn decode_any<T: Message>(
    bytes: &[u8],
    kind: Kind,
    mut descriptors: Vec<OwnedFd>,
) -> Result<T, RecvError> {
    match kind {
        Kind::Inline => decode_body(bytes, descriptors),
        Kind::Apart => {
            let file = descriptors.pop().into_iter().collect();
            let body: SharedSlice<u8> = decode_body(bytes, file)?;
            decode_body(&body, descriptors)
        }
    }
}

#[inline]
fn decode_body<T: Message>(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<T, RecvError> {
    let allocation_bytes = bytes.len().saturating_mul(ALLOCATION_FACTOR).max(ALLOCATION_BYTES_MIN);
    let limits = Limits { allocation_bytes, ..Limits::DEFAULT };
    let decode = || codec::decode(bytes, &limits);
    if codec::is_plain::<T>() {
        return decode().map_err(RecvError::Decode);
    }
    let Received { value, .. } = receive_scope(descriptors, Trust::Trusting, decode);
    value.map_err(RecvError::Decode)
}
