//! S3's operations over the backend. What is not here is answered with `NotImplemented`.

use super::backend::{Backend, BackendError, Info, WriteMode};
use super::errors::refuse;
use super::key::{ObjectPath, place};
use super::list::{self, Page, Query};
use super::staged::receive;
use super::upload::{Completion, Uploads};
use crate::limits::{PAGE_KEYS_MAX, PARTS_MAX, PIECE_BYTES};
use bytes::Bytes;
use futures::{Stream, stream};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Bucket, CommonPrefix, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, ETag, ETagCondition, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput,
    ListBucketsOutput, ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput, PutObjectOutput, StreamingBlob,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The operations of one server.
#[derive(Debug)]
pub(crate) struct Service {
    backend: Arc<Backend>,
    uploads: Arc<Uploads>,
}

impl Service {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend: Arc::new(backend), uploads: Arc::default() }
    }

    /// Does what blocks on the disk away from the network's threads.
    async fn on_disk<T, E>(&self, work: impl FnOnce(&Backend, &Uploads) -> Result<T, E> + Send + 'static) -> S3Result<T>
    where
        T: Send + 'static,
        E: Into<super::errors::Refusal> + Send + 'static,
    {
        let (backend, uploads) = (Arc::clone(&self.backend), Arc::clone(&self.uploads));
        let done = tokio::task::spawn_blocking(move || work(&backend, &uploads)).await;
        done.map_err(s3s::S3Error::internal_error)?.map_err(refuse)
    }

    async fn find(&self, bucket: String, key: &str) -> S3Result<(File, Info)> {
        let path = place(key).map_err(refuse)?;
        self.on_disk(move |backend, _| backend.open_object(&bucket, &path)).await
    }

    async fn receive(&self, body: Option<StreamingBlob>) -> S3Result<super::staged::Staged> {
        receive(&self.backend, body).await.map_err(refuse)
    }
}

fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

/// Writes are once or not; comparing with a tag is not offered.
fn write_mode(if_match: bool, if_none_match: Option<&ETagCondition>) -> S3Result<WriteMode> {
    match if_none_match {
        _ if if_match => Err(s3_error!(NotImplemented, "a write cannot depend on If-Match here")),
        None => Ok(WriteMode::Replace),
        Some(ETagCondition::Any) => Ok(WriteMode::Once),
        Some(ETagCondition::ETag(_)) => Err(s3_error!(NotImplemented, "If-None-Match takes only * here")),
    }
}

fn strong(info: &Info) -> Option<ETag> {
    Some(ETag::Strong(info.etag.clone()))
}

/// A file's bytes in pieces, each read when the network has taken the one before.
fn pieces(file: File, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    stream::try_unfold((Arc::new(file), range), |(file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let len = (range.end - range.start).min(PIECE_BYTES as u64);
        let piece = read(Arc::clone(&file), range.start, len as usize).await?;
        Ok(Some((piece, (file, range.start + len..range.end))))
    })
}

