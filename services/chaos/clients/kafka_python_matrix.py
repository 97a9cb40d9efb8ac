"""The scenario matrix with kafka-python 3 (pure Python, no librdkafka in it)."""

import functools
import threading
import time

import checks
from checks import CODECS, STRATEGIES, check, refused, run, same, until
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.structs import OffsetAndMetadata

ASSIGNORS = dict(zip(STRATEGIES, [RangePartitionAssignor, RoundRobinPartitionAssignor, CooperativeStickyAssignor]))
PRODUCERS = {
    "idempotent": {"enable_idempotence": True},
    "acks=all": {"enable_idempotence": False, "acks": "all"},
    "acks=1": {"enable_idempotence": False, "acks": 1},
    "acks=0": {"enable_idempotence": False, "acks": 0},
}


def records(seed, count=40):
    """The common records without what kafka-python does not send: neither key nor value, a header without value."""
    sendable = [record for record in checks.records(seed, count + 1) if record[:2] != (None, None)]
    return [(key, value, [(name, content or b"") for name, content in headers]) for key, value, headers in sendable]


@functools.cache
def admin(stage):
    return KafkaAdminClient(bootstrap_servers=stage.bootstrap)


ADMIN = threading.Lock()  # one admin client, used by one check at a time


def ask(stage, verb, *arguments, **options):
    with ADMIN:
        return getattr(admin(stage), verb)(*arguments, **options)


def create(stage, topic, partitions=1, **configs):
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
    ask(stage, "create_topics", {topic: options}, timeout_ms=20000, wait_for_metadata=True)
    return topic


def producer(stage, **config):
    return KafkaProducer(**{"bootstrap_servers": stage.bootstrap, "linger_ms": 5, "request_timeout_ms": 20000, **config})


def consumer(stage, group=None, **config):
    defaults = {
        "bootstrap_servers": stage.bootstrap,
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "session_timeout_ms": 10000,
        "heartbeat_interval_ms": 300,
        "fetch_max_wait_ms": 100,
        "metadata_max_age_ms": 1000,
    }
    return KafkaConsumer(**{**defaults, **config})


def send(client, topic, batch, partition=0, timestamp=None):
    """Sends records and answers the offsets they got, in order."""
    futures = [
        client.send(topic, value, key, list(headers), partition, timestamp(index) if timestamp else None)
        for index, (key, value, headers) in enumerate(batch)
    ]
    client.flush(20)
    return [future.get(20).offset for future in futures]


def write(stage, topic, batch, partition=0, timestamp=None, **config):
    client = producer(stage, **config)
    offsets = send(client, topic, batch, partition, timestamp)
    client.close(10)
    return offsets


def take(client, count, seconds=20):
    found, deadline = [], time.monotonic() + seconds
    while len(found) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"only {len(found)} of {count} records within {seconds} s")
        # A poll whose time ends just when a join does loses the assignment in kafka-python 3.0; a long one hardly ever.
        for batch in client.poll(5000, count - len(found)).values():
            found.extend(batch)
    return found


def plain(message):
    return (message.key, message.value, list(message.headers))


def at(client, topic, partition, offset):
    client.assign([TopicPartition(topic, partition)])
    client.seek(TopicPartition(topic, partition), offset)
    return client


@check("every codec with every acknowledgement, all partitions read back in one request")
def codecs(stage):
    cases = [(codec, name) for codec in CODECS for name in PRODUCERS]
    topic = create(stage, stage.name("py-codecs"), len(cases))
    for partition, (codec, name) in enumerate(cases):
        offsets = write(stage, topic, records(partition), partition, compression_type=None if codec == "none" else codec, **PRODUCERS[name])
        if name != "acks=0":
            same(offsets, list(range(len(offsets))), f"offsets of {codec}, {name}")
    client, found = consumer(stage), [[] for _ in cases]
    client.assign([TopicPartition(topic, partition) for partition in range(len(cases))])
    client.seek_to_beginning()
    for message in take(client, len(cases) * len(records(0))):
        found[message.partition].append(plain(message))
    client.close()
    for partition, (codec, name) in enumerate(cases):
        same(found[partition], records(partition), f"records of {codec}, {name}")


