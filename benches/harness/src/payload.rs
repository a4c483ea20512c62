//! What is sent.

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
