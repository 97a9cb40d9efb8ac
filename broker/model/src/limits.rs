//! Every hard limit, named once. What comes from a network or a disk is held against these before memory is taken.

use crate::ByteCount;
use std::time::Duration;

/// The largest Kafka request or response frame (Kafka's `socket.request.max.bytes`).
pub const FRAME_BYTES_MAX: ByteCount = ByteCount::mib(100);
/// The largest frame of the internal listeners.
pub const INTERNAL_FRAME_BYTES_MAX: ByteCount = ByteCount::mib(128);
/// The largest record batch a client may send unless its topic says otherwise (Kafka's `max.message.bytes`).
pub const BATCH_BYTES_MAX: ByteCount = ByteCount(1_048_588);
/// The largest batch any log, link or archive accepts.
pub const BATCH_BYTES_LIMIT: ByteCount = ByteCount::mib(64);
/// The most a batch may grow to when it is decompressed.
pub const DECOMPRESSED_BYTES_MAX: ByteCount = ByteCount::mib(128);
/// The longest topic name, in characters.
pub const TOPIC_NAME_CHARS_MAX: usize = 249;
/// The longest name of a region or protection group, in characters.
pub const NAME_CHARS_MAX: usize = 63;
/// The most partitions one topic may have.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 10_000;
/// The most members one consumer group may have.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// The most bytes of metadata one offset commit may carry (Kafka's `offset.metadata.max.bytes`).
pub const COMMIT_METADATA_BYTES_MAX: usize = 4096;
/// The most bytes one fetch answers with, whatever the client asks for.
pub const FETCH_BYTES_MAX: ByteCount = ByteCount::mib(55);
/// The most connections one listener keeps open.
pub const CONNECTIONS_MAX: usize = 10_000;
/// The longest a client may ask a request to wait on the broker.
pub const REQUEST_WAIT_MAX: Duration = Duration::from_secs(300);
/// How far an unplanned promote jumps over the offsets the old owner may have given out.
pub const PROMOTE_HOLE_OFFSETS: i64 = 1 << 40;
/// How many batches of a producer are remembered to recognise a repeat (Kafka's `NUM_BATCHES_TO_RETAIN`).
pub const PRODUCER_BATCHES_KEPT: usize = 5;
/// How many producer ids one block of the controller holds.
pub const PRODUCER_ID_BLOCK: i64 = 1000;
/// How long a lease of an owner lasts.
pub const LEASE_TTL: Duration = Duration::from_secs(3);
/// How often an owner renews it.
pub const LEASE_RENEWAL: Duration = Duration::from_millis(500);
/// The most entities of a region that may have quotas.
pub const QUOTA_ENTITIES_MAX: usize = 10_000;
/// The most consumer groups of a region that may have settings of their own.
pub const CONFIGURED_GROUPS_MAX: usize = 10_000;
/// The longest name of such a group.
pub const CONFIGURED_GROUP_NAME_BYTES_MAX: usize = 1024;
/// How many users, client ids and addresses a broker meters at once.
pub const QUOTA_METERS_MAX: usize = 10_000;
/// The longest user or client id that is told from others by quotas.
pub const QUOTA_NAME_BYTES_MAX: usize = 255;
/// How many partitions leave brokers that are emptied at once: each is copied whole to another one.
pub const DRAIN_MOVES_MAX: usize = 10;
