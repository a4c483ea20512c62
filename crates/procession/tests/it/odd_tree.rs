//! A tree with everything that is awkward in a tree.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, mkfifoat, openat};

/// How many bytes a name may have, and a path.
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;

/// The lines that `sha256sum` prints for the regular files of [`OddTree::build`], in the order of their paths.
pub(crate) const LINES: &[u8] = b"\
bebb33642d7a1cb23406e4ef6b4c3ed9911594c474aed53bcaec65021f7324ad  ./ blank * \"$(quoted)\"\n\
f8359416cedbf4b44bd1cab71b791b4121e3b33748187c530e70207af87c3f39  ./--dash\n\
\\e6f805fa5fc041ab4bb7aa119641f77ac3e9f42106bc9f92354080692736c8de  ./back\\\\slash\n\
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  ./empty\n\
370a8c04b8a65bb4494275eec227f1b694db04c76da6b0b8ae88ed1ab19790a3  ./folder/in folder/nested\n\
3c65ea93424a9c362fec0e3a69ea36031e8a358441479dd665cc6110eabe7b08  ./large\n\
\\7ba826f0c347f6adc4686c8d1f61aeb2e2e98322749cd4f82204c926f4022cee  ./new\\nline\n\
\\9e34e5324d74f5d7636894144e2b8804df7ae09ca2268fc207a328e4811b8200  ./re\\rturn\n\
95cc8e8ec552664096b998c62dfd5dfd0a41c96154de6814d918d1ca34bfc225  ./\xff\xfe\x80\n";

/// A folder of its own, gone when dropped.
pub(crate) struct OddTree {
    root: PathBuf,
}

impl OddTree {
    pub(crate) fn empty(name: &str) -> Self {
        let root =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        Self { root }
    }

    pub(crate) fn build(name: &str) -> Self {
        let tree = Self::empty(name);
        for (path, contents) in files() {
            tree.add(path, &contents);
        }
        tree.add_what_is_no_file();
        tree
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file and the folders above it.
    pub(crate) fn add(&self, path: &[u8], contents: &[u8]) {
        let path = self.root.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn add_what_is_no_file(&self) {
        symlink("large", self.root.join("link to a file")).unwrap();
        symlink("folder", self.root.join("link to a folder")).unwrap();
        symlink(".", self.root.join("link to itself")).unwrap();
        symlink("nowhere", self.root.join("dangling")).unwrap();
        mkfifoat(CWD, self.root.join("fifo"), Mode::RUSR).unwrap();
        // The path of a socket may have 108 bytes, which this one need not fit in.
        let folder = File::open(&self.root).unwrap();
        let short = format!("/proc/self/fd/{}/socket", folder.as_raw_fd());
        drop(UnixListener::bind(short).unwrap());
    }

    /// Adds a file and a folder whose paths are too long for the system, which even root cannot read, beside a file that is
    /// just short enough. Returns the name of the file and of the folder.
    pub(crate) fn add_unreadable(&self) -> (String, String) {
        let link = "x".repeat(NAME_MAX);
        let mut folder: OwnedFd = File::open(&self.root).unwrap().into();
        for _ in 0..(PATH_MAX - 10) / (NAME_MAX + 1) {
            mkdirat(&folder, &link, Mode::RWXU).unwrap();
            folder = openat(&folder, &link, OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let (file, subfolder) = ("f".repeat(NAME_MAX), "d".repeat(NAME_MAX));
        for name in [file.as_str(), "readable"] {
            openat(&folder, name, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        }
        mkdirat(&folder, &subfolder, Mode::RWXU).unwrap();
        (file, subfolder)
    }
}

impl Drop for OddTree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).unwrap();
    }
}

fn files() -> [(&'static [u8], Vec<u8>); 9] {
    let large = (0..300_000).map(|n: u32| u8::try_from(n % 251).unwrap()).collect();
    [
        (b" blank * \"$(quoted)\"", b"blank\n".to_vec()),
        (b"--dash", b"dash\n".to_vec()),
        (b"back\\slash", b"backslash\n".to_vec()),
        (b"empty", Vec::new()),
        (b"folder/in folder/nested", b"nested\n".to_vec()),
        (b"large", large),
        (b"new\nline", b"newline\n".to_vec()),
        (b"re\rturn", b"return\n".to_vec()),
        (b"\xff\xfe\x80", b"bytes\n".to_vec()),
    ]
}
