//! The command line of a program with cases.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program's command line")]

use std::env;
use std::fmt;
use std::process::ExitCode;

use crate::Outcome;
use crate::clock::now_ns;

const USAGE: &str = "usage: list AREA | run AREA CASE CONTESTANT [--quick]";

/// One contestant in one case.
pub struct Case {
    area: String,
    name: String,
    contestant: String,
    run: Box<dyn Fn(Effort) -> Outcome>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.area, self.name, self.contestant)
    }
}

impl Case {
    /// A case by its names, which have no spaces.
    pub fn new(
        area: &str,
        name: &str,
        contestant: &str,
        run: impl Fn(Effort) -> Outcome + 'static,
    ) -> Self {
        let [area, name, contestant] = [area, name, contestant].map(str::to_owned);
        Self { area, name, contestant, run: Box::new(run) }
    }
}

/// How much is done before a figure is believed: all of it, or next to nothing, to see whether a case runs at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What a figure needs.
    Full,
    /// A hundredth.
    Quick,
}

impl Effort {
    /// `full` times, or a hundredth of that; once at least.
    pub fn count(self, full: u64) -> u64 {
        match self {
            Self::Full => full,
            Self::Quick => (full / 100).max(1),
        }
    }

    /// Repeats `work` for 0.4 s, or for a hundredth of that. Looks at the clock after each time.
    ///
    /// # Errors
    ///
    /// The first one of `work`.
    pub fn repeat<E>(self, mut work: impl FnMut() -> Result<(), E>) -> Result<(), E> {
        let end_ns = now_ns() + self.count(400_000_000);
        while now_ns() < end_ns {
            work()?;
        }
        Ok(())
    }
}

/// Does what the command line says. The exit code is 0 if the case has figures, 1 if it has none, 2 if there is no such case.
pub fn main(cases: &[Case]) -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["list", area] => list(cases, area),
        ["run", area, name, contestant] => run(cases, [area, name, contestant], Effort::Full),
        ["run", area, name, contestant, "--quick"] => {
            run(cases, [area, name, contestant], Effort::Quick)
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn list(cases: &[Case], area: &str) -> ExitCode {
    for case in cases.iter().filter(|case| case.area == area) {
        println!("{} {}", case.name, case.contestant);
    }
    ExitCode::SUCCESS
}

fn run(cases: &[Case], names: [&str; 3], effort: Effort) -> ExitCode {
    let is_meant = |case: &&Case| [&case.area, &case.name, &case.contestant] == names;
    let Some(case) = cases.iter().find(is_meant) else {
        eprintln!("there is no case {names:?}");
        return ExitCode::from(2);
    };
    match (case.run)(effort) {
        Ok(figures) => {
            figures.iter().for_each(|figure| println!("{figure}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{case:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Figure;

    fn cases() -> Vec<Case> {
        vec![
            Case::new("a", "one", "x", |effort| Ok(vec![Figure::ns("t", effort.count(500))])),
            Case::new("a", "one", "y", |_| Err("no such thing here".into())),
        ]
    }

    #[test]
    fn the_exit_code_says_how_it_went() {
        let code = |names, effort| format!("{:?}", run(&cases(), names, effort));
        assert_eq!(code(["a", "one", "x"], Effort::Quick), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(["a", "one", "y"], Effort::Quick), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(code(["a", "two", "x"], Effort::Full), format!("{:?}", ExitCode::from(2)));
    }

    #[test]
    fn quick_is_a_hundredth_but_something() {
        assert_eq!([500, 7].map(|full| Effort::Quick.count(full)), [5, 1]);
        assert_eq!(Effort::Full.count(7), 7);
    }

    #[test]
    fn repeating_ends_and_stops_at_an_error() {
        let mut times = 0;
        let count = || {
            times += 1;
            Ok::<_, ()>(())
        };
        Effort::Quick.repeat(count).unwrap();
        assert!(times > 0);
        assert_eq!(Effort::Full.repeat(|| Err("broken")), Err("broken"));
    }
}
