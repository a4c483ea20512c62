//! A name for an address in the program, to look up with `addr2line`.

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// `file+0xoffset`, as `addr2line -e file 0xoffset` wants it.
pub(crate) fn name(address: u64) -> String {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let pointer = std::ptr::without_provenance(usize::try_from(address).unwrap_or(0));
    // SAFETY: the address is only looked up, and `info` has room for the answer.
    if unsafe { libc::dladdr(pointer, info.as_mut_ptr()) } == 0 {
        return format!("{address:#x}");
    }
    // SAFETY: all zeros are a value of it, and the call has filled it in.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return format!("{address:#x}");
    }
    // SAFETY: the loader's name of a loaded file, which ends with a zero and is not unloaded here.
    let file = unsafe { CStr::from_ptr(info.dli_fname) }.to_string_lossy();
    let file = file.rsplit('/').next().unwrap_or_default();
    format!("{file}+{:#x}", address.wrapping_sub(info.dli_fbase.addr() as u64))
}
