mod answer;
mod parts;

use crate::Credentials;
use crate::limits::{
    ATTEMPT_TIMEOUT, ATTEMPTS_MAX, CONNECT_TIMEOUT, LISTED_KEYS_MAX, OPERATION_TIMEOUT, PUT_BYTES_MAX, READ_BYTES_MAX,
    RETRY_PAUSE, UPLOAD_BYTES_PER_SECOND_MIN,
};
use answer::{failed, read_error, refused, status, write_error};
use aws_sdk_s3 as s3;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;
use env::{ObjectError, ObjectInfo, ObjectStore, PortFuture};
use std::time::Duration;

/// Where a bucket is and who asks for it. Nothing is looked up in the environment.
#[derive(Clone, Debug)]
pub struct Location {
    /// The service's address, such as `http://127.0.0.1:9000`; buckets are found in its path.
    pub endpoint: String,
    /// The region requests are signed for; a server of ours takes any.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// The key the requests are signed with.
    pub credentials: Credentials,
}

/// One bucket of S3.
///
/// Every call ends within two minutes, a large write a little later. Failures that may pass are tried again a few times. A write whose answer was lost
/// is tried again too: when the object is found there then, and is the same, it was ours.
#[derive(Clone, Debug)]
pub struct Client {
    bucket: String,
    patient: s3::Client,
    /// Attempts once: what a conditional write found must not be mistaken for what another one did.
    single: s3::Client,
}

