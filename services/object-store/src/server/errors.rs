//! What went wrong, in S3's words.

use super::backend::BackendError;
use super::key::BadKey;
use super::staged::ReceiveError;
use super::upload::UploadError;
use s3s::{S3Error, S3ErrorCode};
use std::io;

/// Everything an operation can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Key(#[from] BadKey),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Upload(UploadError),
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Backend(error) => Self::Backend(error),
            error => Self::Upload(error),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Backend(BackendError::Io(error))
    }
}

impl Refusal {
    fn code(&self) -> S3ErrorCode {
        match self {
            Self::Key(BadKey::Control(_)) => S3ErrorCode::InvalidArgument,
            Self::Key(BadKey::TooLong { .. }) => S3ErrorCode::KeyTooLongError,
            Self::Backend(BackendError::NoBucket) => S3ErrorCode::NoSuchBucket,
            Self::Backend(BackendError::NoObject) => S3ErrorCode::NoSuchKey,
            Self::Backend(BackendError::Exists) => S3ErrorCode::PreconditionFailed,
            Self::Backend(BackendError::Io(_)) | Self::Receive(ReceiveError::Io(_)) => S3ErrorCode::InternalError,
            Self::Receive(ReceiveError::Broken(_)) => S3ErrorCode::IncompleteBody,
            Self::Receive(ReceiveError::Silent) => S3ErrorCode::RequestTimeout,
            Self::Receive(ReceiveError::TooLarge) | Self::Upload(UploadError::TooLarge) => S3ErrorCode::EntityTooLarge,
            Self::Upload(UploadError::Unknown | UploadError::Backend(_)) => S3ErrorCode::NoSuchUpload,
            Self::Upload(UploadError::TooMany) => S3ErrorCode::SlowDown,
            Self::Upload(UploadError::Part(_) | UploadError::Empty) => S3ErrorCode::InvalidPart,
        }
    }
}

/// The answer to an operation that failed.
pub(crate) fn refuse(error: impl Into<Refusal>) -> S3Error {
    let refusal = error.into();
    if refusal.code() == S3ErrorCode::InternalError {
        tracing::error!(error = %refusal, "the object store's disk failed");
    }
    S3Error::with_message(refusal.code(), refusal.to_string())
}