async fn read(file: Arc<File>, start: u64, len: usize) -> io::Result<Bytes> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; len];
        file.read_exact_at(&mut piece, start)?;
        Ok(piece.into())
    });
    reading.await.map_err(io::Error::other)?
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let bucket = request.input.bucket;
        let location = Some(format!("/{bucket}"));
        match self.on_disk(move |backend, _| Ok::<_, BackendError>(backend.create_bucket(&bucket))).await? {
            Err(BackendError::Exists) => Err(s3_error!(BucketAlreadyOwnedByYou, "the bucket exists already")),
            made => made.map_err(refuse).and_then(|()| answer(CreateBucketOutput { location })),
        }
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.on_disk(move |backend, _| backend.bucket(&request.input.bucket)).await?;
        answer(HeadBucketOutput::default())
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let buckets = self.on_disk(|backend, _| backend.buckets()).await?;
        let buckets = buckets.into_iter().map(|(name, modified)| Bucket {
            name: Some(name),
            creation_date: Some(modified.into()),
            ..Bucket::default()
        });
        answer(ListBucketsOutput { buckets: Some(buckets.collect()), ..ListBucketsOutput::default() })
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { bucket, key, body, if_match, if_none_match, .. } = request.input;
        let mode = write_mode(if_match.is_some(), if_none_match.as_ref())?;
        let path = place(&key).map_err(refuse)?;
        let staged = self.receive(body).await?;
        let info = self.on_disk(move |backend, _| backend.publish(&staged, &bucket, &path, mode)).await?;
        answer(PutObjectOutput { e_tag: strong(&info), ..PutObjectOutput::default() })
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        if input.if_match.is_some() || input.if_none_match.is_some() || input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "a read can neither depend on a tag nor name a part here"));
        }
        let (file, info) = self.find(input.bucket, &input.key).await?;
        let all = 0..info.size;
        let asked = input.range.map(|range| range.check(info.size)).transpose();
        let asked = asked.map_err(|_| s3_error!(InvalidRange, "the object has {} bytes", info.size))?;
        let range = asked.clone().unwrap_or(all);
        let content_range = asked.map(|range| format!("bytes {}-{}/{}", range.start, range.end - 1, info.size));
        answer(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some((range.end - range.start) as i64),
            content_range,
            e_tag: strong(&info),
            last_modified: Some(info.modified.into()),
            body: Some(StreamingBlob::wrap(pieces(file, range))),
            ..GetObjectOutput::default()
        })
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let HeadObjectInput { bucket, key, .. } = request.input;
        let (_, info) = self.find(bucket, &key).await?;
        answer(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(info.size as i64),
            e_tag: strong(&info),
            last_modified: Some(info.modified.into()),
            ..HeadObjectOutput::default()
        })
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let DeleteObjectInput { bucket, key, .. } = request.input;
        let path = place(&key).map_err(refuse)?;
        self.on_disk(move |backend, _| backend.delete(&bucket, &path)).await?;
        answer(DeleteObjectOutput::default())
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        if input.encoding_type.is_some() {
            return Err(s3_error!(NotImplemented, "names are listed as they are; leave out encoding-type"));
        }
        let asked = input.clone();
        let page = self.on_disk(move |backend, _| {
            let directory = backend.bucket(&asked.bucket)?;
            list::page(&directory, query(&asked)).map_err(BackendError::from)
        });
        answer(listing(input, page.await?))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let CreateMultipartUploadInput { bucket, key, .. } = request.input;
        place(&key).map_err(refuse)?;
        self.backend.bucket(&bucket).map_err(refuse)?;
        let upload_id = Some(self.uploads.begin(&bucket, &key).map_err(refuse)?);
        answer(CreateMultipartUploadOutput { bucket: Some(bucket), key: Some(key), upload_id, ..Default::default() })
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let UploadPartInput { bucket, key, upload_id, part_number, body, .. } = request.input;
        if !(1..=PARTS_MAX).contains(&part_number) {
            return Err(s3_error!(InvalidArgument, "part numbers go from 1 to {PARTS_MAX}, not {part_number}"));
        }
        let staged = self.receive(body).await?;
        let etag = self.uploads.add(&upload_id, &bucket, &key, part_number, staged).map_err(refuse)?;
        answer(UploadPartOutput { e_tag: Some(ETag::Strong(etag)), ..UploadPartOutput::default() })
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let mode = write_mode(input.if_match.is_some(), input.if_none_match.as_ref())?;
        let path = place(&input.key).map_err(refuse)?;
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let info = self.on_disk(move |backend, uploads| complete(backend, uploads, &input, &path, mode)).await?;
        let (bucket, key) = (Some(bucket), Some(key));
        answer(CompleteMultipartUploadOutput { bucket, key, e_tag: strong(&info), ..Default::default() })
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let AbortMultipartUploadInput { bucket, key, upload_id, .. } = request.input;
        self.uploads.abort(&upload_id, &bucket, &key).map_err(refuse)?;
        answer(AbortMultipartUploadOutput::default())
    }
}

fn complete(
    backend: &Backend,
    uploads: &Uploads,
    input: &CompleteMultipartUploadInput,
    path: &ObjectPath,
    mode: WriteMode,
) -> Result<Info, super::upload::UploadError> {
    let named = input.multipart_upload.iter().flat_map(|upload| upload.parts.iter().flatten());
    let parts = named.map(|part| {
        let etag = part.e_tag.as_ref().map(ETag::value).unwrap_or_default();
        (part.part_number.unwrap_or_default(), etag.to_owned())
    });
    let parts = parts.collect();
    uploads.complete(
        backend,
        &Completion { id: &input.upload_id, bucket: &input.bucket, key: &input.key, path, mode, parts },
    )
}

fn query(input: &ListObjectsV2Input) -> Query<'_> {
    let token = input.continuation_token.as_deref().or(input.start_after.as_deref());
    Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        after: token.unwrap_or_default(),
        delimiter: input.delimiter.as_deref().unwrap_or_default(),
        limit: input.max_keys.map_or(PAGE_KEYS_MAX, |keys| (keys.max(0) as usize).min(PAGE_KEYS_MAX)),
    }
}

fn listing(asked: ListObjectsV2Input, page: Page) -> ListObjectsV2Output {
    let objects = page.objects.into_iter().map(|(key, info)| Object {
        key: Some(key),
        size: Some(info.size as i64),
        e_tag: strong(&info),
        last_modified: Some(info.modified.into()),
        ..Object::default()
    });
    let contents: Vec<_> = objects.collect();
    let folded = page.prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) });
    let common_prefixes: Vec<_> = folded.collect();
    ListObjectsV2Output {
        name: Some(asked.bucket),
        prefix: asked.prefix,
        delimiter: asked.delimiter,
        start_after: asked.start_after,
        max_keys: asked.max_keys.or(Some(PAGE_KEYS_MAX as i32)),
        key_count: Some((contents.len() + common_prefixes.len()) as i32),
        continuation_token: asked.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next,
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        ..ListObjectsV2Output::default()
    }
}
