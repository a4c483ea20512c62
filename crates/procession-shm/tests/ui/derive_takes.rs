#![forbid(unsafe_code)]
#![deny(warnings)]

use procession_shm::{Shareable, Shared};
use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;

mod renamed {
    pub use procession_shm::Shareable;
}

#[derive(Shareable)]
pub struct Unit;

#[derive(Shareable)]
pub struct Tuple(pub u8, pub [AtomicU64; 4]);

struct Private;

#[derive(Shareable)]
pub struct Named<T, const N: usize>
where
    T: Clone,
{
    pub items: [T; N],
    pub option: Option<Tuple>,
    _tag: PhantomData<Private>,
}


#[derive(Shareable)]
#[repr(u8)]
pub enum Plain {
    One = 1,
    Two,
}

#[derive(Shareable)]
pub enum Data<T> {
    None,
    Some(T),
    Both { a: T, b: char },
}

#[derive(renamed::Shareable)]
#[shareable(crate = crate::renamed)]
pub struct Elsewhere(pub u64);

fn is<T: Shareable>() {}

fn main() {
    is::<Unit>();
    is::<Plain>();
    is::<Data<Plain>>();
    is::<Elsewhere>();
    let tuple = Tuple(1, [const { AtomicU64::new(0) }; 4]);
    drop(Shared::new(tuple).unwrap());
}
