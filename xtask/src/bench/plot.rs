//! A plot with two logarithmic axes, as SVG.

use std::fmt::Write as _;

use super::results::Unit;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    /// The least and the most of all rounds.
    pub(super) range: (f64, f64),
}

#[derive(Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    /// `None` for plain numbers.
    pub(super) x_unit: Option<Unit>,
    pub(super) y_unit: Unit,
    pub(super) points: Vec<Point>,
}

/// From a value to a place between two ends.
struct Axis {
    min: f64,
    max: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Whole decades around all values; what is not positive has no place on it.
    fn around(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let logarithms = values.filter(|value| *value > 0.0).map(f64::log10);
        let (min, max) = logarithms.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        if min > max {
            return Self { min: 0.0, max: 1.0, from, to };
        }
        let (min, max) = (min.floor(), max.ceil());
        Self { min, max: if max > min { max } else { min + 1.0 }, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.max(f64::MIN_POSITIVE).log10() - self.min) / (self.max - self.min);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// The values of its decades, all of them or so many that their names have room.
    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let step = if self.max - self.min > 8.0 { 2.0 } else { 1.0 };
        let count = (0..20_u8).map(f64::from).map(move |index| self.min + index * step);
        count.take_while(|decade| *decade <= self.max).map(|decade| 10_f64.powf(decade))
    }
}

impl Plot {
    pub(super) fn svg(&self) -> String {
        let ys = self.points.iter().flat_map(|point| [point.y, point.range.0, point.range.1]);
        let x = Axis::around(self.points.iter().map(|point| point.x), LEFT, WIDTH - RIGHT);
        let y = Axis::around(ys, HEIGHT - BOTTOM, TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        svg += &text(WIDTH / 2.0, 20.0, "middle", &self.title);
        self.draw_axes(&mut svg, &x, &y);
        self.draw_points(&mut svg, &x, &y);
        svg + "</svg>\n"
    }

    fn draw_axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for tick in x.ticks() {
            let at = x.place(tick);
            svg.push_str(&line((at, TOP), (at, HEIGHT - BOTTOM), "#ddd"));
            let name = self.x_unit.map_or_else(|| plain(tick), |unit| unit.display(tick));
            svg.push_str(&text(at, HEIGHT - BOTTOM + 20.0, "middle", &name));
        }
        for tick in y.ticks() {
            let at = y.place(tick);
            svg.push_str(&line((LEFT, at), (WIDTH - RIGHT, at), "#ddd"));
            svg.push_str(&text(LEFT - 8.0, at + 4.0, "end", &self.y_unit.display(tick)));
        }
    }

    fn draw_points(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let place = |point: &Point| (x.place(point.x), y.place(point.y));
        for pair in self.points.windows(2) {
            svg.push_str(&line(place(&pair[0]), place(&pair[1]), "#1f5fa8"));
        }
        for point in &self.points {
            let (at_x, at_y) = place(point);
            let (low, high) = (y.place(point.range.0), y.place(point.range.1));
            svg.push_str(&line((at_x, low), (at_x, high), "#1f5fa8"));
            let _ = writeln!(
                svg,
                "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3.5\" fill=\"#1f5fa8\"/>"
            );
        }
    }
}

fn plain(number: f64) -> String {
    Unit::PerSecond.display(number).trim_end_matches("/s").trim_end().to_owned()
}

fn line((x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) -> String {
    format!(
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>\n"
    )
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(values: &[f64]) -> Axis {
        Axis::around(values.iter().copied(), 0.0, 100.0)
    }

    #[test]
    fn decades_are_equally_far_apart() {
        let axis = axis(&[1.0, 10_000.0]);
        let places: Vec<f64> = axis.ticks().map(|tick| axis.place(tick)).collect();
        assert_eq!(places, [0.0, 25.0, 50.0, 75.0, 100.0]);
    }

    #[test]
    fn a_single_value_and_none_have_an_axis_too() {
        for values in [&[10.0][..], &[], &[0.0]] {
            let axis = axis(values);
            assert!(axis.place(10.0).is_finite());
            assert_eq!(axis.ticks().count(), 2, "{values:?}");
        }
    }

    #[test]
    fn every_point_is_drawn_inside() {
        let point = |x, y| Point { x, y, range: (y / 2.0, y * 2.0) };
        let points = vec![point(1.0, 5e3), point(1e6, 2e9)];
        let plot = Plot { title: "a < b".into(), x_unit: None, y_unit: Unit::PerSecond, points };
        let svg = plot.svg();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a &lt; b") && svg.contains(">1.00 M</text>"), "{svg}");
        assert!(!svg.contains("NaN"));
    }
}
