//! S3: a client over the AWS SDK and a small durable embedded server.
