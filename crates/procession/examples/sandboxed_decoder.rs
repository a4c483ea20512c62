//! Decodes images that strangers have sent, in a pool whose workers may compute and do nothing else. One of the images is an
//! attack: it takes its decoder over, and all that this gives it is a worker from which nothing can be reached.
//!
//! In a program of your own it needs `cargo add procession --features sandbox`.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use procession::prelude::*;
use procession::{Sandbox, parent};

/// Counts the black pixels of a plain bitmap: "P1", width, height, and a digit for each pixel.
fn black_pixels(image: String) -> procession::Result<usize> {
    if let Some(orders) = image.strip_prefix("exploit ") {
        return Err(obey(orders).into());
    }
    let mut words = image.split_whitespace();
    if words.next() != Some("P1") {
        return Err("it is no plain bitmap".into());
    }
    let mut number = || words.next().unwrap_or_default().parse::<usize>();
    let pixels = number()?.checked_mul(number()?).ok_or("it is too large")?;
    let digits: String = words.collect();
    if digits.len() != pixels {
        return Err(format!("it has {} pixels and says {pixels}", digits.len()).into());
    }
    Ok(digits.matches('1').count())
}

/// What a decoder does that has been taken over.
fn obey(orders: &str) -> String {
    let carried_out = orders.split_whitespace().filter(|order| match *order {
        "read" => fs::read("/etc/passwd").is_ok(),
        "write" => fs::write("/tmp/procession-was-here", "").is_ok(),
        "call" => TcpStream::connect("127.0.0.1:80").is_ok(),
        "run" => Command::new("true").status().is_ok(),
        "kill" => parent().is_some_and(|parent| parent.kill().is_ok()),
        _ => false,
    });
    format!("it took its decoder over, and then could do {} things", carried_out.count())
}

fn main() -> procession::Result<()> {
    let pool = Pool::builder().workers(2).sandbox(Sandbox::new().compute_only()).build()?;
    let images = ["P1 3 2 101 010", "exploit read write call run kill", "P1 9 9 1", "P1 2 2 1111"];
    for (image, pixels) in images.iter().zip(pool.imap(black_pixels, images)) {
        match pixels {
            Ok(pixels) => println!("{image}: {pixels} black pixels"),
            Err(TaskError::Failed { report, .. }) => println!("{image}: {report}"),
            Err(error) => Err(error)?,
        }
    }
    Ok(())
}
