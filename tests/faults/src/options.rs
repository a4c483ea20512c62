//! What the program is asked to do.

use crate::fault::Target;
use crate::scene::Walk;

pub(crate) const USAGE: &str =
    "usage: procession-faults [--list] [--every N] [--loud] [words of scenes..]";

/// What it is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Options {
    List,
    /// All scenes with these words in their names.
    Run {
        words: Vec<String>,
        /// Every so many calls fail.
        stride: usize,
        /// Whether each error is printed.
        is_loud: bool,
    },
    /// The part of a run that is a process of its own.
    Play {
        name: String,
        walk: Walk,
    },
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        match arguments {
            [verb, name, nth, error, stride] if verb == "play" => {
                let from = Target { nth: number(nth)?, error: number(error)? };
                Ok(Self::Play { name: name.clone(), walk: Walk { from, stride: number(stride)? } })
            }
            [list] if list == "--list" => Ok(Self::List),
            _ => Self::run(arguments),
        }
    }

    fn run(arguments: &[String]) -> Result<Self, String> {
        let (mut words, mut stride, mut is_loud) = (Vec::new(), 1, false);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--loud" => is_loud = true,
                "--every" => stride = number(rest.next().ok_or("every how many?")?)?.max(1),
                unknown if unknown.starts_with('-') => return Err(format!("no option {unknown}")),
                word => words.push(word.to_owned()),
            }
        }
        Ok(Self::Run { words, stride, is_loud })
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_and_options() {
        let run = |words: &[&str], stride, is_loud| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            Ok(Options::Run { words, stride, is_loud })
        };
        assert_eq!(parse(""), run(&[], 1, false));
        assert_eq!(parse("--every 5 pipe --loud made"), run(&["pipe", "made"], 5, true));
        assert_eq!(parse("--list"), Ok(Options::List));
        assert!(
            parse("--every").is_err() && parse("--every x").is_err() && parse("--all").is_err()
        );
        let from = Target { nth: 3, error: 1 };
        let walk = Walk { from, stride: 2 };
        assert_eq!(parse("play x 3 1 2"), Ok(Options::Play { name: "x".into(), walk }));
    }
}
