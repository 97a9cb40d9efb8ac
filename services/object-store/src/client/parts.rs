//! A body too large for one request.

use super::Client;
use super::answer::{failed_because, write_error};
use crate::limits::PART_BYTES;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use env::ObjectError;

impl Client {
    pub(super) async fn put_in_parts(&self, key: &str, body: Bytes) -> Result<(), ObjectError> {
        let begun = self.patient.create_multipart_upload().bucket(&self.bucket).key(key).send().await;
        let begun = begun.map_err(|error| write_error("write", key, &error))?;
        let no_id = || failed_because("write", key, "the store began an upload without naming it".to_owned());
        let id = begun.upload_id().ok_or_else(no_id)?;
        let outcome = self.send_parts(key, id, &body).await;
        if outcome.is_err() {
            // Whatever this answers: an upload that is not ended costs space, not correctness.
            let _aborted =
                self.patient.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(id).send().await;
        }
        outcome
    }

    async fn send_parts(&self, key: &str, id: &str, body: &Bytes) -> Result<(), ObjectError> {
        let mut sent = CompletedMultipartUpload::builder();
        for (number, start) in (1..).zip((0..body.len()).step_by(PART_BYTES)) {
            let part = body.slice(start..body.len().min(start + PART_BYTES));
            sent = sent.parts(self.send_part(key, id, number, part).await?);
        }
        let request = self.single.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(id);
        let done = request.if_none_match("*").multipart_upload(sent.build()).send().await;
        done.map(drop).map_err(|error| write_error("write", key, &error))
    }

    async fn send_part(&self, key: &str, id: &str, number: i32, part: Bytes) -> Result<CompletedPart, ObjectError> {
        let request = self.patient.upload_part().bucket(&self.bucket).key(key).upload_id(id).part_number(number);
        let sent = request.body(part.into()).send().await.map_err(|error| write_error("write", key, &error))?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
    }
}
