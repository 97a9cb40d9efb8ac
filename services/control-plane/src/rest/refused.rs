//! Every way in which a request can fail, as a problem document (RFC 9457).

use crate::council::{CallFailed, CouncilError};
use crate::execute::RecoveryError;
use crate::work::WorkError;
use api::{ErrorCode, PROBLEM_MEDIA_TYPE, Problem};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use catalog::{CatalogError, Refusal, RefusalKind};

/// A request that was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) Box<Problem>);

/// What a handler comes to.
pub(crate) type Answered<T> = Result<T, Refused>;

impl Refused {
    pub(crate) fn new(code: ErrorCode, detail: impl ToString) -> Self {
        Problem::new(code, detail.to_string()).into()
    }

    /// There is no `what` called `name`.
    pub(crate) fn unknown(what: &str, name: impl ToString) -> Self {
        let name = name.to_string();
        Problem::new(ErrorCode::NotFound, format!("there is no {what} {name}")).with_subject(name).into()
    }

    /// A value that cannot be had.
    pub(crate) fn unprocessable(detail: impl ToString) -> Self {
        Self::new(ErrorCode::Unprocessable, detail)
    }
}

impl Refused {
    /// The same, naming the path that was asked for.
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.0.instance = Some(path.to_owned());
        self
    }
}

impl IntoResponse for Refused {
    /// The problem itself goes along, for whoever knows the path that was asked for.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self.0)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        if self.0.retryable && status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body is not read, so that no other request can follow it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (code, subject) = match &refusal {
            Refusal::RunInProgress { run, .. } => (ErrorCode::RunInProgress, Some(run.to_string())),
            Refusal::Unformed => (ErrorCode::NotReady, None),
            Refusal::Exists { name, .. } => (ErrorCode::AlreadyExists, Some(name.clone())),
            Refusal::TopicExists { topic, .. } => (ErrorCode::AlreadyExists, Some(topic.to_string())),
            Refusal::NotFound { name, .. } => (ErrorCode::NotFound, Some(name.clone())),
            Refusal::UnknownTopic { topic } => (ErrorCode::NotFound, Some(topic.to_string())),
            Refusal::Changed { name, .. } => (ErrorCode::PreconditionFailed, Some(name.clone())),
            other => (code_of(other.kind()), None),
        };
        let problem = Problem::new(code, refusal.to_string());
        match subject {
            Some(subject) => problem.with_subject(subject).into(),
            None => problem.into(),
        }
    }
}

const fn code_of(kind: RefusalKind) -> ErrorCode {
    match kind {
        RefusalKind::Invalid => ErrorCode::Unprocessable,
        RefusalKind::NotFound => ErrorCode::NotFound,
        RefusalKind::Conflict | RefusalKind::Stale | RefusalKind::Busy => ErrorCode::Conflict,
        RefusalKind::Limit => ErrorCode::LimitReached,
    }
}

impl From<CouncilError> for Refused {
    fn from(error: CouncilError) -> Self {
        match error {
            CouncilError::Refused(refusal) => refusal.into(),
            CouncilError::NotDone(_) => Self::new(ErrorCode::NoQuorum, error),
            CouncilError::Unknown(_) => {
                Problem::new(ErrorCode::NoQuorum, error.to_string()).of_unknown_outcome().into()
            }
        }
    }
}

impl From<CatalogError> for Refused {
    fn from(error: CatalogError) -> Self {
        tracing::error!(%error, "the catalog cannot be read");
        Self::new(ErrorCode::Internal, format!("the catalog cannot be read: {error}"))
    }
}

impl From<RecoveryError> for Refused {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::NoPicture(_) => Self::new(ErrorCode::NotReady, error),
            RecoveryError::UnknownGroup(group) => Self::unknown("protection group", group),
            RecoveryError::UnknownRun(run) => Self::unknown("run", run),
            RecoveryError::Refused(_) | RecoveryError::Unsound(_) | RecoveryError::NothingMoves(_) => {
                Self::new(ErrorCode::PlanRefused, error)
            }
            RecoveryError::Illegal(_) => Self::new(ErrorCode::Conflict, error),
            RecoveryError::Council(error) => error.into(),
            RecoveryError::Catalog(error) => error.into(),
        }
    }
}

impl From<WorkError> for Refused {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Council(error) => error.into(),
            WorkError::Catalog(error) => error.into(),
            WorkError::UnknownGroup(group) => Self::unknown("protection group", group),
            WorkError::UnknownTail(tail) => Self::unknown("diverged tail", tail),
            WorkError::NotReinjectable { .. } => Self::unprocessable(error),
            WorkError::UnknownBackup(_) => Self::new(ErrorCode::NotFound, error),
            WorkError::Damaged { .. } | WorkError::NotInBackup { .. } => Self::unprocessable(error),
            WorkError::HasData { .. } | WorkError::NothingToRestore(_) => Self::new(ErrorCode::Conflict, error),
            WorkError::Region { .. } => Self::new(ErrorCode::RegionUnavailable, error),
        }
    }
}

impl From<CallFailed> for Refused {
    fn from(error: CallFailed) -> Self {
        let problem = Problem::new(ErrorCode::RegionUnavailable, error.what);
        if error.may_have_happened { problem.of_unknown_outcome().into() } else { problem.into() }
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        let code = match (&rejection, rejection.status()) {
            (_, StatusCode::PAYLOAD_TOO_LARGE) => ErrorCode::PayloadTooLarge,
            (JsonRejection::JsonDataError(_), _) => ErrorCode::Unprocessable,
            _ => ErrorCode::InvalidRequest,
        };
        Self::new(code, rejection.body_text())
    }
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(ErrorCode::InvalidRequest, rejection.body_text())
    }
}

impl From<PathRejection> for Refused {
    fn from(rejection: PathRejection) -> Self {
        Self::new(ErrorCode::InvalidRequest, rejection.body_text())
    }
}
