//! The image that this crate is part of, as it lies in memory: where its code is, and which build it is.
//!
//! That is the main program, or a shared library (a `cdylib`) into which the crate was linked. A function travels to another
//! process with the same image as its distance from the image's load address, because address randomisation places the image
//! elsewhere in each process. An offset means something only within one build, which is what [`Identity`] is compared for,
//! and an offset becomes an address again only if it falls into an executable segment.
//!
//! Functions of other images were rejected, although the dynamic linker could find them by their build-id: what this crate
//! hands to a function is laid out as the compiler of *this* image laid it out, and only the same image is known to agree.
//!
//! The segments are read from the dynamic linker once and kept; later calls compare a few
//! numbers.
//!
//! # Safety
//!
//! I1. The image's program headers and its loaded segments stay mapped and unchanged for the life of the process, as far as
//!     they are not writable. Of the main program this is so by nature; a shared library is pinned before it starts
//!     threads or children. Before that, whoever unloads it must not be inside it, as with every library.
//! I2. The first object that `dl_iterate_phdr` reports is the main program (glibc and musl).

use std::collections::hash_map::DefaultHasher;
use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt;
use std::hash::Hasher;
use std::slice;

use serde::{Deserialize, Serialize};

use crate::error::SpawnError;
use procession_shm::fork::FirstWins;

static IMAGE: FirstWins<Image> = FirstWins::new();

/// Which build of which image this is: its build-id, or a hash of its program headers and code
/// where the linker wrote none.
///
/// ```
/// use procession_process::image::{Identity, identity};
///
/// let of_the_parent: Identity = identity().clone();     // as it travels with a child's first message
/// assert_eq!(&of_the_parent, identity());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    kind: IdentityKind,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum IdentityKind {
    BuildId,
    Hash,
}

impl Identity {
    /// The identity as bytes: two processes run the same build if their kinds and bytes agree.
    ///
    /// ```
    /// let identity = procession_process::image::identity();
    /// assert!(identity.as_bytes().len() >= 8, "{identity:?}");
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(", self.kind)?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The distance of a function from the load address of the image that this crate is part of.
///
/// # Errors
///
/// [`SpawnError::NotRestartable`] if `address` is not in the code of this image, but for
/// instance in another shared library.
///
/// ```
/// use procession_process::image::{address_of, offset_of};
///
/// fn work() {}
///
/// let offset = offset_of(work as fn() as usize)?;
/// assert_eq!(address_of(offset), Some(work as fn() as usize));
/// assert!(offset_of(libc::getpid as usize).is_err());   // that is in the C library
/// # Ok::<(), procession_process::SpawnError>(())
/// ```
pub fn offset_of(address: usize) -> Result<u64, SpawnError> {
    let image = Image::get();
    let offset = address.wrapping_sub(image.base);
    if image.is_code(offset) {
        Ok(offset as u64)
    } else {
        Err(SpawnError::not_restartable(
            "the function is not in the program or library that procession is linked into but in \
             another one, which a child process may load elsewhere or not at all; link both into \
             one",
        ))
    }
}

/// Where the code at `offset` lies in this process; `None` unless it is in an executable segment of
/// the image.
///
/// That the offset was the one of a function is only known if it comes from a process with the
/// same [`identity`].
///
/// ```
/// use procession_process::image::address_of;
///
/// assert_eq!(address_of(u64::MAX), None);               // there is no code
/// ```
#[must_use]
pub fn address_of(offset: u64) -> Option<usize> {
    let image = Image::get();
    let offset = usize::try_from(offset).ok()?;
    image.is_code(offset).then(|| image.base.wrapping_add(offset))
}

/// Which build of the image this process has.
///
/// ```
/// use procession_process::image::identity;
///
/// let mut other = identity().as_bytes().to_vec();
/// other[0] ^= 1;
/// assert_ne!(identity().as_bytes(), other);
/// ```
#[must_use]
pub fn identity() -> &'static Identity {
    &Image::get().identity
}

/// Where the program headers of the image lie in memory.
pub(crate) fn headers_address() -> usize {
    Image::get().headers
}

/// Where something of the image lies, the same number in each process that runs this build.
pub(crate) fn distance_of(address: usize) -> u64 {
    address.wrapping_sub(headers_address()) as u64
}

/// Whether the image is the main program and not a shared library.
pub(crate) fn is_main_program() -> bool {
    Image::get().is_main_program
}

/// Keeps the image loaded for the life of the process (I1): unloading it would take the code away from under the threads
/// that are about to be started. The main program cannot be unloaded.
///
/// # Errors
///
/// The dynamic linker does not find the library any more by the name under which it has loaded it.
pub(crate) fn pin() -> Result<(), SpawnError> {
    if is_main_program() {
        return Ok(());
    }
    match reopen(&Image::get().name) {
        true => Ok(()),
        false => Err(SpawnError::not_restartable(
            "the dynamic linker cannot keep the library loaded that procession is linked into",
        )),
    }
}

#[cfg(not(target_feature = "crt-static"))]
fn reopen(name: &CStr) -> bool {
    let flags = libc::RTLD_NOW | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: the name is a C string. Nothing is loaded and no constructor runs: the library is there already.
    !unsafe { libc::dlopen(name.as_ptr(), flags) }.is_null()
}

/// A statically linked program has no libraries.
#[cfg(target_feature = "crt-static")]
fn reopen(_: &CStr) -> bool {
    false
}

struct Image {
    is_main_program: bool,
    /// As the dynamic linker knows it, empty for the main program.
    name: CString,
    base: usize,
    headers: usize,
    segments: Vec<Segment>,
    identity: Identity,
}

struct Segment {
    /// Distance from the load address.
    start: usize,
    size_bytes: usize,
    executable: bool,
    writable: bool,
}

impl Segment {
    fn contains(&self, offset: usize) -> bool {
        offset.wrapping_sub(self.start) < self.size_bytes
    }
}

impl Image {
    fn get() -> &'static Self {
        let image = IMAGE.get_or_try_init(|| Ok::<_, std::convert::Infallible>(Self::read()));
        match image {
            Ok(image) => image,
            Err(never) => match never {},
        }
    }

