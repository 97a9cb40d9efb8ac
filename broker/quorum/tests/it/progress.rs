use crate::cluster::{Cluster, patient};
use crate::counter::{node_id, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_knows_how_far_everybody_is_and_others_know_of_themselves() {
    let cluster = Cluster::of_three(patient).await;
    let leader = cluster.leader().await;
    cluster.add(leader, 5).await;
    until("the leader hears that all have everything", || {
        let progress = cluster.quorum(leader).progress();
        progress.voters.len() == 3 && progress.voters.values().all(|voter| voter.tail == Some(progress.committed))
    })
    .await;
    let progress = cluster.quorum(leader).progress();
    assert_eq!((progress.leader, progress.learners.len()), (Some(node_id(leader, 1)), 0));
    assert_eq!(progress.term, cluster.quorum(leader).leadership().borrow().term);

    let follower = cluster.follower(leader);
    let own = node_id(follower, 1);
    until("the follower hears that what it has is committed", || {
        let progress = cluster.quorum(follower).progress();
        progress.voters[&own].tail == Some(progress.committed)
    })
    .await;
    let progress = cluster.quorum(follower).progress();
    assert_eq!(progress.voters[&node_id(leader, 1)].tail, None);
    cluster.end().await;
}
