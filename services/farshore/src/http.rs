//! A small JSON client for the platform's own REST API.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 64 << 20;

/// The REST API of one platform or one region.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer that was not a success.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {message}")]
pub(crate) struct Refused {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// What the problem document says.
    pub(crate) message: String,
}

impl Api {
    /// The API at `base`, for example `http://127.0.0.1:8080`.
    pub(crate) fn at(base: impl Into<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(5)).build_http();
        Self { base: base.into().trim_end_matches('/').to_owned(), client }
    }

    /// Where it is.
    #[cfg(test)]
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// When nobody answers, the answer is a [`Refused`], or it is not the resource.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Sends `body` to a resource.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::POST, path, serde_json::to_vec(body)?.into()).await
    }

    /// Changes a resource.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::PATCH, path, serde_json::to_vec(body)?.into()).await
    }

    /// Puts a resource in place.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::PUT, path, serde_json::to_vec(body)?.into()).await
    }

    /// Removes a resource.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.send(Method::DELETE, path, Bytes::new()).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T> {
        let answer = self.send(method, path, body).await?;
        // An empty answer is `null`, for calls that expect nothing.
        let answer = if answer.is_empty() { Bytes::from_static(b"null") } else { answer };
        serde_json::from_slice(&answer).with_context(|| format!("{}{path} answered something unexpected", self.base))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/json").header("accept", "application/json");
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
            anyhow::Ok((status, body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes()))
        };
        let (status, body) = timeout(REQUEST_TIMEOUT, exchange)
            .await
            .with_context(|| format!("{} did not answer within {REQUEST_TIMEOUT:?}", self.base))?
            .with_context(|| format!("{} cannot be reached; is the platform running (`farshore up`)?", self.base))?;
        if !status.is_success() {
            bail!(Refused { status, message: problem(&body) });
        }
        Ok(body)
    }
}

/// What a problem document (RFC 9457) says, or the body itself.
fn problem(body: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let part = |name: &str| document.get(name).and_then(|value| value.as_str());
    match (part("detail"), part("title")) {
        (Some(detail), _) => detail.to_owned(),
        (None, Some(title)) => title.to_owned(),
        (None, None) => String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned(),
    }
}
