//! Blurs an image on four processes that all read the same pixels, and copies none of them from one process to another.
//!
//! The image is a [`SharedSlice`], which any number of processes may read. Each process writes its rows into a [`SharedBuf`] of
//! its own, freezes that, and sends the handle: a few bytes and a descriptor, whatever the size of the image.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::ops::Range;

use procession::pipe::Sender;
use procession::prelude::*;

const WIDTH: usize = 1 << 10;
const HEIGHT: usize = 1 << 10;

/// The mean of a pixel and those around it that exist.
fn blurred(image: &[u8], x: usize, y: usize) -> u8 {
    let (mut sum, mut count) = (0, 0);
    for y in y.saturating_sub(1)..=(y + 1).min(HEIGHT - 1) {
        for x in x.saturating_sub(1)..=(x + 1).min(WIDTH - 1) {
            sum += u32::from(image[y * WIDTH + x]);
            count += 1;
        }
    }
    u8::try_from(sum / count).unwrap_or(u8::MAX)
}

fn blur(
    image: SharedSlice<u8>,
    rows: Range<usize>,
    to: Sender<SharedSlice<u8>>,
) -> procession::Result<()> {
    let mut strip = SharedBuf::zeroed(rows.len() * WIDTH)?;
    let pixels = rows.flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
    for (pixel, (x, y)) in strip.as_mut_slice().iter_mut().zip(pixels) {
        *pixel = blurred(&image, x, y);
    }
    to.send(strip.freeze()?)?;
    Ok(())
}

/// A chessboard with fields of 64 by 64 pixels.
fn chessboard() -> procession::Result<SharedSlice<u8>> {
    let mut image = SharedBuf::zeroed(WIDTH * HEIGHT)?;
    for (at, pixel) in image.as_mut_slice().iter_mut().enumerate() {
        let is_white = (at % WIDTH / 64 + at / WIDTH / 64).is_multiple_of(2);
        *pixel = if is_white { 255 } else { 0 };
    }
    Ok(image.freeze()?)
}

fn main() -> procession::Result<()> {
    let image = chessboard()?;
    let mut strips = Vec::new();
    for part in 0..4 {
        let rows = HEIGHT * part / 4..HEIGHT * (part + 1) / 4;
        let (to, from) = pipe::simplex()?;
        strips.push((from, spawn!(blur(&image, rows, to))?));
    }
    let mut greys = 0;
    for (from, child) in strips {
        let strip = from.recv()?;
        greys += strip.iter().filter(|pixel| (1..255).contains(*pixel)).count();
        child.join()?;
    }
    println!("{greys} pixels lie on an edge");
    Ok(())
}