    fn read() -> Self {
        let mut search = Search { objects: 0, found: None };
        // SAFETY: `visit` has the signature asked for, and `data` is the search it expects,
        // alive for the whole call.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
        // Without any loaded object no code is known, so that every offset is refused.
        search.found.unwrap_or_else(|| Self::new(CString::default(), 0, 0, &[]))
    }

    fn new(name: CString, base: usize, headers_at: usize, headers: &[Header]) -> Self {
        let segments = segments(headers);
        let identity = build_id(base, headers).unwrap_or_else(|| hash(base, headers, &segments));
        Self { is_main_program: false, name, base, headers: headers_at, segments, identity }
    }

    fn is_code(&self, offset: usize) -> bool {
        self.segments.iter().any(|segment| segment.executable && segment.contains(offset))
    }
}

/// The search for the image that this crate is part of.
struct Search {
    /// How many objects were looked at before.
    objects: usize,
    found: Option<Image>,
}

/// Called by `dl_iterate_phdr` with one object after the other; stops at the one that holds this crate.
///
/// # Safety
///
/// `info` describes a loaded object, and `data` is the search that was passed to `dl_iterate_phdr` with this function.
unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: the dynamic linker passes a valid description.
    let info = unsafe { &*info };
    let headers = if info.dlpi_phdr.is_null() {
        &[]
    } else {
        // SAFETY: I1: `dlpi_phnum` headers lie there for the life of the process.
        unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) }
    };
    // SAFETY: `data` is the search that `Image::read` passed, and nothing else refers to it meanwhile.
    let search = unsafe { &mut *data.cast::<Search>() };
    search.objects += 1;
    let base = native(info.dlpi_addr);
    let own = (&raw const IMAGE).addr().wrapping_sub(base);
    if !segments(headers).iter().any(|segment| segment.contains(own)) {
        return 0;
    }
    // SAFETY: the dynamic linker passes a C string or null.
    let name = (!info.dlpi_name.is_null()).then(|| unsafe { CStr::from_ptr(info.dlpi_name) });
    let image =
        Image::new(name.unwrap_or_default().to_owned(), base, info.dlpi_phdr.addr(), headers);
    // I2.
    search.found = Some(Image { is_main_program: search.objects == 1, ..image });
    1
}

type Header = libc::Elf64_Phdr;

/// An address or size of this program, which is a 64-bit one.
#[expect(clippy::cast_possible_truncation, reason = "other widths are refused in lib.rs")]
fn native(number: u64) -> usize {
    number as usize
}

fn segments(headers: &[Header]) -> Vec<Segment> {
    let loaded = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    loaded
        .map(|header| Segment {
            start: native(header.p_vaddr),
            size_bytes: native(header.p_memsz),
            executable: header.p_flags & libc::PF_X != 0,
            writable: header.p_flags & libc::PF_W != 0,
        })
        .collect()
}