@check("an idempotent producer sends to several partitions of several topics at once")
def several_topics(stage):
    topics, client, futures = [create(stage, stage.name(f"py-several-{i}"), 3) for i in range(3)], producer(stage), []
    for number in range(900):
        futures.append(client.send(topics[number % 3], b"%d" % number, partition=number // 3 % 3))
    client.flush(20)
    same([type(future.exception).__name__ for future in futures if future.failed()], [], "delivery errors")
    client.close(10)
    reader, found = consumer(stage), {}
    reader.assign([TopicPartition(topic, p) for topic in topics for p in range(3)])
    for message in take(reader, 900):
        found.setdefault((message.topic, message.partition), []).append(int(message.value))
    reader.close()
    wanted = {(topics[t], p): [n for n in range(900) if n % 3 == t and n // 3 % 3 == p] for t in range(3) for p in range(3)}
    same(found, wanted, "numbers per partition, in order")


class Member(threading.Thread):
    """A group member on a thread of its own; collects what it reads until told to leave."""

    def __init__(self, stage, group, topic, strategy):
        super().__init__(daemon=True)
        self.client = consumer(stage, group, partition_assignment_strategy=(ASSIGNORS[strategy],))
        until("the member knows the topic", lambda: self.client.partitions_for_topic(topic))
        self.client.subscribe([topic])
        self.owned, self.found, self.errors, self.leave = set(), [], [], threading.Event()
        self.start()

    def run(self):
        try:
            while not self.leave.is_set():
                self.mend()
                if batches := self.client.poll(100):
                    self.found.extend((part.partition, m.value) for part, batch in batches.items() for m in batch)
                    self.client.commit()
                self.owned = {part.partition for part in self.client.assignment()}
        except Exception as error:  # noqa: BLE001 - told by the check
            self.errors.append(f"{type(error).__name__}: {error}")
        self.client.close()

    def mend(self):
        """Works round kafka-python 3.0: a poll that ends between the answers to JoinGroup and SyncGroup forgets that it
        was joining, and the member stands still, without heartbeats, until its session ends."""
        coordinator = self.client._coordinator
        if coordinator._join_task is not None and not coordinator.need_rejoin():
            coordinator.request_rejoin()


def share(stage, strategy):
    topic, group = create(stage, stage.name(f"py-share-{strategy}"), 4), stage.name(f"py-group-{strategy}")
    first = Member(stage, group, topic, strategy)
    until(lambda: f"the first member owns everything: {first.owned} {first.errors}", lambda: first.owned == {0, 1, 2, 3})
    second = Member(stage, group, topic, strategy)
    both = lambda: f"both members own two partitions each: {first.owned} {first.errors}, {second.owned} {second.errors}"  # noqa: E731
    until(both, lambda: len(first.owned) == len(second.owned) == 2)
    same(first.owned | second.owned, {0, 1, 2, 3}, "partitions of both members")
    client, wanted = producer(stage), [(p, b"%d" % n) for p in range(4) for n in range(50)]
    for partition, value in wanted:
        client.send(topic, value, partition=partition)
    client.flush(20)
    until("everything is read once", lambda: len(first.found) + len(second.found) >= len(wanted))
    same(sorted(first.found + second.found), sorted(wanted), "what both members read")
    second.leave.set()
    second.join(20)
    until("the member that stays owns everything", lambda: first.owned == {0, 1, 2, 3})
    client.send(topic, b"last", partition=3)
    client.close(10)
    until("it reads on", lambda: (3, b"last") in first.found)
    first.leave.set()
    first.join(20)
    same(first.errors + second.errors, [], "errors of the members")
    same(sorted(first.found + second.found), sorted(wanted + [(3, b"last")]), "what both members read to the end")


for _strategy in STRATEGIES:
    check(f"two members of a group share four partitions, one leaves ({_strategy})")(
        lambda stage, strategy=_strategy: share(stage, strategy)
    )


@check("a commit with metadata is read back, and the next member goes on from it")
def commit_with_metadata(stage):
    topic, group = create(stage, stage.name("py-commit"), 2), stage.name("py-commit-group")
    write(stage, topic, records(1), 1)
    empty, full = TopicPartition(topic, 0), TopicPartition(topic, 1)
    client = consumer(stage, group)
    client.subscribe([topic])
    take(client, len(records(1)))
    client.commit({full: OffsetAndMetadata(7, "seven \u20ac", -1), empty: OffsetAndMetadata(0, "", -1)})
    client.close(autocommit=False)
    client = consumer(stage, group)
    found = [client.committed(part, metadata=True) for part in (full, empty)]
    same([(item.offset, item.metadata) for item in found], [(7, "seven \u20ac"), (0, "")], "what was committed")
    client.subscribe([topic])
    same(take(client, 1)[0].offset, 7, "first offset of the next member")
    client.close(autocommit=False)
    listed = ask(stage, "list_group_offsets", group)[group]
    same({part.partition: item.offset for part, item in listed.items()}, {0: 0, 1: 7}, "offsets the admin client lists")


@check("seeking by timestamp finds the first record at or after it")
def seek_by_timestamp(stage):
    topic, base = create(stage, stage.name("py-times")), 1_700_000_000_000
    writer = producer(stage)
    for start in range(0, 100, 10):  # ten batches
        send(writer, topic, [(None, b"%d" % (start + i), []) for i in range(10)], 0, lambda i, s=start: base + (s + i) * 1000)
    writer.close(10)
    client, part = consumer(stage), TopicPartition(topic, 0)
    for wanted, asked in [(0, base - 5), (42, base + 42_000), (43, base + 42_001), (99, base + 99_000)]:
        found = client.offsets_for_times({part: asked})[part]
        same((found.offset, found.timestamp), (wanted, base + wanted * 1000), f"offset and time at {asked - base} ms")
        message = take(at(client, topic, 0, wanted), 1)[0]
        same((message.offset, message.value, message.timestamp), (wanted, b"%d" % wanted, base + wanted * 1000), "first record")
    same(client.offsets_for_times({part: base + 100_000})[part], None, "a time after the last record")
    client.close()


@check("earliest, latest and greatest-time offsets are listed")
def list_offsets(stage):
    topic = create(stage, stage.name("py-offsets"), 2)
    write(stage, topic, records(2), 1, lambda i: 1_700_000_000_000 + (500 - i))
    client, parts = consumer(stage), [TopicPartition(topic, p) for p in (0, 1)]
    same(client.beginning_offsets(parts), {parts[0]: 0, parts[1]: 0}, "earliest")
    same(client.end_offsets(parts), {parts[0]: 0, parts[1]: 40}, "latest")
    client.close()
    for spec, wanted in [(OffsetSpec.EARLIEST, 0), (OffsetSpec.LATEST, 40), (OffsetSpec.MAX_TIMESTAMP, 0)]:
        found = ask(stage, "list_partition_offsets", {parts[1]: spec})
        same([item.offset for item in found.values()], [wanted], f"{spec}")


@check("auto_offset_reset earliest, latest and none do what they say")
def offset_reset(stage):
    topic = create(stage, stage.name("py-reset"))
    writer = producer(stage)
    send(writer, topic, records(3, 10))
    client = at(consumer(stage), topic, 0, 1000)
    same(take(client, 1)[0].offset, 0, "earliest")
    client.close()
    client = at(consumer(stage, auto_offset_reset="latest"), topic, 0, 1000)
    until("latest reads what is new", lambda: send(writer, topic, [(b"k", b"new", [])]) and client.poll(200))
    client.close()
    client = at(consumer(stage, auto_offset_reset="none"), topic, 0, 1000)
    refused("none", lambda: take(client, 1, 10), "OffsetOutOfRange")
    client.close()
    writer.close(10)


@check("a waiting fetch is answered when a record comes, not when its time is over")
def long_poll(stage):
    topic, writer = create(stage, stage.name("py-wait")), producer(stage, linger_ms=0)
    send(writer, topic, [(None, b"first", [])])
    client = at(consumer(stage, fetch_max_wait_ms=10000), topic, 0, 0)
    take(client, 1)
    client.poll(300)
    began = time.monotonic()
    send(writer, topic, [(None, b"second", [])])
    take(client, 1, 9)
    same(time.monotonic() - began < 3, True, f"the record came after {time.monotonic() - began:.1f} s, in time")
    client.close()
    writer.close(10)


@check("read_committed readers get what is not transactional")
def read_committed(stage):
    topic = create(stage, stage.name("py-committed"))
    write(stage, topic, records(4))
    client = at(consumer(stage, isolation_level="read_committed"), topic, 0, 0)
    same([plain(message) for message in take(client, 40)], records(4), "records")
    client.close()


@check("topics are created, refused, described, configured and deleted")
def topics(stage):
    topic = create(stage, stage.name("py-admin"), 3, **{"retention.ms": "123456"})
    refused("creating it again", lambda: create(stage, topic), "TopicAlreadyExists")
    refused("a name with a slash", lambda: create(stage, "a/b"), "InvalidTopic")
    too_many = {stage.name("py-rf"): {"num_partitions": 1, "replication_factor": 3}}
    refused("three replicas on one broker", lambda: ask(stage, "create_topics", too_many), "InvalidReplicationFactor")
    seen = ask(stage, "describe_topics", [topic])[0]["partitions"]
    same({p["partition_index"]: p["leader_id"] >= 0 for p in seen}, {0: True, 1: True, 2: True}, "partitions with a leader")
    config = ask(stage, "describe_configs", [ConfigResource("topic", topic)])["topic"][topic]
    same(config["retention.ms"]["value"], "123456", "retention.ms")
    write(stage, topic, records(5, 10))
    ask(stage, "delete_topics", [topic], timeout_ms=20000)
    until("the topic is gone", lambda: topic not in ask(stage, "list_topics"))
    create(stage, topic)
    same(write(stage, topic, [(None, b"again", [])]), [0], "first offset of a topic made again")


@check("groups are listed, described and deleted")
def groups(stage):
    topic, group = create(stage, stage.name("py-groups")), stage.name("py-admin-group")
    write(stage, topic, records(6, 10))
    member = consumer(stage, group)
    member.subscribe([topic])
    take(member, 10)
    member.commit()
    same(group in {item["group_id"] for item in ask(stage, "list_groups")}, True, "the group is listed")
    found = ask(stage, "describe_groups", [group])[group]
    same((found["group_state"], len(found["members"])), ("Stable", 1), "state and members")
    member.close()
    until("the group is empty", lambda: ask(stage, "describe_groups", [group])[group]["group_state"] == "Empty")
    ask(stage, "delete_groups", [group])
    same(group in {item["group_id"] for item in ask(stage, "list_groups")}, False, "the group is gone")


run("kafka-python")
