//! What the programs that are measured have in common: Procession's own and those of its peers.
//!
//! A program holds cases. `program list AREA` names them, `program run AREA CASE CONTESTANT` runs one and prints its figures,
//! one a line. Whoever compares starts a fresh process for each case in each round, the contestants of a case one after the
//! other, so that a slow phase of the machine hits all of them alike.

pub mod clock;
pub mod cpu;
pub mod figure;
pub mod payload;
pub mod program;
pub mod round_trip;
pub mod throughput;
pub mod twin;
pub mod words;
pub mod work;

use std::error::Error;

pub use figure::{Figure, Unit};
pub use program::{Case, Effort};

/// What a case ends with: its figures, the one that counts first, or the reason why there are none.
pub type Outcome = Result<Vec<Figure>, Box<dyn Error>>;
