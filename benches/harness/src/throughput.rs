//! One way: how much goes through.

use crate::clock::now_ns;
use crate::payload::burst;
use crate::{Effort, Figure, Outcome};

/// Calls `send` for a while, then `finish`, which returns when the other side has taken everything. Each message has `len` bytes.
///
/// # Errors
///
/// Those of `send` and `finish`.
pub fn of_messages(
    effort: Effort,
    len: usize,
    mut send: impl FnMut() -> Result<(), Box<dyn std::error::Error>>,
    finish: impl FnOnce() -> Result<(), Box<dyn std::error::Error>>,
) -> Outcome {
    let (start, mut count) = (now_ns(), 0);
    effort.repeat(|| {
        count += burst(len);
        (0..burst(len)).try_for_each(|_| send())
    })?;
    finish()?;
    let ns = now_ns() - start;
    Ok(vec![
        Figure::rate("messages", count, ns),
        Figure::bandwidth("bytes", count * len as u64, ns),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_sent_is_counted_when_it_has_arrived() {
        let (sent, finished) = (std::cell::Cell::new(0_u64), std::cell::Cell::new(false));
        let send = || {
            assert!(!finished.get());
            sent.set(sent.get() + 1);
            Ok(())
        };
        let finish = || {
            finished.set(true);
            Ok(())
        };
        let figures = of_messages(Effort::Quick, 64, send, finish).unwrap();
        assert!(finished.get());
        assert_eq!(sent.get() % burst(64), 0);
        assert!(figures[0].to_string().starts_with("messages /s "));
    }
}
