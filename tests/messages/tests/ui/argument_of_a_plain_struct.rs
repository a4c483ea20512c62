//! A type of one's own needs serde's derives.

use procession::prelude::*;

struct Point {
    x: f64,
    y: f64,
}

fn norm(point: Point) -> f64 {
    point.x.hypot(point.y)
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?;
    pool.map(norm, [Point { x: 3.0, y: 4.0 }])?;
    Ok(())
}
