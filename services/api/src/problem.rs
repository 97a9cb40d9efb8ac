use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not answered as asked (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:farshore:problem:run_in_progress",
    "title": "a run of this protection group is in progress",
    "status": 409,
    "detail": "run f-20260101-0001 of protection group default is in progress; wait for it or cancel it",
    "code": "run_in_progress",
    "happened": "no",
    "retryable": true,
    "subject": "f-20260101-0001"
}))]
pub struct Problem {
    /// The kind of problem, as a URI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong, with which value, and what to do next.
    pub detail: String,
    /// The path that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The kind of problem, for programs.
    pub code: ErrorCode,
    /// Whether anything happened all the same.
    pub happened: Happened,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// What is in the way, for example the run in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// Whether a request that failed had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// Nothing happened.
    No,
    /// Nobody knows: look before you ask again, or ask again with the same `Idempotency-Key`.
    Unknown,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal, $title:literal;)*) => {
        /// The kinds of problems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The HTTP status it is sent with.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            /// What it means.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }
        }
    };
}

codes! {
    /// The request makes no sense.
    InvalidRequest = 400, "the request cannot be understood";
    /// The request is understood and cannot be had.
    Unprocessable = 422, "what was asked for cannot be had";
    /// There is no such thing.
    NotFound = 404, "there is no such thing";
    /// There is no such path or method.
    MethodNotAllowed = 405, "this cannot be done to this resource";
    /// A thing of that name is there.
    AlreadyExists = 409, "a thing of that name exists";
    /// Something is in the way.
    Conflict = 409, "something is in the way";
    /// A run of the protection group is in progress.
    RunInProgress = 409, "a run of this protection group is in progress";
    /// The plan was refused by the audit.
    PlanRefused = 409, "the plan is not safe or not possible now";
    /// `If-Match` did not match.
    PreconditionFailed = 412, "it changed since you looked at it";
    /// A change needs `If-Match`.
    PreconditionRequired = 428, "say which version you change with If-Match";
    /// The body is too large.
    PayloadTooLarge = 413, "the body is too large";
    /// A limit is reached.
    LimitReached = 429, "a limit is reached";
    /// The council has no leader or no majority.
    NoQuorum = 503, "the council has no quorum";
    /// The platform is not formed yet, or this node is starting.
    NotReady = 503, "the platform is starting";
    /// A region that is needed does not answer.
    RegionUnavailable = 503, "a region that is needed does not answer";
    /// The object store does not answer.
    ObjectStoreUnavailable = 503, "the object store does not answer";
    /// No answer came in time.
    Timeout = 504, "no answer came in time";
    /// This version cannot do it.
    Unsupported = 501, "this version cannot do it";
    /// Something is broken.
    Internal = 500, "something is broken";
}

impl ErrorCode {
    /// Whether the same request may succeed later.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::RunInProgress
            | Self::LimitReached
            | Self::NoQuorum
            | Self::NotReady
            | Self::RegionUnavailable
            | Self::ObjectStoreUnavailable
            | Self::Timeout => true,
            Self::InvalidRequest
            | Self::Unprocessable
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::AlreadyExists
            | Self::Conflict
            | Self::PlanRefused
            | Self::PreconditionFailed
            | Self::PreconditionRequired
            | Self::PayloadTooLarge
            | Self::Unsupported
            | Self::Internal => false,
        }
    }

    /// Whether the request may have had an effect.
    pub const fn happened(self) -> Happened {
        match self {
            Self::Timeout | Self::Internal => Happened::Unknown,
            _ => Happened::No,
        }
    }

    fn word(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(word)) => word,
            other => unreachable!("an error code is a word, not {other:?}"),
        }
    }
}

impl Problem {
    /// A problem of this kind. `detail` says what was wrong, with which value, and what to do next.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:farshore:problem:{}", code.word()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            instance: None,
            code,
            happened: code.happened(),
            retryable: code.is_retryable(),
            subject: None,
        }
    }

    /// The same, naming what is in the way.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The same, where it is not known whether the request had an effect.
    #[must_use]
    pub fn of_unknown_outcome(mut self) -> Self {
        self.happened = Happened::Unknown;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_rfc_9457() {
        let problem = Problem::new(ErrorCode::RunInProgress, "run f-1 is in progress").with_subject("f-1");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:farshore:problem:run_in_progress");
        assert_eq!(json["status"], 409);
        assert_eq!(
            (&json["code"], &json["happened"], &json["retryable"]),
            (&"run_in_progress".into(), &"no".into(), &true.into())
        );
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }

    #[test]
    fn every_code_has_an_error_status() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert!(!code.word().is_empty());
        }
    }
}
