//! One process sends, another receives until the end of the stream.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::pipe::{Receiver, Sender};
use procession::prelude::*;

fn send(to: Sender<String>) -> procession::Result<()> {
    for n in 1..=5 {
        to.send(format!("message {n}"))?;
    }
    Ok(()) // its end of the pipe goes away with it, and that is the end of the stream
}

fn receive(from: Receiver<String>) -> procession::Result<()> {
    for message in from {
        println!("received {}", message?);
    }
    println!("end of the stream");
    Ok(())
}

fn main() -> procession::Result<()> {
    let (to, from) = pipe::simplex()?;
    let sending = Process::spawn(send, to)?;
    let receiving = Process::spawn(receive, from)?;
    sending.join()?;
    receiving.join()?;
    Ok(())
}
