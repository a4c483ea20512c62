//! The command line of `bench`.

/// What is to be measured, and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) area: Option<String>,
    pub(super) rounds: usize,
    /// Whether the peers run, too.
    pub(super) with_peers: bool,
    /// Whether a missed target is a failure.
    pub(super) is_check: bool,
    /// Whether the figures go into the documentation.
    pub(super) is_record: bool,
    /// Whether to see only that everything runs. The figures are worth nothing then.
    pub(super) is_quick: bool,
}

const ROUNDS: usize = 7;

impl Options {
    /// `None` when the arguments make no sense.
    pub(super) fn parse(args: &[String]) -> Option<Self> {
        let mut options = Self {
            area: None,
            rounds: ROUNDS,
            with_peers: false,
            is_check: false,
            is_record: false,
            is_quick: false,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--peers" => options.with_peers = true,
                "--check" => options.is_check = true,
                "--record" => options.is_record = true,
                "--quick" => options.is_quick = true,
                "--rounds" => options.rounds = args.next()?.parse().ok().filter(|&n| n > 0)?,
                unknown if unknown.starts_with('-') => return None,
                _ if options.area.is_some() => return None,
                area => options.area = Some(area.to_owned()),
            }
        }
        // Figures of a quick run are no figures.
        (!options.is_quick || !(options.is_check || options.is_record)).then_some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &str) -> Option<Options> {
        Options::parse(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let default = parsed("").unwrap();
        assert_eq!((default.area, default.rounds), (None, ROUNDS));
        assert!(!(default.with_peers || default.is_check || default.is_record || default.is_quick));
        let given = parsed("pipe --peers --rounds 3 --check --record").unwrap();
        assert_eq!((given.area.as_deref(), given.rounds), (Some("pipe"), 3));
        assert!(given.with_peers && given.is_check && given.is_record);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for args in ["--rounds", "--rounds 0", "--slow", "pipe pool", "--quick --check"] {
            assert_eq!(parsed(args), None, "{args}");
        }
    }
}
