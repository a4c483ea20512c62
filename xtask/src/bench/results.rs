//! What was measured: every value of every figure, and what is made of them.

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Nanoseconds,
    PerSecond,
    BytesPerSecond,
    Bytes,
}

impl Unit {
    const ALL: [Self; 4] = [Self::Nanoseconds, Self::PerSecond, Self::BytesPerSecond, Self::Bytes];

    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::PerSecond => "/s",
            Self::BytesPerSecond => "B/s",
            Self::Bytes => "B",
        }
    }

    fn is_rate(self) -> bool {
        matches!(self, Self::PerSecond | Self::BytesPerSecond)
    }

    /// A value in the size that is easiest to read.
    pub(super) fn display(self, value: f64) -> String {
        const KIBI: f64 = 1024.0;
        let (base, steps): (f64, &[&str]) = match self {
            Self::Nanoseconds => (1000.0, &["ns", "us", "ms", "s"]),
            Self::PerSecond => (1000.0, &["/s", "k/s", "M/s", "G/s"]),
            Self::BytesPerSecond => (1000.0, &["B/s", "kB/s", "MB/s", "GB/s"]),
            Self::Bytes => (KIBI, &["B", "KiB", "MiB", "GiB"]),
        };
        let (mut value, mut step) = (value, 0);
        while value >= base && step + 1 < steps.len() {
            value /= base;
            step += 1;
        }
        format!("{value:.*} {}", decimals(value), steps[step])
    }
}

/// Three digits that count.
fn decimals(value: f64) -> usize {
    match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    }
}

/// One value by its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) value: f64,
}

/// Reads `name unit value`.
pub(super) fn parse_figure(line: &str) -> Option<Figure> {
    let mut words = line.split(' ');
    let (name, unit, value) = (words.next()?, words.next()?, words.next()?);
    let unit = Unit::ALL.into_iter().find(|known| known.symbol() == unit)?;
    let value = value.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
    words.next().is_none().then(|| Figure { name: name.to_owned(), unit, value })
}

/// All values of one figure, one a round.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) values: Vec<f64>,
}

impl Series {
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() % 2 {
            1 => sorted[middle],
            _ => sorted[..=middle].iter().rev().take(2).sum::<f64>() / 2.0,
        }
    }

    pub(super) fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        (end(sorted.first()), end(sorted.last()))
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// What a contestant did in a case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Result {
    pub(super) case: String,
    pub(super) contestant: String,
    /// The figure that counts is the first.
    pub(super) series: Vec<Series>,
    /// Why there is none of some round.
    pub(super) failures: Vec<String>,
}

impl Result {
    pub(super) fn new(case: &str, contestant: &str) -> Self {
        let (case, contestant) = (case.to_owned(), contestant.to_owned());
        Self { case, contestant, series: Vec::new(), failures: Vec::new() }
    }

    /// Adds what one round gave.
    pub(super) fn add(&mut self, round: std::result::Result<Vec<Figure>, String>) {
        match round {
            Ok(figures) => figures.into_iter().for_each(|figure| self.add_figure(figure)),
            Err(reason) => self.failures.push(reason),
        }
    }

    fn add_figure(&mut self, Figure { name, unit, value }: Figure) {
        match self.series.iter_mut().find(|series| series.name == name && series.unit == unit) {
            Some(series) => series.values.push(value),
            None => self.series.push(Series { name, unit, values: vec![value] }),
        }
    }

    /// The figure that counts, if there is any.
    pub(super) fn main(&self) -> Option<&Series> {
        self.series.first()
    }
}

/// How many times as long as `theirs` `ours` takes, whether the figures are times or rates.
pub(super) fn cost_ratio(ours: &Series, theirs: &Series) -> Option<f64> {
    if ours.unit != theirs.unit {
        return None;
    }
    let (ours, theirs, is_rate) = (ours.median(), theirs.median(), ours.unit.is_rate());
    let ratio = if is_rate { theirs / ours } else { ours / theirs };
    ratio.is_finite().then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn series(unit: Unit, values: &[f64]) -> Series {
        Series { name: "x".into(), unit, values: values.to_vec() }
    }

    #[test]
    fn a_line_is_a_figure_or_it_is_not() {
        let figure = Figure { name: "p50".into(), unit: Unit::Nanoseconds, value: 7.5 };
        assert_eq!(parse_figure("p50 ns 7.5"), Some(figure));
        assert_eq!(parse_figure("rate B/s 2").unwrap().unit, Unit::BytesPerSecond);
        for line in
            ["", "p50 ns", "p50 days 7", "p50 ns seven", "p50 ns 7 8", "p50 ns NaN", "p50 ns -1"]
        {
            assert_eq!(parse_figure(line), None, "{line}");
        }
    }

    #[test]
    fn the_median_ignores_one_bad_round() {
        let odd = series(Unit::Nanoseconds, &[9000.0, 1.0, 5.0]);
        assert_eq!((odd.median(), odd.range()), (5.0, (1.0, 9000.0)));
        assert_eq!(series(Unit::Nanoseconds, &[9.0, 1.0, 5.0, 4.0]).median(), 4.5);
    }

    #[test]
    fn a_rate_twice_as_high_costs_half() {
        let [fast, slow] = [20.0, 10.0].map(|value| series(Unit::PerSecond, &[value]));
        assert_eq!(cost_ratio(&fast, &slow), Some(0.5));
        let [fast, slow] = [10.0, 20.0].map(|value| series(Unit::Nanoseconds, &[value]));
        assert_eq!(cost_ratio(&fast, &slow), Some(0.5));
        let bytes = series(Unit::Bytes, &[1.0]);
        assert_eq!(cost_ratio(&fast, &bytes), None);
        assert_eq!(cost_ratio(&fast, &series(Unit::Nanoseconds, &[0.0])), None);
    }

    #[test]
    fn values_are_easy_to_read() {
        let shown = [
            Unit::Nanoseconds.display(141.0),
            Unit::Nanoseconds.display(39_600.0),
            Unit::PerSecond.display(4_340_000.0),
            Unit::Bytes.display(2.5 * 1024.0 * 1024.0),
            Unit::Nanoseconds.display(7e12),
        ];
        assert_eq!(shown, ["141 ns", "39.6 us", "4.34 M/s", "2.50 MiB", "7000 s"]);
    }

    #[test]
    fn rounds_are_collected_by_figure() {
        let mut result = Result::new("case", "us");
        result.add(Ok(vec![parse_figure("p50 ns 1").unwrap(), parse_figure("p99 ns 5").unwrap()]));
        result.add(Err("it broke".into()));
        result.add(Ok(vec![parse_figure("p50 ns 3").unwrap()]));
        assert_eq!(result.main().unwrap().values, [1.0, 3.0]);
        assert_eq!((result.series.len(), result.failures.len()), (2, 1));
    }
}
