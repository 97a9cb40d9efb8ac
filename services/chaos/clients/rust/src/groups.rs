//! Groups of the consumer protocol.

use crate::admin::{described, set_group};
use crate::member::Member;
use crate::records::hard;
use crate::stage::{Failure, Outcome, Plain, Stage, fail, parts, same, take, until};
use confluent_kafka::common::TopicPartition;
use confluent_kafka::consumer::{Consumer as _, OffsetAndMetadata, SubscriptionPattern};
use std::collections::HashMap;

/// How long a member may be silent in the group that loses one, and how often it is expected.
const SESSION: [(&str, &str); 2] = [("consumer.session.timeout.ms", "6000"), ("consumer.heartbeat.interval.ms", "500")];

/// Kills one of two members while records come. The other takes over its partitions and goes on from what was committed:
/// every acknowledged record is taken by somebody.
pub async fn kill_one(stage: Stage) -> Outcome {
    let (topic, group) = (stage.create("kill", 4).await?, stage.name("kill-group"));
    set_group(&*stage.admin()?, &group, &SESSION).await?;
    let (stays, mut dies) = (Member::start(&stage, &group, &topic)?, Member::start(&stage, &group, &topic)?);
    let state = |stays: &Member, dies: &Member| format!("one {}; the other {}", stays.told(), dies.told());
    let shared = until("both members own two partitions each", async || {
        Ok(stays.told().owned.len() == 2 && dies.told().owned.len() == 2)
    });
    shared.await.map_err(|failure| Failure(format!("{}: {}", failure.0, state(&stays, &dies))))?;
    let mut all = [stays.told().owned, dies.told().owned].concat();
    all.sort_unstable();
    same(all, vec![0, 1, 2, 3], "partitions of both members")?;
    let mut wanted = spread(&stage, &topic, 0..200).await?;
    until("both have taken some", async || Ok(!stays.told().took.is_empty() && !dies.told().took.is_empty())).await?;
    dies.kill();
    wanted.extend(spread(&stage, &topic, 200..400).await?);
    let taken = until("the one that stays owns everything", async || Ok(stays.told().owned.len() == 4)).await;
    if let Err(Failure(why)) = taken {
        let known = described(&*stage.admin()?, &group).await;
        return fail(format!("{why}: {}; the group is {known}", state(&stays, &dies)));
    }
    let missing = || {
        let (one, other) = (stays.told().took, dies.told().took);
        wanted.iter().filter(|record| !one.contains(*record) && !other.contains(*record)).count()
    };
    let found = until("every record is taken", async || Ok(missing() == 0)).await;
    found.map_err(|failure| Failure(format!("{}: {} are missing", failure.0, missing())))?;
    same(stays.told().errors, vec![], "errors of the member that stays")
}

/// Writes numbers to four partitions and answers how members tell them.
async fn spread(stage: &Stage, topic: &str, numbers: std::ops::Range<i64>) -> Outcome<Vec<String>> {
    let mut told = Vec::new();
    for partition in 0..4 {
        let mine: Vec<_> = numbers.clone().filter(|n| n % 4 == i64::from(partition)).collect();
        let records: Vec<_> = mine.iter().map(|n| Plain::number(*n)).collect();
        stage.send(topic, partition, &records, &[]).await?;
        told.extend(mine.iter().map(|n| format!("{partition}:{n}")));
    }
    Ok(told)
}

pub async fn commit(stage: Stage) -> Outcome {
    let (topic, group) = (stage.create("commit", 2).await?, stage.name("commit-group"));
    stage.send(&topic, 1, &hard(1), &[]).await?;
    let mut first = stage.consumer(&group, &[])?;
    first.subscribe_with_topics(vec![topic.clone()]).await?;
    take(&mut first, 40).await?;
    let one = TopicPartition::new(topic.as_str(), 1);
    let offset = OffsetAndMetadata::with_metadata(7, "seven \u{20ac}")?;
    first.commit_sync_with_offsets(HashMap::from([(one.clone(), offset)])).await?;
    first.close().await?;
    let mut second = stage.consumer(&group, &[])?;
    let both = parts(&topic, 0..2);
    let found = second.committed(&both).await?;
    let of = |part: &TopicPartition| {
        found.get(part).and_then(Option::as_ref).map(|found| (found.offset(), found.metadata().to_owned()))
    };
    same(of(&both[0]), None, "what was committed of partition 0")?;
    same(of(&one), Some((7, "seven \u{20ac}".to_owned())), "what was committed of partition 1")?;
    second.subscribe_with_topics(vec![topic]).await?;
    same(take(&mut second, 1).await?[0].offset(), 7, "where the next member goes on")?;
    Ok(second.close().await?)
}

/// The broker matches the pattern (KIP-848): a topic that comes later is read too.
pub async fn pattern(stage: Stage) -> Outcome {
    let early = stage.create("pattern-early", 1).await?;
    let mut consumer = stage.consumer(&stage.name("pattern-group"), &[])?;
    let pattern = stage.name("pattern-.*");
    consumer.subscribe_with_pattern(SubscriptionPattern::new(pattern)).await?;
    stage.send(&early, 0, &[Plain::number(1)], &[]).await?;
    same(take(&mut consumer, 1).await?[0].topic(), &*early, "the topic there was")?;
    let late = stage.create("pattern-late-", 1).await?;
    stage.send(&late, 0, &[Plain::number(2)], &[]).await?;
    same(take(&mut consumer, 1).await?[0].topic(), &*late, "the topic that came")?;
    Ok(consumer.close().await?)
}
