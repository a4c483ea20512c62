//! The same for machines: `target/bench/<area>.json`.

use super::results::{Result as Measured, Series};
use super::targets::{Bound, Met, Target};

/// One object with all values of all figures, and what became of the targets.
pub(super) fn document(area: &str, results: &[Measured], targets: &[Target]) -> String {
    let judged = targets.iter().map(|target| judged(target, target.judge(results)));
    let fields = [
        ("area", string(area)),
        ("results", list(results.iter().map(result))),
        ("targets", list(judged)),
    ];
    object(&fields) + "\n"
}

fn result(result: &Measured) -> String {
    object(&[
        ("case", string(&result.case)),
        ("contestant", string(&result.contestant)),
        ("figures", list(result.series.iter().map(series))),
        ("failures", list(result.failures.iter().map(|reason| string(reason)))),
    ])
}

fn series(series: &Series) -> String {
    let (min, max) = series.range();
    object(&[
        ("name", string(&series.name)),
        ("unit", string(series.unit.symbol())),
        ("median", number(series.median())),
        ("min", number(min)),
        ("max", number(max)),
        ("values", list(series.values.iter().map(|&value| number(value)))),
    ])
}

fn judged(target: &Target, met: Met) -> String {
    let null = || "null".to_owned();
    let (bound, wanted) = match target.bound {
        Bound::AtMost(most) => ("at_most", most),
        Bound::AtLeast(least) => ("at_least", least),
    };
    let (measured, is_met) = match met {
        Met::Yes(value) => (number(value), "true".to_owned()),
        Met::No(value) => (number(value), "false".to_owned()),
        Met::Unknown => (null(), null()),
    };
    object(&[
        ("case", string(&target.name)),
        ("ours", string(&target.ours)),
        ("against", target.against.as_deref().map_or_else(null, string)),
        (bound, number(wanted)),
        ("measured", measured),
        ("met", is_met),
    ])
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(", "))
}

/// JSON has no NaN.
fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { "null".to_owned() }
}

fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                quoted += &format!("\\u{:04x}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::parse_figure;

    #[test]
    fn what_was_measured_can_be_read_back() {
        let mut ours = Measured::new("one", "procession");
        ours.add(Ok(vec![parse_figure("t ns 2").unwrap()]));
        ours.add(Err("no \"luck\"".into()));
        let target = Target {
            area: "a".into(),
            name: "one".into(),
            ours: "procession".into(),
            against: None,
            bound: Bound::AtMost(3.0),
        };
        let expected = r#"{"area": "a", "results": [{"case": "one", "contestant": "procession", "figures": [{"name": "t", "unit": "ns", "median": 2, "min": 2, "max": 2, "values": [2]}], "failures": ["no \"luck\""]}], "targets": [{"case": "one", "ours": "procession", "against": null, "at_most": 3, "measured": 2, "met": true}]}"#;
        assert_eq!(document("a", &[ours], &[target]).trim_end(), expected);
    }

    #[test]
    fn no_text_breaks_out_of_its_quotes() {
        assert_eq!(string("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
        assert_eq!(number(f64::NAN), "null");
    }
}
