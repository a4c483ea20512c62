//! Which file a child executes.

use std::borrow::Cow;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::command;
use crate::error::SpawnError;

/// Another program than this one, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// What is executed, in the kernel's terms.
pub(crate) struct Executable {
    pub(crate) path: CString,
    pub(crate) arguments: Cow<'static, [CString]>,
}

impl Program {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), arguments: Vec::new() }
    }

    pub(crate) fn set_arguments(&mut self, arguments: Vec<OsString>) {
        self.arguments = arguments;
    }

    /// The path and, as the first argument, the path again.
    pub(crate) fn executable(&self) -> Result<Executable, SpawnError> {
        let path = c_string(self.path.as_os_str())?;
        let given = self.arguments.iter().map(|argument| c_string(argument));
        let arguments = std::iter::once(Ok(path.clone())).chain(given);
        let arguments = arguments.collect::<Result<_, _>>()?;
        Ok(Executable { path, arguments: Cow::Owned(arguments) })
    }
}

impl Executable {
    /// The file of this program, even if it was deleted or replaced, with the arguments of this process.
    pub(crate) fn this_program() -> Result<Self, SpawnError> {
        let arguments = Cow::Borrowed(command::arguments()?);
        Ok(Self { path: command::THIS_PROGRAM.to_owned(), arguments })
    }
}

fn c_string(text: &OsStr) -> Result<CString, SpawnError> {
    CString::new(text.to_owned().into_vec())
        .map_err(|error| SpawnError::system("name the helper program", io::Error::from(error)))
}
