//! The SYNC rule: a source that waits for one copy, and that copy.

use crate::harness::{Client, PATIENCE, batch, eventually, produce_request};
use crate::two::{Two, client, two};
use broker::Broker;
use model::{Incarnation, ModeEpoch, ModePhase, ModeState, Offset, PartitionId, Patience, SyncRule, SyncStatus};
use wire::ErrorCode;
use wire::internal::link_fetch::{Partition, PartitionResponse, Request};

const ZERO: PartitionId = PartitionId(0);

impl Two {
    /// The rule of this number is on, or none.
    async fn rule(&self, mode_epoch: u64, on: bool) {
        self.obey(mode_epoch, on.then_some(Patience::Waits)).await;
    }

    async fn obey(&self, mode_epoch: u64, patience: Option<Patience>) {
        let (epoch, target) = (ModeEpoch(mode_epoch), model::RegionName::new("r2").unwrap());
        let phase = if patience.is_some() { ModePhase::Converging } else { ModePhase::Degraded };
        let rule =
            patience.map(|patience| SyncRule { mode_epoch: epoch, target, incarnation: Incarnation(7), patience });
        let mode = ModeState { phase, epoch, rule, ..ModeState::default() };
        self.world.decide(|groups, _| groups[0].mode = mode).await;
    }

    /// What the link of r2 asks: under the rule it obeys, with what is flushed there.
    async fn ask_of(&self, bytes_max: i32, leader_epoch: i32) -> PartitionResponse {
        let state = self.two.copy_state(self.topic, ZERO).unwrap();
        let terms = self.two.sync_terms(self.topic, ZERO);
        let asked = Partition {
            topic_id: self.topic,
            fetch_offset: state.tail.0,
            last_epoch: state.epochs.last().map_or(-1, |last| last.epoch.0),
            partition_max_bytes: bytes_max,
            copy_durable_offset: state.flushed.0,
            copy_term: terms.map_or(-1, |terms| terms.term.0 as i64),
            mode_epoch: terms.map_or(-1, |terms| terms.mode_epoch.0 as i64),
            source_leader_epoch: leader_epoch,
            ..Default::default()
        };
        let request = Request {
            target_region: "r2".into(),
            target_incarnation: 7,
            max_bytes: bytes_max,
            partitions: vec![asked],
            ..Default::default()
        };
        let source = Client::at(self.one.addresses().unwrap().internal).await;
        source.0.call(&request, 0).await.unwrap().partitions.into_iter().next().unwrap()
    }

    async fn sync_status(&self) -> Option<SyncStatus> {
        let status = self.one.own_status(false).await.unwrap();
        status.partitions.into_iter().find(|held| held.topic_id == self.topic).unwrap().sync
    }

    fn high_watermark(&self, of: &Broker) -> Offset {
        of.copy_state(self.topic, ZERO).unwrap().high_watermark
    }
}

#[tokio::test]
async fn a_write_is_acknowledged_to_all_once_the_copy_has_it_on_disk() {
    let two = two().await;
    let writer = client(&two.one).await;
    eventually("the region serves", async || writer.produce("t", 0, batch(&["a"])).await.error_code.is_ok()).await;
    two.mirror().await;
    let read_before = two.high_watermark(&two.two);
    two.rule(1, true).await;
    assert_eq!(two.sync_status().await.unwrap().copy_watermark, None, "nothing was said under the rule");
    let one = writer.produce_acks("t", 0, batch(&["b"]), 1).await;
    assert_eq!(one.error_code, ErrorCode::NONE, "acks=1 waits for nobody");
    let request = produce_request("t", 0, batch(&["c"]), -1);
    let waiting = tokio::spawn(async move { writer.0.call_within(PATIENCE, &request, 9).await.unwrap() });
    let reader = client(&two.one).await;
    let mut found = two.ask_of(1 << 20, -1).await;
    eventually("the link reads what is flushed and not committed", async || {
        found = two.ask_of(1 << 20, -1).await;
        found.source_tail == 3 && record::Batches::new(found.records.bytes().unwrap()).count() == 2
    })
    .await;
    assert!(!waiting.is_finished());
    assert_eq!(reader.values("t", 0, 0).await, ["a"], "readers see what both regions hold");
    two.two.append_copy(two.topic, ZERO, Offset(1), found.records.into_bytes()).await.unwrap();
    two.two.copy_flushed(two.topic, ZERO, Offset(3)).await.unwrap();
    assert_eq!(two.high_watermark(&two.two), read_before, "what the source may have to cut off again is not shown");
    two.ask_of(0, found.leader_epoch - 1).await;
    assert!(!waiting.is_finished(), "that was said to another leader");
    let answer = two.ask_of(0, found.leader_epoch).await;
    assert_eq!((answer.high_watermark, answer.records.is_empty()), (3, true), "a word is no question");
    let acknowledged = waiting.await.unwrap();
    assert_eq!(acknowledged.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
    assert_eq!(two.sync_status().await.unwrap().copy_watermark, Some(Offset(3)));
}

#[tokio::test]
async fn writes_wait_while_the_copy_is_silent_and_go_on_when_the_rule_is_off() {
    let two = two().await;
    let writer = client(&two.one).await;
    eventually("the region serves", async || writer.produce("t", 0, batch(&["a"])).await.error_code.is_ok()).await;
    two.rule(1, true).await;
    let mut request = produce_request("t", 0, batch(&["b"]), -1);
    request.timeout_ms = 100;
    let late = writer.0.call_within(PATIENCE, &request, 9).await.unwrap();
    let code = late.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::REQUEST_TIMED_OUT, "it may be tried again");
    eventually("the wait is told", async || two.sync_status().await.unwrap().waiting_ms >= 100).await;
    two.rule(2, false).await;
    assert_eq!(two.sync_status().await, None);
    let acknowledged = tokio::time::timeout(PATIENCE, writer.produce("t", 0, batch(&["c"]))).await.unwrap();
    assert_eq!(acknowledged.error_code, ErrorCode::NONE);
    assert!(two.two.sync_terms(two.topic, ZERO).is_none());
}

#[tokio::test]
async fn writers_are_slowed_down_while_the_copy_is_far_behind_and_wait_for_nobody() {
    let two = two().await;
    let writer = client(&two.one).await;
    eventually("the region serves", async || writer.produce("t", 0, batch(&["a"])).await.error_code.is_ok()).await;
    two.mirror().await;
    let write = async || {
        let response = writer.0.call_within(PATIENCE, &produce_request("t", 0, batch(&["b"]), -1), 9).await.unwrap();
        assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE, "nobody waits");
        response.throttle_time_ms
    };
    assert_eq!(write().await, 0);
    two.obey(1, Some(Patience::SlowsDown)).await;
    eventually("a writer is told to be silent", async || {
        two.ask_of(0, -1).await;
        write().await > 0
    })
    .await;
    assert_eq!(two.sync_status().await, None, "no rule holds that anything waits under");
    two.obey(2, None).await;
    eventually("nobody is silent any more", async || write().await == 0).await;
}
