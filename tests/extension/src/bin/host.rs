//! A program that knows nothing of procession and loads a library that does: `host LIBRARY VERB`.
//!
//! | verb | what it does |
//! |---|---|
//! | `load` | loads and unloads the library, five times |
//! | `refuse` | asks whether the library refuses to start this program again |
//! | `square LIBRARY` | has 7 squared by this program again, which is to load that library |
//! | `sum LIBRARY` | has the squares below 1,000 summed up by a pool of such programs |
//! | `serve` | what this program does then |
#![expect(clippy::print_stdout, reason = "who started it reads it")]
#![expect(clippy::unwrap_used, reason = "a failure is to fail the test")]

use std::env;
use std::ffi::{CStr, CString, c_char, c_void};

struct Library(*mut c_void);

impl Library {
    fn open(path: &str) -> Self {
        let name = CString::new(path).unwrap();
        // SAFETY: the name is a C string; the constructors of the library are harmless, which is what is tested.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{}", last_error());
        Self(handle)
    }

    fn function(&self, name: &CStr) -> *mut c_void {
        // SAFETY: the library is open and the name a C string.
        let function = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!function.is_null(), "{}", last_error());
        function
    }

    fn close(self) {
        // SAFETY: the library is open, and nothing of it is in use.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }
}

fn last_error() -> String {
    // SAFETY: the call has no preconditions.
    let error = unsafe { libc::dlerror() };
    // SAFETY: it returns a C string after something has failed.
    unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned()
}

type Refuses = extern "C" fn() -> i64;
type Serve = extern "C" fn();
type Square = unsafe extern "C" fn(i64, *const c_char) -> i64;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let library = Library::open(&arguments[1]);
    match arguments[2].as_str() {
        "load" => {
            library.close();
            (0..4).for_each(|_| Library::open(&arguments[1]).close());
            println!("loaded");
        }
        "refuse" => {
            let refuses = library.function(c"extension_refuses");
            // SAFETY: the function has this type.
            let refuses = unsafe { std::mem::transmute::<*mut c_void, Refuses>(refuses) };
            println!("{}", refuses());
        }
        verb @ ("square" | "sum") => {
            let (name, n) = if verb == "sum" {
                (c"extension_sum_of_squares", 1000)
            } else {
                (c"extension_square", 7)
            };
            let square = library.function(name);
            // SAFETY: the function has this type.
            let square = unsafe { std::mem::transmute::<*mut c_void, Square>(square) };
            let helper = format!("{}\n{}\nserve", arguments[0], arguments[3]);
            let helper = CString::new(helper).unwrap();
            // SAFETY: the argument is a C string.
            println!("{}", unsafe { square(n, helper.as_ptr()) });
        }
        "serve" => {
            let serve = library.function(c"extension_serve");
            // SAFETY: the function has this type.
            let serve = unsafe { std::mem::transmute::<*mut c_void, Serve>(serve) };
            serve();
            println!("not a child");
        }
        other => panic!("there is no verb {other}"),
    }
}
