//! Errors that cross a process boundary.
//!
//! A task may fail with any error. The error itself cannot travel: it may hold anything. What travels is a [`Report`], the
//! texts of the error and of its causes. [`Failure`] is the type with which a task returns it.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Any error, as the result of a function that runs in another process: `?` converts every error into it.
///
/// A function that returns `Result<T, Failure>` gives its caller a `T` or a typed error that carries the [`Report`]. It is
/// neither an [`Error`] nor serializable: the first is what lets it be made from every error, the second what lets a result
/// be told from a plain value that happens to be a `Result`. To store it or to send it on, use [`into_report`](Self::into_report).
///
/// ```
/// use procession_process::Failure;
///
/// fn port(text: &str) -> Result<u16, Failure> {
///     let port = text.trim().parse().map_err(|e| Failure::from(e).context("reading the port"))?;
///     if port == 0 { Err("port 0 is not usable")? }
///     Ok(port)
/// }
/// assert_eq!(port("80")?, 80);
/// assert_eq!(port("0").unwrap_err().to_string(), "port 0 is not usable");
/// let report = port("x").unwrap_err().into_report();
/// assert_eq!(format!("{report:#}"), "reading the port: invalid digit found in string");
/// # Ok::<(), Failure>(())
/// ```
pub struct Failure(Report);

/// The text of an error and of its causes: the form in which it can be sent, stored and shown.
///
/// `{}` shows the error alone, `{:#}` with its causes on one line, where those that the error's own text has are not repeated.
/// [`source`](Error::source) walks all of them.
///
/// ```
/// use std::error::Error;
/// use procession_process::{Failure, Report};
///
/// let report: Report = Failure::msg("no such file").context("reading the configuration").into_report();
/// assert_eq!(report.to_string(), "reading the configuration");
/// assert_eq!(format!("{report:#}"), "reading the configuration: no such file");
/// assert_eq!(report.source().unwrap().to_string(), "no such file");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Report {
    message: String,
    cause: Option<Box<Report>>,
}

/// How many causes of an error travel. Some errors are their own cause.
const CAUSES_MAX: usize = 64;

/// On the wire a report is a list of texts, the cause behind what it caused: a chain of any length has the same depth.
impl From<Report> for Vec<String> {
    fn from(report: Report) -> Self {
        let causes = report.causes().take(CAUSES_MAX).map(|cause| cause.message.clone());
        std::iter::once(report.message.clone()).chain(causes).collect()
    }
}

impl From<Vec<String>> for Report {
    fn from(texts: Vec<String>) -> Self {
        let cause = texts
            .into_iter()
            .rev()
            .fold(None, |cause, message| Some(Box::new(Self { message, cause })));
        cause.map_or_else(|| Self::msg("an error without a text"), |report| *report)
    }
}

/// Not recursive, so that a long chain cannot overflow the stack.
impl Drop for Report {
    fn drop(&mut self) {
        let mut cause = self.cause.take();
        while let Some(mut report) = cause {
            cause = report.cause.take();
        }
    }
}

impl Failure {
    /// A failure with this text and no cause.
    ///
    /// ```
    /// use procession_process::Failure;
    ///
    /// assert_eq!(Failure::msg("the disk is full").to_string(), "the disk is full");
    /// ```
    pub fn msg(message: impl fmt::Display) -> Self {
        Self(Report { message: message.to_string(), cause: None })
    }

