//! What the store answered, in the port's words.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use env::ObjectError;
use std::error::Error;

/// The HTTP status of an answer that is an error; `None` when there was no answer.
pub(super) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// Why a read failed: a missing object has an error of its own.
pub(super) fn read_error<E>(what: &'static str, key: &str, error: &SdkError<E>) -> ObjectError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let no_bucket = error.code() == Some("NoSuchBucket");
    if status(error) == Some(404) && !no_bucket {
        return ObjectError::NotFound { key: key.to_owned() };
    }
    classify(what, key, error)
}

/// Why a write failed: a name that is taken has an error of its own.
pub(super) fn write_error<E>(what: &'static str, key: &str, error: &SdkError<E>) -> ObjectError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if status(error) == Some(412) {
        return ObjectError::Exists { key: key.to_owned() };
    }
    classify(what, key, error)
}

fn classify<E>(what: &'static str, key: &str, error: &SdkError<E>) -> ObjectError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    // A request that timed out, met another one or came too fast may be sent again; other 4xx stay what they are.
    let is_refusal = match status(error) {
        Some(408 | 409 | 429) => false,
        Some(status) => (400..500).contains(&status),
        None => matches!(error, SdkError::ConstructionFailure(_)),
    };
    if is_refusal { refused(what, key, reason(error)) } else { failed_because(what, key, reason(error)) }
}

fn reason<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let Some(status) = status(error) else { return chain(error) };
    let code = error.code().unwrap_or("no error code");
    match error.message() {
        Some(message) => format!("{code}: {message} (HTTP {status})"),
        None => format!("{code} (HTTP {status})"),
    }
}

/// An error and what caused it, on one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

pub(super) fn refused(what: &'static str, key: &str, reason: String) -> ObjectError {
    ObjectError::Refused { what, key: key.to_owned(), reason }
}

pub(super) fn failed_because(what: &'static str, key: &str, reason: String) -> ObjectError {
    ObjectError::Failed { what, key: key.to_owned(), reason }
}

pub(super) fn failed(what: &'static str, key: &str, error: &dyn Error) -> ObjectError {
    failed_because(what, key, chain(error))
}
