//! How fresh a read is.

use super::Api;
use super::refused::Refused;
use ::api::ErrorCode;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::Duration;
use tokio::time::timeout;

/// What an answer was read from.
pub(super) const HEADER: &str = "farshore-consistency";
/// How long the council may take to say that this node has everything.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

/// How fresh a read shall be, and was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consistency {
    /// Everything that was decided before.
    Linearizable,
    /// What this node has, as asked.
    Local,
    /// What this node has, because there is no quorum.
    Fallback,
}

impl Consistency {
    const fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Local => "local",
            Self::Fallback => "local; no-quorum",
        }
    }

    fn asked(query: &str) -> Result<Self, Refused> {
        let asked = query.split('&').find_map(|pair| pair.strip_prefix("consistency="));
        match asked {
            None | Some("linearizable") => Ok(Self::Linearizable),
            Some("local") => Ok(Self::Local),
            Some(other) => {
                let what = format!("consistency is linearizable or local, not {other:?}");
                Err(Refused::new(ErrorCode::InvalidRequest, what))
            }
        }
    }
}

/// Makes sure that reads of nouns see everything that was decided before.
pub(super) async fn settle(State(api): State<Api>, request: Request, next: Next) -> Response {
    let is_read = request.method() == Method::GET && request.uri().path().starts_with("/v1/");
    if !is_read {
        return next.run(request).await;
    }
    let consistency = match Consistency::asked(request.uri().query().unwrap_or_default()) {
        Ok(Consistency::Linearizable) if !is_current(&api).await => Consistency::Fallback,
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    let mut response = next.run(request).await;
    response.headers_mut().insert(HEADER, HeaderValue::from_static(consistency.name()));
    response
}

async fn is_current(api: &Api) -> bool {
    matches!(timeout(CONFIRM_TIMEOUT, api.council().ensure_linearizable()).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_how_fresh_a_read_is() {
        assert_eq!(Consistency::asked("").unwrap(), Consistency::Linearizable);
        assert_eq!(Consistency::asked("limit=3&consistency=local").unwrap(), Consistency::Local);
        assert!(Consistency::asked("consistency=eventually").is_err());
    }
}