    /// This failure as the cause of one with the text `context`.
    ///
    /// ```
    /// use procession_process::Failure;
    ///
    /// let failure = Failure::msg("invalid digit").context("reading the port");
    /// assert_eq!(format!("{:#}", failure.report()), "reading the port: invalid digit");
    /// ```
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        Self(Report { message: context.to_string(), cause: Some(Box::new(self.0)) })
    }

    /// The report.
    ///
    /// ```
    /// use procession_process::Failure;
    ///
    /// let failure = Failure::from("x".parse::<u64>().unwrap_err());
    /// assert_eq!(failure.report().to_string(), "invalid digit found in string");
    /// ```
    pub fn report(&self) -> &Report {
        &self.0
    }

    /// The report, which can be serialized and is an [`Error`].
    ///
    /// ```
    /// use procession_process::{Failure, Report};
    ///
    /// // A report can be sent on, where a failure cannot.
    /// let told: Result<u64, Report> = Err(Failure::msg("no")).map_err(Failure::into_report);
    /// assert_eq!(told.unwrap_err().to_string(), "no");
    /// ```
    pub fn into_report(self) -> Report {
        self.0
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self(Report::of(error.as_ref(), CAUSES_MAX))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// With the causes, because this is what `main` prints when it returns one.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Report {
    fn of(error: &dyn Error, causes_left: usize) -> Self {
        let cause = error.source().filter(|_| causes_left > 0);
        Self {
            message: error.to_string(),
            cause: cause.map(|cause| Box::new(Self::of(cause, causes_left - 1))),
        }
    }

    /// A report that has only a text.
    ///
    /// ```
    /// use procession_process::Report;
    ///
    /// assert_eq!(Report::msg("the disk is full").to_string(), "the disk is full");
    /// ```
    pub fn msg(message: impl fmt::Display) -> Self {
        Failure::msg(message).0
    }

    /// As much of each text as `len` bytes in all allow.
    pub(crate) fn shortened(self, len: usize) -> Self {
        let mut texts = Vec::from(self);
        let share = len / texts.len();
        texts.iter_mut().for_each(|text| shorten(text, share));
        texts.into()
    }

    fn causes(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(self.cause.as_deref(), |report| report.cause.as_deref())
    }

    /// The texts of the causes, without those that stand in the text before them already: many errors, ours among them, say
    /// in one line what caused them.
    fn unsaid_causes(&self) -> impl Iterator<Item = &str> {
        let effects = std::iter::once(self).chain(self.causes());
        let said = |(effect, cause): &(&Self, &Self)| effect.message.contains(&cause.message);
        let unsaid = effects.zip(self.causes()).filter(move |pair| !said(pair));
        unsaid.map(|(_, cause)| cause.message.as_str())
    }
}

/// Cuts a text to at most `len` bytes, between two characters.
pub(crate) fn shorten(text: &mut String, len: usize) {
    let end = (0..=len.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
}

impl Error for Report {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if f.alternate() {
            self.unsaid_causes().try_for_each(|cause| write!(f, ": {cause}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut heading = "\n\nCaused by:";
        self.unsaid_causes()
            .try_for_each(|cause| write!(f, "{}\n    {cause}", std::mem::take(&mut heading)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("level {0}")]
    struct Deep(usize, #[source] Option<Box<Deep>>);

    fn deep(levels: usize) -> Deep {
        (0..levels).rev().fold(Deep(levels, None), |inner, n| Deep(n, Some(Box::new(inner))))
    }

    #[test]
    fn a_cause_that_was_said_already_is_not_said_again() {
        let texts = ["cannot start: no disk: full", "no disk: full", "full", "no space left"];
        let report = Report::from(texts.map(str::to_owned).to_vec());
        assert_eq!(format!("{report:#}"), "cannot start: no disk: full: no space left");
        assert_eq!(
            format!("{report:?}"),
            "cannot start: no disk: full\n\nCaused by:\n    no space left"
        );
        assert_eq!(report.source().unwrap().to_string(), "no disk: full");
        let said = Report::from(texts[..3].iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(format!("{said:?}"), "cannot start: no disk: full");
    }

    #[test]
    fn the_chain_of_causes_is_kept() {
        let failure = Failure::from(deep(2)).context("outermost");
        assert_eq!(format!("{:#}", failure.report()), "outermost: level 0: level 1: level 2");
        assert_eq!(
            format!("{failure:?}"),
            "outermost\n\nCaused by:\n    level 0\n    level 1\n    level 2"
        );
        let source = failure.report().source().unwrap();
        assert_eq!(source.to_string(), "level 0");
    }

    #[test]
    fn an_endless_chain_is_cut() {
        let report = Failure::from(deep(10_000)).into_report();
        assert_eq!(report.causes().count(), CAUSES_MAX);
    }

    #[test]
    fn every_kind_of_error_converts() {
        fn all(kind: usize) -> Result<(), Failure> {
            match kind {
                0 => Err(std::io::Error::other("io"))?,
                1 => Err(Box::<dyn Error>::from("boxed"))?,
                2 => Err("text")?,
                3 => Err("string".to_owned())?,
                _ => Err(Report::msg("report"))?,
            }
            Ok(())
        }
        let texts: Vec<String> = (0..5).map(|kind| all(kind).unwrap_err().to_string()).collect();
        assert_eq!(texts, ["io", "boxed", "text", "string", "report"]);
    }
}
