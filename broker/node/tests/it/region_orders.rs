//! Grants, leases and orders of a region, as its clients feel them.

use crate::harness::{batch, builder, eventually, produce_request};
use crate::two::{Two, apply, ask, client, commit, commit_in_time, every_commit, through_gateway, two};
use crate::world::{World, carry_out, commits, default_group, order};
use broker::Broker;
use bytes::Bytes;
use model::{
    Action, CommitCursor, CommitMarks, CommitPage, CommitPart, Done, Offset, Opening, OrderError, OwnershipEpoch,
    PartitionId, ProducerId, SyncCommits, methods,
};
use wire::ErrorCode;
use wire::api::find_coordinator;
use wire::api::list_offsets::LATEST;

#[tokio::test]
async fn a_standby_is_read_and_not_written_and_names_the_owner() {
    let stage = two().await;
    client(&stage.one).await.produce("t", 0, batch(&["a"])).await;
    stage.mirror().await;
    let standby = client(&stage.two).await;
    assert_eq!(standby.values("t", 0, 0).await, ["a"]);
    let refused = standby.produce("t", 0, batch(&["b"])).await;
    assert_eq!(refused.error_code, ErrorCode::POLICY_VIOLATION);
    let message = refused.error_message.unwrap();
    assert!(message.contains("region r1") && message.contains("127.0.0.1:9092"), "{message}");
    let gateways = through_gateway(&stage.two).await;
    let refused = gateways.produce("t", 0, batch(&["b"])).await;
    assert_eq!(refused.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(gateways.fetch("t", 0, 0).await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(commit(&standby, "g", 1, "").await, ErrorCode::NOT_COORDINATOR);
    let request = find_coordinator::Request { coordinator_keys: vec!["g".into()], ..Default::default() };
    let found = standby.0.call(&request, 4).await.unwrap().coordinators.into_iter().next().unwrap();
    assert_eq!(found.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert!(found.error_message.unwrap().contains("region r1"));
    let refused = ask::<CommitPage>(&stage.two, methods::SYNC_COMMITS, &every_commit()).await;
    assert_eq!(refused.unwrap_err(), ErrorCode::NOT_COORDINATOR);
}

#[tokio::test]
async fn writes_stop_and_go_on_by_order_and_an_order_has_one_effect() {
    let stage = two().await;
    let producer = client(&stage.one).await;
    producer.produce("t", 0, batch(&["a"])).await;
    commit_in_time(&producer, "g", 1, "").await;
    let stop = order("run", "stop", 1, Action::StopWrites);
    let Done::Stopped { ends, commits } = stage.one.order(stop.clone()).await.unwrap() else { panic!("stopped") };
    assert_eq!((ends.len(), ends[0].tail, ends[0].last_epoch.0), (1, Offset(1), 4096));
    assert_eq!(commits.len(), 50);
    assert!(commits.iter().any(|(_, cursor)| cursor.position > Offset(0)));
    assert_eq!(producer.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(commit(&producer, "g", 2, "").await, ErrorCode::NOT_COORDINATOR);
    assert!(stage.one.holdings()[0].stopped);
    assert_eq!(stage.one.order(order("run", "stop.undo", 1, Action::ResumeWrites)).await, Ok(Done::Ok));
    assert_eq!(producer.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NONE);
    let repeated = stage.one.order(stop).await.unwrap();
    assert_eq!(repeated, Done::Stopped { ends, commits }, "what it answered before");
    assert_eq!(producer.produce("t", 0, batch(&["c"])).await.error_code, ErrorCode::NONE, "and no second effect");
    let status = stage.one.status(false).await.unwrap();
    let steps: Vec<_> = status.orders.iter().map(|(run, step, _)| format!("{run}/{step}")).collect();
    assert_eq!(steps, ["run/stop", "run/stop.undo"]);
    let early = stage.one.order(order("run", "x", 2, Action::StopWrites)).await;
    assert!(matches!(early, Err(OrderError::NotReady { .. })), "{early:?}");
    assert!(matches!(
        stage.two.order(order("run", "y", 1, Action::StopWrites)).await,
        Err(OrderError::NotReady { .. })
    ));
}

#[tokio::test]
async fn stopped_writes_and_the_journal_survive_a_restart() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let broker = world.start("r1", dir.path()).await;
    world.create("t", 1).await;
    let stop = order("run", "stop", 1, Action::StopWrites);
    let done = broker.order(stop.clone()).await.unwrap();
    world.stop(broker).await;
    let broker = world.start("r1", dir.path()).await;
    let refused = client(&broker).await.produce("t", 0, batch(&["a"])).await;
    assert_eq!(refused.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(broker.order(stop).await, Ok(done));
    assert_eq!(broker.order(order("run", "stop.undo", 1, Action::ResumeWrites)).await, Ok(Done::Ok));
    assert_eq!(client(&broker).await.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_switch_loses_nothing_and_leaves_no_hole() {
    let stage = two().await;
    let producer = client(&stage.one).await;
    for value in ["a", "b", "c"] {
        producer.produce("t", 0, batch(&[value])).await;
    }
    commit_in_time(&producer, "g", 2, "two").await;
    let Done::Stopped { ends, commits } = stage.one.order(order("run", "stop", 1, Action::StopWrites)).await.unwrap()
    else {
        panic!("stopped")
    };
    let catch_up = {
        let (two, action) = (stage.two.clone(), Action::CatchUp { ends, commits: commits.clone() });
        tokio::spawn(async move { two.order(order("run", "catch-up", 1, action)).await })
    };
    stage.mirror().await;
    assert_eq!(stage.mirror_commits().await, commits);
    let Ok(Done::CaughtUp { ends, .. }) = catch_up.await.unwrap() else { panic!("caught up") };
    assert_eq!(ends[0].tail, Offset(3));

    stage.world.give("r2", 2, vec![]).await;
    let consumer = client(&stage.two).await;
    assert_ne!(consumer.produce("t", 0, batch(&["early"])).await.error_code, ErrorCode::NONE, "it is not opened yet");
    let open = Action::Open { openings: vec![], jumps: false };
    let Done::Opened { ends } = carry_out(&stage.two, order("run", "open", 2, open)).await else { panic!("opened") };
    assert_eq!((ends[0].tail, ends[0].last_epoch.0), (Offset(3), 2 * 4096));
    let written = consumer.produce("t", 0, batch(&["d"])).await;
    assert_eq!((written.error_code, written.base_offset), (ErrorCode::NONE, 3));
    assert_eq!(consumer.values("t", 0, 0).await, ["a", "b", "c", "d"]);
    assert_eq!(commits_of(&stage.two).await, [("t".to_owned(), 0, 2, "two".to_owned())]);
    commit_in_time(&consumer, "g", 4, "four").await;
    assert_eq!(commits_of(&stage.two).await, [("t".to_owned(), 0, 4, "four".to_owned())]);

    let refused = producer.produce("t", 0, batch(&["late"])).await;
    assert_eq!(refused.error_code, ErrorCode::POLICY_VIOLATION);
    assert!(refused.error_message.unwrap().contains("region r2"));
    let late = stage.one.order(order("other", "stop", 1, Action::StopWrites)).await;
    assert!(matches!(late, Err(OrderError::Outdated { .. })), "{late:?}");
}

fn empty_page() -> CommitPage {
    CommitPage { ownership_epoch: OwnershipEpoch(1), partitions: 50, parts: vec![] }
}

fn nothing() -> CommitPart {
    let at = CommitCursor::default();
    CommitPart { partition: PartitionId(0), next: at, newest: at, swept: Offset(0), commits: vec![] }
}

/// How far the commits of a page go.
fn newest(page: &CommitPage) -> CommitMarks {
    page.parts.iter().map(|part| (part.partition, part.newest)).collect()
}

#[tokio::test]
async fn an_owners_restart_between_stop_and_catch_up_does_not_unwind() {
    let (world, dirs) = (World::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let one = world.start("r1", dirs[0].path()).await;
    let two = world.start("r2", dirs[1].path()).await;
    world.create("t", 1).await;
    let consumer = client(&one).await;
    for group in ["a", "b", "c"] {
        commit_in_time(&consumer, group, 1, "").await;
    }
    let first: CommitPage = ask(&one, methods::SYNC_COMMITS, &every_commit()).await.unwrap();
    eventually("commits are taken", async || apply(&two, &first).await.is_ok()).await;
    commit_in_time(&consumer, "b", 2, "last").await;
    let stop = order("run", "stop", 1, Action::StopWrites);
    let Done::Stopped { commits, .. } = one.order(stop).await.unwrap() else { panic!("stopped") };
    world.stop(one).await;
    let one = world.start("r1", dirs[0].path()).await;

    let since = first.parts.iter().map(CommitPart::onwards).collect();
    let on = SyncCommits { since, ..every_commit() };
    let mut page = empty_page();
    eventually("its commits are read", async || match ask::<CommitPage>(&one, methods::SYNC_COMMITS, &on).await {
        Ok(found) => {
            page = found;
            page.parts.len() == 50
        }
        Err(_) => false,
    })
    .await;
    let carried: Vec<_> = page.parts.iter().flat_map(|part| &part.commits).collect();
    assert_eq!(carried.len(), 1, "it goes on where it stood: {carried:?}");
    assert!(newest(&page).has_reached(&commits));
    let catch_up = {
        let (two, action) = (two.clone(), Action::CatchUp { ends: vec![], commits: commits.clone() });
        tokio::spawn(async move { two.order(order("run", "catch-up", 1, action)).await })
    };
    apply(&two, &page).await.unwrap();
    let Ok(Done::CaughtUp { commits: reached, .. }) = catch_up.await.unwrap() else { panic!("caught up") };
    assert!(reached.has_reached(&commits));
    assert_eq!(crate::world::commits(&two, "b").await, [("t".to_owned(), 0, 2, "last".to_owned())]);
}

async fn commits_of(broker: &Broker) -> Vec<(String, i32, i64, String)> {
    commits(broker, "g").await
}

#[tokio::test]
async fn a_failover_goes_on_behind_a_hole() {
    let stage = two().await;
    let producer = client(&stage.one).await;
    producer.produce("t", 0, batch(&["a", "b"])).await;
    commit_in_time(&producer, "g", 1, "one").await;
    stage.mirror().await;
    stage.mirror_commits().await;
    producer.produce("t", 0, batch(&["lost"])).await;

    let Done::Sealed { partitions } = stage.two.order(order("run", "seal", 1, Action::Seal)).await.unwrap() else {
        panic!("sealed")
    };
    let sealed = partitions[0];
    assert_eq!((sealed.durable_end, sealed.source_tail), (Offset(2), Some(Offset(2))));
    let refused = stage.two.append_copy(stage.topic, PartitionId(0), Offset(2), Bytes::from_static(b"x")).await;
    assert_eq!(refused, Err(broker::CopyFailure::Sealed));
    let page = CommitPage { parts: vec![nothing()], ..empty_page() };
    assert!(apply(&stage.two, &page).await.is_err(), "commits are sealed too");

    let base = Offset(2 + model::limits::PROMOTE_HOLE_OFFSETS);
    let opening = Opening { topic: stage.topic, partition: PartitionId(0), common_end: Offset(2), base };
    stage.world.give("r2", 2, vec![opening]).await;
    let still = stage.two.append_copy(stage.topic, PartitionId(0), Offset(2), Bytes::from_static(b"x")).await;
    assert_eq!(still, Err(broker::CopyFailure::Sealed), "from the pivot on until it is open");
    let open = order("run", "open", 2, Action::Open { openings: vec![opening], jumps: true });
    let Done::Opened { ends } = carry_out(&stage.two, open.clone()).await else { panic!("opened") };
    assert_eq!((ends[0].tail, ends[0].last_epoch.0), (Offset(base.0 + 1), 2 * 4096));
    assert_eq!(stage.two.order(open).await, Ok(Done::Opened { ends: ends.clone() }), "once more, and no second hole");

    let consumer = client(&stage.two).await;
    assert_eq!(consumer.list_offset("t", LATEST).await.offset, base.0 + 1);
    let written = consumer.produce("t", 0, batch(&["c"])).await;
    assert_eq!((written.error_code, written.base_offset), (ErrorCode::NONE, base.0 + 1));
    let all = consumer.values("t", 0, 0).await;
    assert_eq!(
        (&all[..2], &all[3..]),
        (&["a", "b"].map(str::to_owned)[..], &["c".to_owned()][..]),
        "one control record"
    );
    assert_eq!(consumer.values("t", 0, base.0 + 1).await, ["c"]);
    assert_eq!(commits_of(&stage.two).await, [("t".to_owned(), 0, 1, "one".to_owned())]);
    let holding = &stage.two.holdings()[0];
    assert!(holding.owner && holding.open && holding.leased && !holding.sealed);
}

/// What a client hears of one record as `sequence` over a connection of its own; `None` when the broker closes it.
async fn send(broker: &Broker, sequence: i32) -> Option<ErrorCode> {
    let batch = builder(&["v"]).producer(ProducerId(1 << 47 | 5), 0, sequence).build().into();
    let request = produce_request("t", 0, batch, -1);
    let answer = client(broker).await.0.call(&request, 9).await.ok()?;
    Some(answer.responses[0].partition_responses[0].error_code)
}

/// Region r2 takes over with the first write of a producer: behind a hole, unless nothing can be missing.
async fn taken_over(proven: bool) -> Two {
    let stage = two().await;
    assert_eq!(send(&stage.one, 0).await, Some(ErrorCode::NONE));
    stage.mirror().await;
    stage.two.order(order("run", "seal", 1, Action::Seal)).await.unwrap();
    let base = Offset(if proven { 1 } else { 1 + model::limits::PROMOTE_HOLE_OFFSETS });
    let opening = Opening { topic: stage.topic, partition: PartitionId(0), common_end: Offset(1), base };
    stage.world.give("r2", 2, vec![opening]).await;
    let open = Action::Open { openings: vec![opening], jumps: !proven };
    let Done::Opened { ends } = carry_out(&stage.two, order("run", "open", 2, open)).await else { panic!("opened") };
    assert_eq!(ends[0].tail, base.plus(i64::from(!proven)), "a hole ends with the first batch of the new lineage");
    stage
}

#[tokio::test]
async fn where_writes_may_be_lost_a_producer_goes_on_behind_them_once() {
    let stage = taken_over(false).await;
    assert_eq!(send(&stage.two, 2).await, Some(ErrorCode::NONE));
    assert_eq!(send(&stage.two, 4).await, Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
}

#[tokio::test]
async fn where_nothing_can_be_lost_a_write_that_overtook_another_is_sent_again_behind_it() {
    let stage = taken_over(true).await;
    for _ in 0..3 {
        assert_eq!(send(&stage.two, 2).await, None, "its client sends again in order");
    }
    assert_eq!(send(&stage.two, 2).await, Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), "or is told, as by Kafka");
    for sequence in [1, 2] {
        assert_eq!(send(&stage.two, sequence).await, Some(ErrorCode::NONE));
    }
    assert_eq!(send(&stage.two, 4).await, Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(client(&stage.two).await.values("t", 0, 0).await.len(), 3, "and offsets go on where they were");
}

#[tokio::test]
async fn an_owner_without_a_lease_takes_and_answers_nothing() {
    let stage = two().await;
    let (producer, other) = (client(&stage.one).await, client(&stage.one).await);
    producer.produce("t", 0, batch(&["a"])).await;
    commit_in_time(&producer, "g", 1, "").await;
    stage.world.keep_leases("r1", false);
    eventually("the lease lapses", async || !stage.one.holdings()[0].leased).await;
    assert_eq!(producer.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(commit(&other, "g", 2, "").await, ErrorCode::NOT_COORDINATOR);
    let request = find_coordinator::Request { coordinator_keys: vec!["g".into()], ..Default::default() };
    let found = other.0.call(&request, 4).await.unwrap().coordinators.into_iter().next().unwrap();
    assert_eq!(found.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(producer.values("t", 0, 0).await, ["a"], "reads go on");
    stage.world.keep_leases("r1", true);
    assert_eq!(producer.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_revoked_grant_takes_nothing_and_may_be_given_back() {
    let stage = two().await;
    let producer = client(&stage.one).await;
    producer.produce("t", 0, batch(&["a"])).await;
    let state = async |state| stage.world.decide(|groups, _| groups[0].state = state).await;
    state(model::GrantState::Revoked).await;
    assert_eq!(producer.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(commit(&producer, "g", 1, "").await, ErrorCode::NOT_COORDINATOR);
    state(model::GrantState::Held).await;
    assert_eq!(producer.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NONE);
    assert_eq!(producer.values("t", 0, 0).await, ["a", "b"]);
}

#[tokio::test]
async fn what_a_client_committed_as_the_new_owners_is_not_written_over_by_the_old_ones() {
    let stage = two().await;
    commit_in_time(&client(&stage.one).await, "g", 1, "old").await;
    let page: CommitPage = ask(&stage.one, methods::SYNC_COMMITS, &every_commit()).await.unwrap();
    stage.mirror_commits().await;
    stage.world.give("r2", 2, vec![]).await;
    carry_out(&stage.two, order("run", "open", 2, Action::Open { openings: vec![], jumps: true })).await;
    commit_in_time(&client(&stage.two).await, "g", 5, "new").await;
    let late = apply(&stage.two, &page).await;
    assert!(late.unwrap_err().contains("out of date"));
    assert_eq!(commits_of(&stage.two).await, [("t".to_owned(), 0, 5, "new".to_owned())]);
    // The old owner is a standby now, and takes the new one's over its own.
    let page: CommitPage = ask(&stage.two, methods::SYNC_COMMITS, &every_commit()).await.unwrap();
    apply(&stage.one, &page).await.unwrap();
    assert_eq!(commits_of(&stage.one).await, [("t".to_owned(), 0, 5, "new".to_owned())]);
    let said: CommitMarks = page.parts.iter().map(|part| (part.partition, part.next)).collect();
    assert_eq!(stage.one.holdings()[0].commits, said);
    let groups = stage.one.consumer_groups().await;
    assert_eq!((groups.len(), groups[0].state.as_str(), groups[0].commits.len()), (1, "Copy", 1));
}

#[tokio::test]
async fn commits_of_a_backup_come_back_in_the_owner_only() {
    let stage = two().await;
    commit_in_time(&client(&stage.one).await, "g", 3, "kept").await;
    let saved = stage.one.region_shelf().commits(&default_group()).await.unwrap();
    commit_in_time(&client(&stage.one).await, "g", 9, "later").await;
    assert_eq!(stage.one.region_shelf().restore_commits(saved.clone()).await, Ok(1));
    assert_eq!(commits_of(&stage.one).await, [("t".to_owned(), 0, 3, "kept".to_owned())]);
    assert!(stage.two.region_shelf().restore_commits(saved).await.is_err());
}

#[tokio::test]
async fn what_is_in_flight_when_the_grant_ends_is_not_acknowledged() {
    let stage = two().await;
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let broker = stage.one.clone();
            tokio::spawn(async move {
                let client = client(&broker).await;
                let mut acknowledged = 0_i64;
                loop {
                    let request = produce_request("t", 0, batch(&["x"]), -1);
                    let Ok(response) = client.0.call(&request, 9).await else { return (acknowledged, "closed") };
                    let response = &response.responses[0].partition_responses[0];
                    if !response.error_code.is_ok() {
                        return (acknowledged, "refused");
                    }
                    acknowledged += 1;
                }
            })
        })
        .collect();
    let watermark = async || client(&stage.one).await.list_offset("t", LATEST).await.offset;
    eventually("the load runs", async || watermark().await > 50).await;
    stage.world.give("r2", 2, vec![]).await;
    let mut acknowledged = 0;
    for producer in producers {
        let (count, end) = producer.await.unwrap();
        println!("{count} acknowledged, then {end}");
        acknowledged += count;
    }
    assert!(acknowledged <= watermark().await, "every acknowledged record is there");
    assert!(!stage.one.holdings()[0].owner);
}

#[tokio::test]
async fn a_region_serves_nothing_before_it_is_assigned_and_obeys_the_newest_only() {
    let stage = two().await;
    let producer = client(&stage.one).await;
    let old = stage.world.assignment(&stage.one.config().region);
    stage.world.give("r2", 2, vec![]).await;
    stage.one.assign(old.clone()).await.unwrap();
    assert_eq!(stage.one.holdings()[0].obeyed, OwnershipEpoch(2), "an older assignment changes nothing");
    assert_eq!(producer.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::POLICY_VIOLATION);
    let other = model::Assignment { incarnation: model::Incarnation(8), council_index: 100, ..old };
    let refused = stage.one.assign(other).await.unwrap_err().to_string();
    assert!(refused.contains("belongs to r1 incarnation 7"), "{refused}");
}

#[tokio::test]
async fn orders_and_assignments_do_not_wait_for_each_other() {
    let stage = two().await;
    let ends = vec![model::PartitionEnd {
        topic: stage.topic,
        partition: PartitionId(0),
        tail: Offset(1),
        last_epoch: model::LeaderEpoch(4096),
    }];
    let waiting = {
        let (two, action) = (stage.two.clone(), Action::CatchUp { ends, commits: CommitMarks::default() });
        tokio::spawn(async move { two.order(order("run", "catch-up", 1, action)).await })
    };
    for topic in 0..5 {
        tokio::time::timeout(crate::harness::PATIENCE, stage.world.create(&format!("u{topic}"), 3)).await.unwrap();
    }
    assert!(!waiting.is_finished());
    client(&stage.one).await.produce("t", 0, batch(&["a"])).await;
    stage.mirror().await;
    let page = CommitPage { parts: vec![nothing()], ..empty_page() };
    eventually("commits are taken", async || apply(&stage.two, &page).await.is_ok()).await;
    assert!(matches!(waiting.await.unwrap(), Ok(Done::CaughtUp { .. })));
}
