//! The service answers, gives up what takes too long, and goes on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// A service that ends with its test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Service {
    fn start() -> (Self, String) {
        let service = Command::new(env!("CARGO_BIN_EXE_service")).stdout(Stdio::piped()).spawn();
        let mut service = Self(service.unwrap());
        let mut address = String::new();
        BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        (service, address.trim().to_owned())
    }
}

/// Sends all lines and returns as many answers.
fn ask(address: &str, lines: &[&str]) -> Vec<String> {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
    BufReader::new(client).lines().take(lines.len()).collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_service_answers() {
    let (_service, address) = Service::start();
    assert_eq!(ask(&address, &["10", "100", "ten"]), ["4", "25", "invalid digit found in string"]);
}

#[test]
fn what_takes_too_long_is_given_up_and_stopped() {
    let (_service, address) = Service::start();
    // Twice as many as there may be workers: if they went on for ever, the last question would have no answer.
    let workers = std::thread::available_parallelism().unwrap().get();
    for _ in 0..2 * workers {
        assert_eq!(ask(&address, &[&u64::MAX.to_string()]), ["deadline has elapsed"]);
    }
    assert_eq!(ask(&address, &["100"]), ["25"]);
}
