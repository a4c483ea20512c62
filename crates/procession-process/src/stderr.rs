//! Last words: one line on standard error from places where nothing of std may be assumed.

use std::fmt::{self, Write};

use rustix::stdio::stderr;

/// Writes `procession: <text>` as one line. Does not allocate and takes no lock, so it may be
/// called before std is initialised, from a thread that aborts, and from a signal handler.
pub(crate) fn complain(text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; 512], used: 0 };
    // A line that is too long is cut: `Line` itself never fails.
    let written = writeln!(line, "procession: {text}");
    debug_assert!(written.is_ok(), "Line::write_str always succeeds");
    line.write_out();
}

struct Line {
    bytes: [u8; 512],
    used: usize,
}

impl Line {
    fn write_out(&self) {
        let mut rest = &self.bytes[..self.used];
        // A standard error that is closed or full has nobody to be told so.
        while let Ok(written @ 1..) = rustix::io::write(stderr(), rest) {
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.used..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.used += fits;
        Ok(())
    }
}
