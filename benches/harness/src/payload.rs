//! What is sent.

use serde::{Deserialize, Serialize};

/// A message of several parts, as programs have them: 56 bytes and a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    id: u64,
    kind: Kind,
    at: (f64, f64),
    name: String,
}

/// The bytes in a [`Record`].
pub const RECORD_LEN: usize = size_of::<Record>() + NAME.len();

const NAME: &str = "a name of some bytes";

/// What a [`Record`] is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Empty,
    Counted(u32),
    Named { by: u16, times: u32 },
}

impl Record {
    /// Number `id` of many that differ.
    pub fn new(id: u64) -> Self {
        let kind = match id % 3 {
            0 => Kind::Empty,
            1 => Kind::Counted(1000),
            _ => Kind::Named { by: 7, times: 100_000 },
        };
        Self { id: 1_000_000_007 * id, kind, at: (0.5, -0.5), name: NAME.to_owned() }
    }

    /// Reads of each part something, as somebody would who uses what he got.
    pub fn touch(&self) -> u64 {
        let kind = match self.kind {
            Kind::Empty => 0,
            Kind::Counted(count) => u64::from(count),
            Kind::Named { by, times } => u64::from(by) + u64::from(times),
        };
        self.id ^ kind ^ self.at.0.to_bits() ^ self.at.1.to_bits() ^ touch(self.name.as_bytes())
    }
}

/// `len` bytes that are not all the same.
pub fn source(len: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(len).collect()
}

/// Reads one byte of each cache line, as somebody would who uses what he got, and gives their sum.
pub fn touch(bytes: &[u8]) -> u64 {
    bytes.iter().step_by(64).map(|&byte| u64::from(byte)).sum()
}

/// How many messages of `len` bytes are sent between two looks at the clock.
pub fn burst(len: usize) -> u64 {
    (65_536 / len.max(1)).clamp(1, 1024) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cache_line_is_touched_once() {
        assert_eq!(touch(&source(256)), 64 + 128 + 192);
        assert_eq!(touch(&[5; 8]), 5);
    }

    #[test]
    fn bursts_have_a_size_that_makes_sense() {
        assert_eq!([1, 64, 1 << 20].map(burst), [1024, 1024, 1]);
    }
}
