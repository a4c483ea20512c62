//! What the harness is asked to do.

/// How many of the places where a victim can be killed are tried. All at which the shared state has changed or the kernel was
/// called always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Density {
    /// Every instruction of operations with up to so many.
    pub(crate) short: usize,
    /// So many places of the longer ones, spread evenly.
    pub(crate) sample: usize,
}

impl Density {
    /// Only where the shared state has changed or the kernel was called.
    pub(crate) const EVENTS: Self = Self { short: 0, sample: 0 };
}

/// How it is called.
pub(crate) const USAGE: &str = "\
usage: procession-kill [--all] [--short N] [--sample N] [--list] [filter..]
  --all       kill after every instruction of every operation; of two who die, of the second one
  --short N   only of those with up to N instructions (default 256); of others where something has changed
  --sample N  and at N places more, spread over the operation (default 16, in a debug build 4)
  --list      name the cases and stop
  filter      only cases with all of these words in their name";

const SHORT: usize = 256;
/// A debug build goes through ten times as many instructions.
const SAMPLE: usize = if cfg!(debug_assertions) { 4 } else { 16 };

/// What the harness is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) is_list: bool,
    pub(crate) density: Density,
    pub(crate) filter: Vec<String>,
}

impl Options {
    /// `None` when the arguments make no sense.
    pub(crate) fn parse(arguments: &[String]) -> Option<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--all" => options.density.short = usize::MAX,
                "--short" => options.density.short = arguments.next()?.parse().ok()?,
                "--sample" => options.density.sample = arguments.next()?.parse().ok()?,
                "--list" => options.is_list = true,
                flag if flag.starts_with('-') => return None,
                word => options.filter.push(word.to_owned()),
            }
        }
        Some(options)
    }

    /// Whether a case with this name is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.iter().all(|word| name.contains(word))
    }
}

impl Default for Options {
    fn default() -> Self {
        let density = Density { short: SHORT, sample: SAMPLE };
        Self { is_list: false, density, filter: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Options> {
        Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        assert_eq!(parsed(""), Some(Options::default()));
        let given = parsed("--all --sample 3 mutex lock").unwrap();
        assert_eq!(given.density, Density { short: usize::MAX, sample: 3 });
        assert!(given.wants("mutex unlock, alone") && !given.wants("mutex, alone"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["--al", "--sample", "--short x"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
