//! What a case has measured.

use std::fmt;

/// What a value is counted in. The larger is the better for what comes per second, the smaller for all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Nanoseconds,
    /// Operations in a second.
    PerSecond,
    /// Bytes in a second.
    BytesPerSecond,
    /// Memory.
    Bytes,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nanoseconds => "ns",
            Self::PerSecond => "/s",
            Self::BytesPerSecond => "B/s",
            Self::Bytes => "B",
        })
    }
}

/// A value with its name. Displayed, it is the line that the comparing side reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    name: String,
    unit: Unit,
    value: f64,
}

impl Figure {
    /// A value by a name without spaces.
    pub fn new(name: &str, unit: Unit, value: f64) -> Self {
        Self { name: name.to_owned(), unit, value }
    }

    /// A time.
    pub fn ns(name: &str, ns: u64) -> Self {
        Self::new(name, Unit::Nanoseconds, ns as f64)
    }

    /// How many operations were done in a second, when `count` took `ns`.
    pub fn rate(name: &str, count: u64, ns: u64) -> Self {
        Self::new(name, Unit::PerSecond, count as f64 * 1e9 / ns as f64)
    }

    /// How many bytes were moved in a second, when `bytes` took `ns`.
    pub fn bandwidth(name: &str, bytes: u64, ns: u64) -> Self {
        Self::new(name, Unit::BytesPerSecond, bytes as f64 * 1e9 / ns as f64)
    }

    /// The median and the 99th percentile of some times.
    pub fn percentiles(mut samples_ns: Vec<u64>) -> Vec<Self> {
        samples_ns.sort_unstable();
        let at = |percent: usize| samples_ns.get(samples_ns.len() * percent / 100).copied();
        let named = [("p50", at(50)), ("p99", at(99))];
        named.into_iter().filter_map(|(name, ns)| ns.map(|ns| Self::ns(name, ns))).collect()
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.unit, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_name_unit_and_value() {
        assert_eq!(Figure::ns("p50", 140).to_string(), "p50 ns 140");
        assert_eq!(Figure::rate("messages", 3, 1_500_000_000).to_string(), "messages /s 2");
        assert_eq!(Figure::bandwidth("copied", 4, 2).to_string(), "copied B/s 2000000000");
    }

    #[test]
    fn percentiles_need_no_order() {
        let figures = Figure::percentiles((0..1000).rev().collect());
        assert_eq!(figures, [Figure::ns("p50", 500), Figure::ns("p99", 990)]);
        assert!(Figure::percentiles(Vec::new()).is_empty());
    }
}
