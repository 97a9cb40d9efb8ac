//! What is told on the terminal: answers on the output, remarks on the error stream.
//!
//! Neither stream has to have a reader (`farshore topic list | head -1`), nor has a disk they go to have room. A command
//! whose answer nobody reads ends; what serves goes on unheard. The macros of the standard library would panic instead.

use std::fmt::Display;
use std::io::{self, Write};

/// How a command ends whose output nobody reads to its end: as shells show the end by SIGPIPE.
pub(crate) const UNREAD: u8 = 128 + 13;

/// An answer was not written to its end.
#[derive(Debug, thiserror::Error)]
#[error("the output cannot be written")]
pub(crate) struct Unwritten(#[from] io::Error);

impl Unwritten {
    /// Whether that is because its reader has gone, who misses nothing.
    fn is_unread(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Whether a command failed for nothing but that its output has no reader any more.
pub(crate) fn is_unread(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(Unwritten::is_unread)
}

/// Writes one line of an answer, as `println!` does.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::write(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Writes one line to the error stream, as `eprintln!` does. Where nobody reads it, it is not heard.
macro_rules! remark {
    ($($text:tt)*) => {
        $crate::output::mention(format_args!("{}\n", format_args!($($text)*)))
    };
}

pub(crate) use {remark, say};

/// Writes `text` to the output as it is.
///
/// # Errors
/// [`Unwritten`] when not all of it was taken.
pub(crate) fn write(text: impl Display) -> Result<(), Unwritten> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes `text` to the error stream as it is, if that can be.
pub(crate) fn mention(text: impl Display) {
    // There is nobody left to be told.
    let _ = write!(io::stderr().lock(), "{text}");
}
