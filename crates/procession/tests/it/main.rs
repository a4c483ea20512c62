//! The facade where its users are: in programs, in tests, in libraries.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod handles;
mod in_a_test;
mod in_main;
mod odd_tree;
mod pages;
mod programs;
mod queue_programs;
mod queues;
mod surface;
mod tree_hash;
mod tutorials;
