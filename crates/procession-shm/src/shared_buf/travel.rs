//! How a buffer gets from process to process.
//!
//! Between processes that trust each other the right to the elements travels, and the receiver maps their pages. From one that
//! is not trusted, what arrives is a copy: the sender may have kept a mapping, and an exclusive reference to memory that
//! somebody else writes to is undefined behaviour. Sealing the memory would prove that there is no such mapping, but what is
//! sealed cannot be written by us either, so a copy would follow anyway. The kernel makes it, by reading from the file: this
//! process never maps the sender's memory at all.

use std::sync::Arc;

use bytemuck::Pod;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SharedBuf;
use crate::backing::{Backing, RESERVED};
use crate::elements::{Checked, Place};
use crate::transfer::{self, TransferError, Trust};
use crate::window::{Access, Window};

const HANDLE: &str = "SharedBuf";

impl<T: Pod> SharedBuf<T> {
    fn receive(place: &Place) -> Result<Self, TransferError> {
        let trust = transfer::trust()?;
        let place = place.check::<T>(HANDLE)?;
        let Some(index) = place.descriptor else { return Ok(Self::empty()) };
        let backing = transfer::memory(index, RESERVED)?;
        place.lies_in(&backing, HANDLE)?;
        match trust {
            Trust::Trusting => Self::taken_over(backing, &place),
            Trust::Untrusting { .. } => Self::copied(&backing, &place),
        }
    }

    fn taken_over(backing: Backing, place: &Checked) -> Result<Self, TransferError> {
        let window = Window::new(Arc::new(backing), place.offset..place.end, Access::Write)?;
        Ok(Self::over(Some(Arc::new(window)), place.offset, place.len))
    }

    fn copied(theirs: &Backing, place: &Checked) -> Result<Self, TransferError> {
        transfer::take_copy(place.end - place.offset)?;
        let mut ours = Self::zeroed(place.len)?;
        theirs.read_exact(place.offset, bytemuck::cast_slice_mut(ours.as_mut_slice()))?;
        Ok(ours)
    }
}

/// Works inside a channel only. The buffer then belongs to the receiver, unless sending it fails.
impl<T: Pod> Serialize for SharedBuf<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attached = self.memory.leave(HANDLE, |window| {
            let attach =
                |window: &Arc<Window>| transfer::attach(HANDLE, window.backing().descriptor());
            window.as_ref().map(attach).transpose()
        });
        let descriptor = attached.map_err(S::Error::custom)?;
        let place = Place { descriptor, offset: self.offset as u64, len: self.len as u64 };
        place.serialize(serializer)
    }
}

/// Works inside a channel only. From a process that is not trusted it is a copy.
impl<'de, T: Pod> Deserialize<'de> for SharedBuf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = Place::deserialize(deserializer)?;
        transfer::received(Self::receive(&place)).map_err(D::Error::custom)
    }
}
