//! The operations under test, floor by floor.

mod channel;
mod pool;
mod process;
mod shm;
pub(crate) mod toys;

use std::sync::LazyLock;

use crate::scene::Scene;

pub(crate) static ALL: LazyLock<Vec<Scene>> = LazyLock::new(|| {
    [toys::scenes(), shm::scenes(), channel::scenes(), process::scenes(), pool::scenes()]
        .into_iter()
        .flatten()
        .collect()
});