/// The build-id note the linker wrote, if it did.
fn build_id(base: usize, headers: &[Header]) -> Option<Identity> {
    let notes = headers.iter().filter(|header| header.p_type == libc::PT_NOTE);
    notes
        .map(|header| loaded_bytes(base, native(header.p_vaddr), native(header.p_filesz)))
        .find_map(build_id_in)
        .map(|id| Identity { kind: IdentityKind::BuildId, bytes: id.to_vec() })
}

/// Walks the notes of one segment: three words (name size, description size, type), the name, the
/// description, each padded to four bytes.
fn build_id_in(mut notes: &[u8]) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    loop {
        let (name_size, rest) = word(notes)?;
        let (id_size, rest) = word(rest)?;
        let (kind, rest) = word(rest)?;
        let (name, rest) = padded(rest, name_size)?;
        let (id, rest) = padded(rest, id_size)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && !id.is_empty() {
            return Some(id);
        }
        notes = rest;
    }
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_ne_bytes(*word), rest))
}

fn padded(bytes: &[u8], size: u32) -> Option<(&[u8], &[u8])> {
    let size = usize::try_from(size).ok()?;
    let (field, _) = bytes.split_at_checked(size)?;
    let rest = bytes.get(size.checked_next_multiple_of(4)?..).unwrap_or_default();
    Some((field, rest))
}

/// A hash of the program headers and of all code. The same program computes it in parent and
/// child, so it need not be stable across builds of the standard library.
fn hash(base: usize, headers: &[Header], segments: &[Segment]) -> Identity {
    let mut hasher = DefaultHasher::new();
    for header in headers {
        hasher.write_u32(header.p_type);
        hasher.write_u32(header.p_flags);
        hasher.write_u64(header.p_offset);
        hasher.write_u64(header.p_vaddr);
        hasher.write_u64(header.p_memsz);
    }
    // What is writable differs between processes, and so may what is not code (relocations).
    for segment in segments.iter().filter(|segment| segment.executable && !segment.writable) {
        hasher.write(loaded_bytes(base, segment.start, segment.size_bytes));
    }
    let bytes = hasher.finish().to_ne_bytes().to_vec();
    Identity { kind: IdentityKind::Hash, bytes }
}

fn loaded_bytes(base: usize, start: usize, size_bytes: usize) -> &'static [u8] {
    let address = base.wrapping_add(start);
    // SAFETY: I1: the ranges passed in are loaded and read-only ones of the image.
    unsafe { slice::from_raw_parts(std::ptr::with_exposed_provenance(address), size_bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_comes_back_from_its_offset() {
        let address = a_function_comes_back_from_its_offset as fn() as usize;
        let offset = offset_of(address).unwrap();
        assert_eq!(address_of(offset), Some(address));
    }

    #[test]
    fn what_is_not_code_of_the_program_has_no_offset_and_no_address() {
        let on_heap = Box::new(0_u8);
        assert!(offset_of((&raw const *on_heap).addr()).is_err());
        assert!(offset_of(libc::getpid as *const () as usize).is_err() || is_static());
        assert!(offset_of((&raw const IMAGE).addr()).is_err(), "data is not code");
        for offset in [0, u64::MAX, 1 << 47, u64::MAX - (1 << 30)] {
            assert_eq!(address_of(offset), None, "{offset:#x}");
        }
    }

    fn is_static() -> bool {
        cfg!(target_feature = "crt-static")
    }

    #[test]
    fn the_hash_of_one_program_is_the_same_each_time() {
        let image = Image::get();
        let again = || hash(image.base, &[], &image.segments);
        assert_eq!(again(), again());
        assert_ne!(&again(), identity());
    }

    #[test]
    fn a_build_id_is_found_behind_other_notes() {
        let note = |kind: u32, name: &[u8], id: &[u8]| {
            let sizes = [u32::try_from(name.len()).unwrap(), u32::try_from(id.len()).unwrap()];
            let mut bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_ne_bytes()).collect();
            bytes.extend(kind.to_ne_bytes());
            for field in [name, id] {
                bytes.extend(field);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        };
        let notes = [note(1, b"GNU\0", &[9; 16]), note(3, b"GNU\0", &[7; 5])].concat();
        assert_eq!(build_id_in(&notes), Some(&[7; 5][..]));
        assert_eq!(build_id_in(&notes[..notes.len() - 8]), None);
        assert_eq!(build_id_in(&[0xff; 64]), None);
        assert_eq!(build_id_in(&[]), None);
    }
}
