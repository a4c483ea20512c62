//! Names and process ids of main and of its children.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;

fn introduce() {
    let me = procession::current();
    match procession::parent() {
        Some(parent) => println!("{} {} child of {}", me.name(), me.pid(), parent.pid()),
        None => println!("{} {}", me.name(), me.pid()),
    }
}

fn main() -> procession::Result<()> {
    introduce();
    spawn!(introduce())?.join()?;
    spawn!(introduce())?.join()?;
    let named = Process::builder().name("worker bee").spawn(|()| introduce(), ())?;
    println!("main calls it {} {}", named.name(), named.pid());
    named.join()?;
    Ok(())
}
