use crate::cluster::{Cluster, patient};
use crate::counter::node_id;
use broker_quorum::{CallError, Handler, NodeId, Outcome, call_address};
use bytes::Bytes;
use env::PortFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// Answers with the request and its own number; a request that says so is never answered.
struct Echo(u8);

impl Handler for Echo {
    fn call(&self, _from: Option<NodeId>, request: Bytes) -> PortFuture<'_, Bytes> {
        Box::pin(async move {
            if request == "never" {
                std::future::pending::<()>().await;
            }
            [request.as_ref(), &[self.0]].concat().into()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_call_each_other_and_a_slow_call_delays_no_other() {
    let cluster = Cluster::of_three(patient).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower(leader);
    let caller = cluster.quorum(follower);
    let early = caller.call(node_id(leader, 1), Bytes::from_static(b"?"), LONG).await.unwrap_err();
    assert!(matches!(early, CallError::Failed { .. }) && early.outcome() == Outcome::Nothing);
    for (slot, node) in &cluster.nodes {
        node.quorum.serve(Arc::new(Echo(*slot as u8)));
    }
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let caller = caller.clone();
            let call = async move { caller.call_leader(Bytes::from_static(b"never"), Duration::from_secs(1)).await };
            tokio::spawn(call)
        })
        .collect();
    let started = Instant::now();
    let large = Bytes::from(vec![1; 20 << 20]);
    let answer = caller.call_leader(large.clone(), LONG).await.unwrap();
    assert_eq!((answer.len(), answer.last().copied()), (large.len() + 1, Some(leader as u8)));
    assert_eq!(caller.call(node_id(follower, 1), Bytes::new(), LONG).await.unwrap(), vec![follower as u8]);
    println!("answered in {:?}", started.elapsed());
    for slow in slow {
        assert!(matches!(slow.await.unwrap(), Err(CallError::TimedOut { .. })));
    }
    let unknown = caller.call(node_id(9, 1), Bytes::new(), LONG).await;
    assert_eq!(unknown, Err(CallError::Unknown(node_id(9, 1))));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused() {
    let cluster = Cluster::of_three(patient).await;
    let address = cluster.quorum(0).address().unwrap().to_string();
    let refused = call_address("another", &address, Bytes::new(), LONG).await.unwrap_err();
    assert!(matches!(refused, CallError::Refused { .. }), "{refused}");
    cluster.end().await;
}
