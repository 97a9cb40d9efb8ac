use crate::disks::Disk;
use crate::harness::{Client, config, eventually, large, start};
use broker::standalone::Topic;
use model::ByteCount;
use wire::ErrorCode;
use wire::api::list_offsets::LATEST;

async fn fill(client: &Client) -> i64 {
    for written in 0.. {
        let answer = client.produce("t", 0, large(100_000)).await;
        if answer.error_code == ErrorCode::KAFKA_STORAGE_ERROR {
            assert!(answer.error_message.unwrap().contains("free some space"));
            return written;
        }
        assert_eq!(answer.error_code, ErrorCode::NONE);
    }
    unreachable!()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_reads_go_on_and_writes_resume() {
    let Some(disk) = Disk::tmpfs("16m") else { return };
    let ballast = disk.ballast(4 << 20);
    let alone = start(config(&disk.path().join("data")), &[Topic::new("t", 1)]).await;
    let client = Client::of(&alone).await;
    let written = fill(&client).await;
    assert!(written > 10);
    assert!(alone.broker.disk().full);
    assert_eq!(client.list_offset("t", LATEST).await.offset, written);
    for offset in 0..written {
        assert_eq!(client.values("t", 0, offset).await[0].len(), 100_000);
    }
    std::fs::remove_file(ballast).unwrap();
    let answer = client.produce("t", 0, large(100_000)).await;
    assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::NONE, written));
    assert!(!alone.broker.disk().full);
    alone.stop().await;
}

#[tokio::test]
async fn a_reserve_is_left_for_metadata() {
    let Some(disk) = Disk::tmpfs("16m") else { return };
    let ballast = disk.ballast(4 << 20);
    let mut config = config(&disk.path().join("data"));
    config.disk_reserve = ByteCount::mib(20);
    let alone = start(config, &[Topic::new("t", 1)]).await;
    let client = Client::of(&alone).await;
    assert_eq!(fill(&client).await, 0);
    assert!(alone.broker.disk().free > ByteCount::mib(8));
    std::fs::remove_file(ballast).unwrap();
    disk.resize("64m");
    eventually("the broker sees the space", async || {
        client.produce("t", 0, large(10)).await.error_code == ErrorCode::NONE
    })
    .await;
    alone.stop().await;
}
