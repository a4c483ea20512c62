//! Queues and their halves in messages.

use procession_shm::transfer::TransferError;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::body::{Passport, Seat};
use super::{Getter, Putter, Queue};

const QUEUE: &str = "Queue";
const PUTTER: &str = "Putter";
const GETTER: &str = "Getter";

fn write<S: Serializer>(
    serializer: S,
    handle: &'static str,
    put: Option<&Seat>,
    get: Option<&Seat>,
) -> Result<S::Ok, S::Error> {
    Passport::of(handle, put, get).map_err(S::Error::custom)?.serialize(serializer)
}

fn incomplete(handle: &'static str) -> TransferError {
    TransferError::Malformed { handle, reason: "it comes without its socket" }
}

/// Works inside a channel only. The receiver gets a handle of the same queue.
impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, QUEUE, Some(&self.putter.seat), Some(&self.getter.seat))
    }
}

/// Works inside a channel only, from a process that is trusted.
impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seats = Passport::deserialize(deserializer)?.take_over().map_err(D::Error::custom)?;
        let (Some(put), Some(get)) = seats else { return Err(D::Error::custom(incomplete(QUEUE))) };
        Ok(Self { putter: Putter::new(put, true), getter: Getter::new(get, true) })
    }
}

/// Works inside a channel only. The receiver gets a handle of the same queue.
impl<T> Serialize for Putter<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, PUTTER, Some(&self.seat), None)
    }
}

/// Works inside a channel only, from a process that is trusted.
impl<'de, T> Deserialize<'de> for Putter<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seats = Passport::deserialize(deserializer)?.take_over().map_err(D::Error::custom)?;
        let put = seats.0.ok_or_else(|| D::Error::custom(incomplete(PUTTER)))?;
        Ok(Self::new(put, false))
    }
}

/// Works inside a channel only. The receiver gets a handle of the same queue.
impl<T> Serialize for Getter<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, GETTER, None, Some(&self.seat))
    }
}

/// Works inside a channel only, from a process that is trusted.
impl<'de, T> Deserialize<'de> for Getter<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seats = Passport::deserialize(deserializer)?.take_over().map_err(D::Error::custom)?;
        let get = seats.1.ok_or_else(|| D::Error::custom(incomplete(GETTER)))?;
        Ok(Self::new(get, false))
    }
}
