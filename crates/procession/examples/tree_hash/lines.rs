//! The format of `sha256sum`, byte for byte.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;

/// Where the lines go, as they come or sorted by path.
pub(crate) struct Lines<W: Write> {
    to: BufWriter<W>,
    /// Kept until the end, if they are to be sorted.
    kept: Option<Vec<(OsString, [u8; 32])>>,
}

impl<W: Write> Lines<W> {
    pub(crate) fn new(to: W, is_sorted: bool) -> Self {
        let kept = is_sorted.then(Vec::new);
        Self { to: BufWriter::with_capacity(64 << 10, to), kept }
    }

    pub(crate) fn put(&mut self, path: &OsStr, digest: &[u8; 32]) -> io::Result<()> {
        match &mut self.kept {
            Some(kept) => {
                kept.push((path.to_owned(), *digest));
                Ok(())
            }
            None => write_line(&mut self.to, path, digest),
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        let mut kept = self.kept.take().unwrap_or_default();
        kept.sort_unstable();
        for (path, digest) in &kept {
            write_line(&mut self.to, path, digest)?;
        }
        self.flush()
    }
}

/// Two blanks stand between hash and name. A name that would break the line is escaped, and a backslash in front says so. All
/// other bytes are written as they are, UTF-8 or not.
fn write_line(out: &mut impl Write, path: &OsStr, digest: &[u8; 32]) -> io::Result<()> {
    let path = path.as_bytes();
    let is_plain = path.iter().all(|&byte| escape(byte).is_none());
    if !is_plain {
        out.write_all(b"\\")?;
    }
    out.write_all(&hex(digest))?;
    out.write_all(b"  ")?;
    if is_plain { out.write_all(path) } else { write_escaped(out, path) }?;
    out.write_all(b"\n")
}

fn write_escaped(out: &mut impl Write, path: &[u8]) -> io::Result<()> {
    path.iter().try_for_each(|&byte| match escape(byte) {
        Some(escaped) => out.write_all(escaped),
        None => out.write_all(&[byte]),
    })
}

fn escape(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'\\' => Some(b"\\\\"),
        b'\n' => Some(b"\\n"),
        b'\r' => Some(b"\\r"),
        _ => None,
    }
}

fn hex(digest: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