impl Client {
    /// A client for the bucket at `location`. Nothing is sent yet.
    pub fn new(location: &Location) -> Self {
        let http = http_client(&location.endpoint);
        let patient = RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX).with_initial_backoff(RETRY_PAUSE);
        Self {
            bucket: location.bucket.clone(),
            patient: sdk_client(location, http.clone(), patient),
            single: sdk_client(location, http, RetryConfig::disabled()),
        }
    }

    /// Makes the bucket unless it is there.
    ///
    /// # Errors
    /// [`ObjectError`] when the store refuses or cannot be reached.
    pub async fn create_bucket(&self) -> Result<(), ObjectError> {
        within("create bucket", &self.bucket, self.create_missing_bucket()).await
    }

    async fn create_missing_bucket(&self) -> Result<(), ObjectError> {
        match self.patient.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => return Ok(()),
            Err(error) if status(&error) == Some(404) => {}
            Err(error) => return Err(write_error("look for bucket", &self.bucket, &error)),
        }
        match self.patient.create_bucket().bucket(&self.bucket).send().await {
            // Somebody was faster.
            Err(error) if status(&error) == Some(409) => Ok(()),
            made => made.map(drop).map_err(|error| write_error("create bucket", &self.bucket, &error)),
        }
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<(), ObjectError> {
        let mut outcome = self.attempt(key, body.clone()).await;
        for retry in 0..ATTEMPTS_MAX - 1 {
            if !matches!(&outcome, Err(error) if error.is_retryable()) {
                return outcome;
            }
            tokio::time::sleep(RETRY_PAUSE * 2_u32.pow(retry)).await;
            outcome = match self.attempt(key, body.clone()).await {
                Err(ObjectError::Exists { .. }) => return self.recognise(key, &body).await,
                outcome => outcome,
            };
        }
        outcome
    }

    async fn attempt(&self, key: &str, body: Bytes) -> Result<(), ObjectError> {
        if body.len() > PUT_BYTES_MAX {
            return self.put_in_parts(key, body).await;
        }
        let request = self.single.put_object().bucket(&self.bucket).key(key).if_none_match("*").body(body.into());
        request.send().await.map(drop).map_err(|error| write_error("write", key, &error))
    }

    /// Tells an object that an earlier attempt of ours wrote, its answer lost, from somebody else's.
    async fn recognise(&self, key: &str, body: &Bytes) -> Result<(), ObjectError> {
        let ours = self.fetch(key, None, READ_BYTES_MAX).await? == *body;
        if ours { Ok(()) } else { Err(ObjectError::Exists { key: key.to_owned() }) }
    }

    async fn fetch(&self, key: &str, range: Option<String>, limit: u64) -> Result<Bytes, ObjectError> {
        let request = self.patient.get_object().bucket(&self.bucket).key(key).set_range(range);
        let answer = request.send().await.map_err(|error| read_error("read", key, &error))?;
        receive(key, answer, limit).await
    }

    async fn fetch_range(&self, key: &str, start: u64, len: u64) -> Result<Bytes, ObjectError> {
        let Some(last) = len.checked_sub(1).and_then(|further| start.checked_add(further)) else {
            let reason = format!("{len} bytes from {start} on are no range");
            return if len == 0 { Ok(Bytes::new()) } else { Err(refused("read", key, reason)) };
        };
        let body = self.fetch(key, Some(format!("bytes={start}-{last}")), len.min(READ_BYTES_MAX)).await?;
        let got = body.len() as u64;
        let reason = || format!("it has only {got} of the {len} bytes from {start} on");
        if got == len { Ok(body) } else { Err(refused("read", key, reason())) }
    }

    async fn info(&self, key: &str) -> Result<ObjectInfo, ObjectError> {
        let answer = self.patient.head_object().bucket(&self.bucket).key(key).send().await;
        let answer = answer.map_err(|error| read_error("look for", key, &error))?;
        Ok(ObjectInfo { key: key.to_owned(), size: size(answer.content_length()) })
    }

    async fn names(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ObjectError> {
        let mut names: Vec<ObjectInfo> = Vec::new();
        let mut token = None;
        loop {
            let request = self.patient.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let page = request.set_continuation_token(token).send().await;
            let page = page.map_err(|error| write_error("list", prefix, &error))?;
            let objects = page.contents().iter().filter_map(|object| {
                object.key().map(|key| ObjectInfo { key: key.to_owned(), size: size(object.size()) })
            });
            names.extend(objects);
            if names.len() > LISTED_KEYS_MAX {
                return Err(refused("list", prefix, format!("more than {LISTED_KEYS_MAX} objects; ask for fewer")));
            }
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    async fn remove(&self, key: &str) -> Result<(), ObjectError> {
        match self.patient.delete_object().bucket(&self.bucket).key(key).send().await {
            Err(error) if matches!(read_error("delete", key, &error), ObjectError::NotFound { .. }) => Ok(()),
            done => done.map(drop).map_err(|error| read_error("delete", key, &error)),
        }
    }
}

async fn receive(key: &str, answer: GetObjectOutput, limit: u64) -> Result<Bytes, ObjectError> {
    let announced = size(answer.content_length());
    if announced > limit {
        return Err(refused("read", key, format!("{announced} bytes come at once; at most {limit} are taken")));
    }
    let body = answer.body.collect().await.map_err(|error| failed("read", key, &error))?.into_bytes();
    let whole = body.len() as u64 == announced;
    let reason = || format!("{} of {announced} bytes came", body.len());
    let cut = (!whole).then(|| ObjectError::Failed { what: "read", key: key.to_owned(), reason: reason() });
    cut.map_or(Ok(body), Err)
}

fn size(announced: Option<i64>) -> u64 {
    announced.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default()
}

/// Bounds an operation with all its attempts.
async fn within<T>(
    what: &'static str,
    key: &str,
    operation: impl Future<Output = Result<T, ObjectError>>,
) -> Result<T, ObjectError> {
    within_time(OPERATION_TIMEOUT, what, key, operation).await
}

async fn within_time<T>(
    limit: Duration,
    what: &'static str,
    key: &str,
    operation: impl Future<Output = Result<T, ObjectError>>,
) -> Result<T, ObjectError> {
    tokio::time::timeout(limit, operation).await.unwrap_or_else(|_| {
        let reason = format!("no end after {} s", limit.as_secs());
        Err(ObjectError::Failed { what, key: key.to_owned(), reason })
    })
}

fn upload_time(bytes: usize) -> Duration {
    OPERATION_TIMEOUT + Duration::from_secs((bytes / UPLOAD_BYTES_PER_SECOND_MIN) as u64)
}

fn http_client(endpoint: &str) -> SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new().pool_idle_timeout(Duration::from_secs(20));
    if endpoint.starts_with("https:") {
        builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    } else {
        builder.build_http()
    }
}

fn sdk_client(location: &Location, http: SharedHttpClient, retries: RetryConfig) -> s3::Client {
    let Credentials { access_key, secret_key } = location.credentials.clone();
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let config = s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(&location.endpoint)
        .region(Region::new(location.region.clone()))
        .credentials_provider(s3::config::Credentials::new(access_key, secret_key, None, None, "farshore"))
        .force_path_style(true)
        // Bodies are signed with their SHA-256, and what we store carries checksums of its own.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries)
        .build();
    s3::Client::from_conf(config)
}

impl ObjectStore for Client {
    fn put_new<'a>(&'a self, key: &'a str, body: Bytes) -> PortFuture<'a, Result<(), ObjectError>> {
        Box::pin(within_time(upload_time(body.len()), "write", key, self.put(key, body)))
    }

    fn read<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<Bytes, ObjectError>> {
        Box::pin(within("read", key, self.fetch(key, None, READ_BYTES_MAX)))
    }

    fn read_range<'a>(&'a self, key: &'a str, start: u64, len: u64) -> PortFuture<'a, Result<Bytes, ObjectError>> {
        Box::pin(within("read", key, self.fetch_range(key, start, len)))
    }

    fn head<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<ObjectInfo, ObjectError>> {
        Box::pin(within("look for", key, self.info(key)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> PortFuture<'a, Result<Vec<ObjectInfo>, ObjectError>> {
        Box::pin(within("list", prefix, self.names(prefix)))
    }

    fn delete<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<(), ObjectError>> {
        Box::pin(within("delete", key, self.remove(key)))
    }
}
