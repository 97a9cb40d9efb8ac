//! Writes behind one that was refused by a broker that did not lead, or was not to.

use crate::harness::{Client, PATIENCE, batch, builder, eventually, produce_request};
use crate::two::{Two, client, two};
use crate::world::{carry_out, order};
use broker::Broker;
use model::{Action, ProducerId};
use record::BatchBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::ErrorCode;

/// Writes of one producer, one after the other on the same connection: a broker cannot tell one that was on its way when the
/// one before it was refused from one that was sent later.
struct Line(Client);

impl Line {
    async fn to(broker: &Broker) -> Self {
        Self(client(broker).await)
    }

    /// What is heard of one record; `None` when the broker ends the connection.
    async fn send(&self, batch: BatchBuilder) -> Option<ErrorCode> {
        let answer = self.0.0.call(&produce_request("t", 0, batch.build().into(), -1), 9).await.ok()?;
        Some(answer.responses[0].partition_responses[0].error_code)
    }
}

fn nth(sequence: i32) -> BatchBuilder {
    builder(&[&sequence.to_string()]).producer(ProducerId(1 << 47 | 5), 0, sequence)
}

async fn promote(stage: &Two) {
    stage.world.give("r2", 2, vec![]).await;
    let open = Action::Open { openings: vec![], jumps: false };
    carry_out(&stage.two, order("run", "open", 2, open)).await;
}

#[tokio::test]
async fn a_write_does_not_overtake_one_that_a_copy_refused_before_it_became_the_owner() {
    let stage = two().await;
    let [overtaking, in_order] = [Line::to(&stage.two).await, Line::to(&stage.two).await];
    for line in [&overtaking, &in_order] {
        for sequence in [0, 1] {
            assert_eq!(
                line.send(nth(sequence)).await,
                Some(ErrorCode::POLICY_VIOLATION),
                "refused as often as it comes"
            );
        }
    }
    promote(&stage).await;
    assert_eq!(overtaking.send(nth(2)).await, None, "it ends the connection");
    let consumer = client(&stage.two).await;
    assert!(consumer.values("t", 0, 0).await.is_empty(), "and is not taken");
    for sequence in [0, 1, 2] {
        assert_eq!(in_order.send(nth(sequence)).await, Some(ErrorCode::NONE), "who sends again in order goes on");
    }
    assert_eq!(consumer.values("t", 0, 0).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_write_does_not_overtake_one_that_came_while_there_was_no_lease() {
    let stage = two().await;
    stage.world.keep_leases("r1", false);
    eventually("the lease lapses", async || !stage.one.holdings()[0].leased).await;
    let (line, other) = (Line::to(&stage.one).await, Line::to(&stage.one).await);
    assert_eq!(line.send(nth(0)).await, Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    stage.world.keep_leases("r1", true);
    eventually("the lease is renewed", async || stage.one.holdings()[0].leased).await;
    let none = builder(&["without a producer"]);
    assert_eq!(line.send(none).await, Some(ErrorCode::NONE), "it has no order");
    assert_eq!(line.send(nth(1)).await, None);
    for sequence in [0, 1] {
        assert_eq!(other.send(nth(sequence)).await, Some(ErrorCode::NONE));
    }
    assert_eq!(client(&stage.one).await.values("t", 0, 0).await, ["without a producer", "0", "1"]);
}

#[tokio::test]
async fn nothing_behind_a_write_that_ends_its_connection_is_taken() {
    let stage = two().await;
    let mut stream = TcpStream::connect(stage.two.addresses().unwrap().clients).await.unwrap();
    stream.write_all(&frames(&[nth(0)])).await.unwrap();
    assert_eq!(number_of_answer(&mut stream).await, 0);
    promote(&stage).await;
    // In one piece, so that the broker has the second before it has ended the connection for the first.
    stream.write_all(&frames(&[nth(1), nth(0)])).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection is ended");
    assert!(rest.is_empty());
    let next = client(&stage.two).await.produce("t", 0, batch(&["without a producer"])).await;
    assert_eq!((next.error_code, next.base_offset), (ErrorCode::NONE, 0), "nothing is before it");
}

fn frames(batches: &[BatchBuilder]) -> Vec<u8> {
    let frame = |(number, batch): (i32, &BatchBuilder)| {
        let request = produce_request("t", 0, batch.clone().build().into(), -1);
        wire::frame::encode_request(number, None, 9, &request).unwrap().to_vec()
    };
    (0..).zip(batches).flat_map(frame).collect()
}

/// Which request the next answer is to.
async fn number_of_answer(stream: &mut TcpStream) -> i32 {
    let len = stream.read_i32().await.unwrap();
    let mut frame = vec![0; len as usize];
    stream.read_exact(&mut frame).await.unwrap();
    i32::from_be_bytes(*frame.first_chunk().unwrap())
}
