//! Fetch: batches from the log to the socket, without passing through this process.
//!
//! ```text
//!   request -> session -> wanted partitions -> read -> enough? --yes--> answer
//!                                               ^        | no
//!                                               '- bell -'--- time is up --> answer
//! ```

mod answer;
mod nearest;
mod read;
mod session;

use super::access::{self, TopicRef};
use super::{Call, Reply, Started, leader_hints};
use crate::Broker;
use crate::listener::Outgoing;
use crate::replica::{Ear, Isolation, Partition};
use answer::Answer;
use broker_core::quota::Limit;
use bytes::Bytes;
use model::{ByteCount, limits};
use nearest::Nearness;
use read::{Found, Source};
use session::Begun;
pub(crate) use session::Sessions;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::api::fetch::Request;

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let limits = Limits::of(&request).within(call.burst(Limit::ConsumerByteRate));
    let nearness = Nearness::of(broker, &call, &request);
    let begun = match broker.0.fetch_sessions.begin(&call, request, broker.0.clock.boot()) {
        Ok(begun) => begun,
        Err(code) => return Ok(call.reply(&answer::refused(code))),
    };
    let mut fetch = Fetch { broker: broker.clone(), call, limits, nearness, begun };
    let found = fetch.read();
    if found.is_enough(fetch.limits.bytes_min) || fetch.limits.wait.is_zero() {
        return Ok(fetch.answer(found).map_or(Reply::Close, Reply::Now));
    }
    Ok(Reply::Later(Box::pin(fetch.answer_later())))
}

/// How much to read and how long to wait.
#[derive(Clone, Copy, Debug)]
struct Limits {
    wait: Duration,
    bytes_min: u64,
    bytes_max: ByteCount,
    isolation: Isolation,
}

impl Limits {
    fn of(request: &Request) -> Self {
        let bytes = |count: i32| u64::try_from(count).unwrap_or(0);
        let bytes_max = bytes(request.max_bytes).min(limits::FETCH_BYTES_MAX.0);
        Self {
            wait: Duration::from_millis(bytes(request.max_wait_ms)).min(limits::REQUEST_WAIT_MAX),
            bytes_min: bytes(request.min_bytes).min(bytes_max),
            bytes_max: ByteCount(bytes_max),
            isolation: Isolation::of(request.isolation_level),
        }
    }
}

impl Limits {
    /// No more at once than a quota allows, so that what is read is never much more than may be.
    fn within(self, burst: Option<u64>) -> Self {
        let Some(burst) = burst else { return self };
        let bytes_max = ByteCount(self.bytes_max.0.min(burst));
        Self { bytes_max, bytes_min: self.bytes_min.min(bytes_max.0), ..self }
    }
}

/// One partition that is asked for, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    topic: TopicRef,
    partition: i32,
    current_leader_epoch: i32,
    fetch_offset: i64,
    last_fetched_epoch: i32,
    bytes_max: i32,
}

/// One fetch on its way.
struct Fetch {
    broker: Broker,
    call: Call,
    limits: Limits,
    nearness: Nearness,
    begun: Begun,
}

impl Fetch {
    fn read(&self) -> Found {
        let source = Source {
            held: self.broker.0.partitions.held(),
            door: self.call.door,
            limits: &self.limits,
            nearness: &self.nearness,
        };
        source.read(&self.begun.wanted)
    }

    /// Reads again whenever one of the partitions has moved on, until there is enough or the time is up.
    async fn answer_later(mut self) -> Option<Outgoing> {
        let deadline = Instant::now() + self.limits.wait;
        let partitions = self.partitions();
        let mut ear = Ear::new();
        loop {
            ear.listen_all(&partitions);
            let found = self.read();
            if found.is_enough(self.limits.bytes_min) || Instant::now() >= deadline {
                return self.answer(found);
            }
            let _waits = self.broker.0.waiting.begin();
            // Late or not: the next look decides.
            let _ = timeout_at(deadline, ear.heard()).await;
        }
    }

    fn partitions(&self) -> Vec<Arc<Partition>> {
        let held = self.broker.0.partitions.held();
        let find = |wanted: &Wanted| access::partition(wanted.topic.find(&held).ok()?, wanted.partition).ok().cloned();
        self.begun.wanted.iter().filter_map(find).collect()
    }

    fn answer(&mut self, found: Found) -> Option<Outgoing> {
        self.call.charge(Limit::ConsumerByteRate, found.bytes());
        let session_id = self.begun.session_id();
        let found = self.begun.finish(found);
        let Answer { mut response, files } = answer::of(session_id, found)?;
        leader_hints::add_to_fetch(&self.broker, &self.call, &mut response);
        self.call.encode_with_files(&response, files)
    }
}
