//! A `procession::Result` is what a function returns, not a value in a value. Inside of values there is `Report`.

use procession::prelude::*;

fn parse_all(texts: Vec<String>) -> Vec<procession::Result<u32>> {
    texts.iter().map(|text| Ok(text.parse()?)).collect()
}

fn main() -> procession::Result<()> {
    let pool = Pool::new()?;
    pool.map(parse_all, [vec!["1".to_owned()]])?;
    Ok(())
}
