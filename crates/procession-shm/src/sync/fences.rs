//! The fence that is there already.
//!
//! A full fence is between a store and a load of different words by one thread, where the other side does the same with the words
//! exchanged: whoever has news looks for sleepers, who looks for news before it sleeps. At least one of them must see the other.
//!
//! On x86-64 each read-modify-write is a locked instruction, and as such a full fence for ordinary memory, whatever ordering it was
//! written with. Who has done one since the store needs no second one. The language knows nothing of this, so it is said here, for that
//! machine alone; on others, and in models, it is a fence like any other.

use std::sync::atomic::{Ordering, compiler_fence, fence};

/// A full fence for a caller who has done a read-modify-write, of whatever word, since the store that it is to order.
#[inline]
pub fn full_fence_after_rmw() {
    if cfg!(all(target_arch = "x86_64", not(miri))) {
        // The compiler moves neither that one nor what follows across this.
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}
