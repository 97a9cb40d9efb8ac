//! What a request says, read with problem documents for answers.

use super::refused::{Answered, Refused};
use api::{ErrorCode, Page, Paging};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use catalog::limits::{PAGE_ROWS_MAX, TEXT_BYTES_MAX};
use catalog::reader::PageOf;
use std::str::FromStr;
use utoipa::IntoParams;

/// How many things a page holds unless somebody says otherwise.
const PAGE_DEFAULT: u32 = 100;
/// The longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 256;

/// A JSON body.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Refused))]
pub(crate) struct Json<T>(pub(crate) T);

/// The query of the URI.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refused))]
pub(crate) struct Query<T>(pub(crate) T);

/// Names in the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Refused))]
pub(crate) struct Path<T>(pub(crate) T);

/// The conditions under which a change is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// `Idempotency-Key`: the same key again gets the same answer.
    pub(crate) key: Option<String>,
    /// `If-Match`: the revision the thing must have.
    pub(crate) revision: Option<u64>,
}

/// `Idempotency-Key`, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Keyed {
    /// The same key again gets the same answer and has no second effect.
    #[param(rename = "Idempotency-Key", max_length = 256)]
    _key: Option<String>,
}

/// `If-Match`, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Matched {
    /// The `ETag` it must have.
    #[param(rename = "If-Match", example = "\"7\"")]
    _tag: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        Ok(Self { key: idempotency_key(parts)?, revision: revision(parts)? })
    }
}

fn idempotency_key(parts: &Parts) -> Answered<Option<String>> {
    let Some(value) = parts.headers.get("idempotency-key") else { return Ok(None) };
    const { assert!(KEY_BYTES_MAX < TEXT_BYTES_MAX, "the council keeps it") };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok(Some(key.to_owned())),
        _ => {
            let what =
                format!("an Idempotency-Key is 1 to {KEY_BYTES_MAX} visible ASCII characters, for example a UUID");
            Err(Refused::new(ErrorCode::InvalidRequest, what))
        }
    }
}

fn revision(parts: &Parts) -> Answered<Option<u64>> {
    let Some(value) = parts.headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let what = || format!("If-Match is the ETag of an earlier answer, for example \"7\", not {text:?}");
    tag.parse().map(Some).map_err(|_| Refused::new(ErrorCode::InvalidRequest, what()))
}

/// A name in the path or body of a request.
pub(crate) fn name<T: FromStr<Err = model::BadName>>(text: &str) -> Answered<T> {
    text.parse().map_err(Refused::unprocessable)
}

/// A name that may be left out.
pub(crate) fn maybe_name<T: FromStr<Err = model::BadName>>(text: Option<&str>) -> Answered<Option<T>> {
    text.map(name).transpose()
}

/// How many things are wanted.
pub(crate) fn limit(paging: &Paging) -> Answered<u32> {
    match paging.limit {
        None => Ok(PAGE_DEFAULT),
        Some(limit @ 1..=PAGE_ROWS_MAX) => Ok(limit),
        Some(limit) => {
            let what = format!("limit is from 1 to {PAGE_ROWS_MAX}, not {limit}");
            Err(Refused::new(ErrorCode::InvalidRequest, what))
        }
    }
}

/// The page of a list whose pages go on behind a number.
pub(crate) fn page(paging: &Paging) -> Answered<catalog::reader::Page> {
    let after = paging.after.as_deref().map(str::parse).transpose().map_err(|_| {
        Refused::new(ErrorCode::InvalidRequest, "after is what the page before gave as next, unchanged")
    })?;
    Ok(catalog::reader::Page { limit: Some(limit(paging)?), after })
}

/// That page, for clients.
pub(crate) fn shown<T, U>(page: PageOf<T>, show: impl FnMut(T) -> U) -> Page<U> {
    Page { items: page.items.into_iter().map(show).collect(), next: page.next.map(|next| next.to_string()) }
}

/// The page of a list in memory that goes on behind a name.
pub(crate) fn cut<T>(items: impl Iterator<Item = T>, paging: &Paging, name: impl Fn(&T) -> &str) -> Answered<Page<T>> {
    let limit = limit(paging)? as usize;
    let after = paging.after.as_deref();
    let mut items: Vec<T> = items.filter(|item| after.is_none_or(|after| name(item) > after)).take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| name(last).to_owned());
    Ok(Page { items, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn conditions(headers: &[(&str, &str)]) -> Answered<Conditions> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Ok(Conditions { key: idempotency_key(&parts)?, revision: revision(&parts)? })
    }

    #[test]
    fn conditions_are_read_or_refused() {
        let read = conditions(&[("If-Match", "\"7\""), ("Idempotency-Key", "k-1")]).unwrap();
        assert_eq!(read, Conditions { key: Some("k-1".into()), revision: Some(7) });
        assert_eq!(conditions(&[("If-Match", "*")]).unwrap(), Conditions::default());
        assert!(conditions(&[("If-Match", "\"x\"")]).is_err());
        assert!(conditions(&[("Idempotency-Key", "")]).is_err());
        assert!(conditions(&[("Idempotency-Key", &"k".repeat(257))]).is_err());
    }

    #[test]
    fn a_list_is_read_page_by_page() {
        let names = ["a", "b", "c"];
        let read = |limit, after: Option<&str>| {
            let paging = Paging { limit: Some(limit), after: after.map(str::to_owned) };
            cut(names.iter(), &paging, |name| name).unwrap()
        };
        assert_eq!(read(2, None), Page { items: vec![&"a", &"b"], next: Some("b".into()) });
        assert_eq!(read(2, Some("b")), Page::whole(vec![&"c"]));
        assert_eq!(read(3, None).next, None);
        assert!(limit(&Paging { limit: Some(0), after: None }).is_err());
        assert!(limit(&Paging { limit: Some(1001), after: None }).is_err());
    }
}
