//! Every limit of the client and the server, named once.

use std::time::Duration;

/// The largest body sent in one request; a larger one goes up in parts.
pub(crate) const PUT_BYTES_MAX: usize = 16 << 20;
/// The size of such a part (S3 allows 5 MiB to 5 GiB).
pub(crate) const PART_BYTES: usize = 8 << 20;
/// The most a client takes into memory at once.
pub(crate) const READ_BYTES_MAX: u64 = 1 << 30;
/// The most names a client takes from one listing.
pub(crate) const LISTED_KEYS_MAX: usize = 4_000_000;
/// How long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one attempt may take until the answer begins.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an operation may take with all its attempts, and its answer received; a large write may take a second more
/// for each [`UPLOAD_BYTES_PER_SECOND_MIN`].
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(120);
/// The slowest upload that is waited for.
pub(crate) const UPLOAD_BYTES_PER_SECOND_MIN: usize = 512 << 10;
/// How often an operation is attempted.
pub(crate) const ATTEMPTS_MAX: u32 = 4;
/// The pause before the second attempt; it doubles for each further one.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The most connections the server holds.
pub(crate) const CONNECTIONS_MAX: usize = 1024;
/// How long a client may be silent in the middle of its request.
pub(crate) const BODY_SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a client may take to send the head of a request.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests in flight may take to end at a shutdown.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest object of the server (S3's own limit for one part).
pub(crate) const OBJECT_BYTES_MAX: u64 = 5 << 30;
/// The piece in which the server moves bodies between the network and the disk.
pub(crate) const PIECE_BYTES: usize = 1 << 20;
/// The longest encoded part of a name between two slashes; a file's name has at most 255 bytes.
pub(crate) const SEGMENT_BYTES_MAX: usize = 250;
/// The most names in one page of a listing (S3's).
pub(crate) const PAGE_KEYS_MAX: usize = 1000;
/// The most parts of an upload (S3's).
pub(crate) const PARTS_MAX: i32 = 10_000;
/// The most uploads in parts at a time.
pub(crate) const UPLOADS_MAX: usize = 1000;
