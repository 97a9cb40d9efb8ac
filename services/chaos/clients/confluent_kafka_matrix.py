"""The scenario matrix with confluent-kafka (librdkafka 2.x)."""

import functools
import random
import threading
import time

from checks import ASSIGNORS, CODECS, STRATEGIES, check, records, refused, run, same, until
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

PRODUCERS = {
    "idempotent": {"enable.idempotence": True},
    "acks=all": {"acks": "all"},
    "acks=1": {"acks": "1"},
    "acks=0": {"acks": "0"},
}
ADMIN = threading.Lock()


@functools.cache
def _admin(bootstrap):
    return AdminClient({"bootstrap.servers": bootstrap})


def admin(stage):
    with ADMIN:  # one admin client for all checks
        return _admin(stage.bootstrap)


def create(stage, topic, partitions=1, **config):
    settle(admin(stage).create_topics([NewTopic(topic, partitions, 1, config=config)], operation_timeout=20))
    until(f"{topic} has leaders", lambda: leaders(stage, topic) == partitions)
    return topic


def leaders(stage, topic):
    known = admin(stage).list_topics(timeout=20).topics.get(topic)
    return sum(part.leader >= 0 for part in known.partitions.values()) if known else 0


def settle(futures, seconds=20):
    return {name: future.result(seconds) for name, future in futures.items()}


def producer(stage, **config):
    return Producer({"bootstrap.servers": stage.bootstrap, "message.timeout.ms": 20000, "linger.ms": 5, **config})


def consumer(stage, group="", **config):
    """A consumer alone (by assignment) unless a group is named."""
    defaults = {
        "bootstrap.servers": stage.bootstrap,
        "group.id": group or stage.name("alone"),
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": 1000,
    }
    if config.get("group.protocol") != "consumer":  # there the broker decides
        defaults |= {"session.timeout.ms": 10000, "heartbeat.interval.ms": 300}
    return Consumer({**defaults, **config})


def send(client, topic, batch, partition=0, timestamp=None):
    """Sends records and answers the offsets they got, in order."""
    offsets, errors = [], []

    def delivered(error, message):
        (errors if error else offsets).append(error or message.offset())

    for index, (key, value, headers) in enumerate(batch):
        extra = {"timestamp": timestamp(index)} if timestamp else {}
        client.produce(topic, value, key, partition, headers=headers, on_delivery=delivered, **extra)
    same(client.flush(20), 0, "records that are still unanswered")
    same(errors, [], "delivery errors")
    return offsets


def take(client, count, seconds=20):
    """The next `count` messages; fails on the first error."""
    found, deadline = [], time.monotonic() + seconds
    while len(found) < count:
        if time.monotonic() > deadline:
            raise AssertionError(f"only {len(found)} of {count} records within {seconds} s")
        found.extend(readable(client.consume(count - len(found), 0.2)))
    return found


def readable(messages):
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
    return messages


def plain(message):
    return (message.key(), message.value(), message.headers() or [])


def read_all(stage, topic, partition, count, **config):
    client = consumer(stage, **config)
    client.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    found = [plain(message) for message in take(client, count)]
    client.close()
    return found


@check("every codec with every acknowledgement, all partitions read back in one request")
def codecs(stage):
    cases = [(codec, name) for codec in CODECS for name in PRODUCERS]
    topic = create(stage, stage.name("codecs"), len(cases))
    for partition, (codec, name) in enumerate(cases):
        client = producer(stage, **{"compression.type": codec}, **PRODUCERS[name])
        offsets = send(client, topic, records(partition), partition)
        if name != "acks=0":
            same(offsets, list(range(len(offsets))), f"offsets of {codec}, {name}")
    client = consumer(stage)
    client.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(len(cases))])
    found = [[] for _ in cases]
    for message in take(client, len(cases) * len(records(0))):
        found[message.partition()].append(plain(message))
    client.close()
    for partition, (codec, name) in enumerate(cases):
        same(found[partition], records(partition), f"records of {codec}, {name}")


@check("an idempotent producer sends to several partitions of several topics at once")
def several_topics(stage):
    topics = [create(stage, stage.name(f"several-{i}"), 3) for i in range(3)]
    client, errors = producer(stage, **{"enable.idempotence": True}), []
    for number in range(900):
        target = topics[number % 3], number // 3 % 3
        client.produce(target[0], b"%d" % number, None, target[1], on_delivery=lambda e, _: e and errors.append(e))
    same(client.flush(20), 0, "records that are still unanswered")
    same(errors, [], "delivery errors")
    reader = consumer(stage)
    reader.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for topic in topics for p in range(3)])
    found = {}
    for message in take(reader, 900):
        found.setdefault((message.topic(), message.partition()), []).append(int(message.value()))
    reader.close()
    wanted = {(topics[t], p): [n for n in range(900) if n % 3 == t and n // 3 % 3 == p] for t in range(3) for p in range(3)}
    same(found, wanted, "numbers per partition, in order")


class Member(threading.Thread):
    """A group member on a thread of its own; collects what it reads until told to leave."""

    def __init__(self, stage, group, topic, config):
        super().__init__(daemon=True)
        self.client = consumer(stage, group, **config)
        self.client.subscribe([topic])
        self.owned, self.found, self.errors, self.leave = set(), [], [], threading.Event()
        self.start()

    def run(self):
        try:
            while not self.leave.is_set():
                if messages := readable(self.client.consume(500, 0.1)):
                    self.found.extend((m.partition(), m.value()) for m in messages)
                    self.client.commit(asynchronous=False)
                self.owned = {part.partition for part in self.client.assignment()}
        except KafkaException as error:
            self.errors.append(str(error))
        self.client.close()


def share(stage, name, config, pattern=None):
    topic, group = create(stage, stage.name(f"share-{name}"), 4), stage.name(f"group-{name}")
    subscription = pattern(topic) if pattern else topic
    client = producer(stage)
    first = Member(stage, group, subscription, config)
    until(lambda: f"the first member owns everything: {first.owned} {first.errors}", lambda: first.owned == {0, 1, 2, 3})
    second = Member(stage, group, subscription, config)
    both = lambda: f"both members own two partitions each: {first.owned} {first.errors}, {second.owned} {second.errors}"  # noqa: E731
    until(both, lambda: len(first.owned) == len(second.owned) == 2)
    same(first.owned | second.owned, {0, 1, 2, 3}, "partitions of both members")
    wanted = [(p, b"%d" % n) for p in range(4) for n in range(50)]
    for partition, value in wanted:
        client.produce(topic, value, None, partition)
    same(client.flush(20), 0, "records that are still unanswered")
    until("everything is read once", lambda: len(first.found) + len(second.found) >= len(wanted))
    same(sorted(first.found + second.found), sorted(wanted), "what both members read")
    second.leave.set()
    second.join(20)
    until("the member that stays owns everything", lambda: first.owned == {0, 1, 2, 3})
    client.produce(topic, b"last", None, 3)
    client.flush(20)
    until("it reads on", lambda: (3, b"last") in first.found)
    first.leave.set()
    first.join(20)
    same(first.errors + second.errors, [], "errors of the members")
    same(sorted(first.found + second.found), sorted(wanted + [(3, b"last")]), "what both members read to the end")


for _strategy in STRATEGIES:
    check(f"two members of a group share four partitions, one leaves ({_strategy})")(
        lambda stage, strategy=_strategy: share(stage, strategy, {"partition.assignment.strategy": strategy})
    )

for _assignor in ASSIGNORS:
    check(f"two members of a group of the consumer protocol share four partitions, one leaves ({_assignor})")(
        lambda stage, assignor=_assignor: share(
            stage, f"848-{assignor}", {"group.protocol": "consumer", "group.remote.assignor": assignor}
        )
    )


@check("members of the consumer protocol that subscribe by a pattern share four partitions, one leaves")
def share_by_pattern(stage):
    share(stage, "pattern", {"group.protocol": "consumer"}, lambda topic: f"^{topic[:-1]}.$")


@check("a member of the consumer protocol commits, seeks, and the next one goes on from its commit")
def consumer_protocol_commits(stage):
    topic, group = create(stage, stage.name("commit-848")), stage.name("commit-848-group")
    send(producer(stage), topic, records(1))
    member = consumer(stage, group, **{"group.protocol": "consumer"})
    member.subscribe([topic])
    take(member, len(records(1)))
    member.commit(offsets=[TopicPartition(topic, 0, 7, metadata="seven")], asynchronous=False)
    member.seek(TopicPartition(topic, 0, 3))
    same(take(member, 1)[0].offset(), 3, "first offset after the seek")
    described = settle(admin(stage).describe_consumer_groups([group]))[group]
    same((described.state.name, len(described.members)), ("STABLE", 1), "state and members")
    member.close()
    following = consumer(stage, group, **{"group.protocol": "consumer"})
    following.subscribe([topic])
    same(take(following, 1)[0].offset(), 7, "first offset of the next member")
    following.close()
    until("the group is empty", lambda: settle(admin(stage).describe_consumer_groups([group]))[group].state.name == "EMPTY")
    settle(admin(stage).delete_consumer_groups([group]))


@check("a commit with metadata is read back, and the next member goes on from it")
def commit_with_metadata(stage):
    topic, group = create(stage, stage.name("commit"), 2), stage.name("commit-group")
    send(producer(stage), topic, records(1), 1)
    client = consumer(stage, group)
    client.subscribe([topic])
    take(client, len(records(1)))
    client.commit(offsets=[TopicPartition(topic, 1, 7, metadata="seven \u20ac"), TopicPartition(topic, 0, 0)], asynchronous=False)
    client.close()
    client = consumer(stage, group)
    stored = client.committed([TopicPartition(topic, 1), TopicPartition(topic, 0)], timeout=20)
    same([(part.offset, part.metadata or "") for part in stored], [(7, "seven \u20ac"), (0, "")], "what was committed")
    client.subscribe([topic])
    same(take(client, 1)[0].offset(), 7, "first offset of the next member")
    client.close()
    offsets = settle(admin(stage).list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    listed = {(part.partition, part.offset) for part in offsets[group].topic_partitions}
    same(listed, {(0, 0), (1, 7)}, "offsets the admin client lists")


@check("seeking by timestamp finds the first record at or after it")
def seek_by_timestamp(stage):
    topic, base = create(stage, stage.name("times")), 1_700_000_000_000
    for start in range(0, 100, 10):  # ten batches
        send(producer(stage), topic, [(None, b"%d" % (start + i), []) for i in range(10)], 0, lambda i, s=start: base + (s + i) * 1000)
    client = consumer(stage)
    for wanted, asked in [(0, base - 5), (42, base + 42_000), (43, base + 42_001), (99, base + 99_000)]:
        found = client.offsets_for_times([TopicPartition(topic, 0, asked)], timeout=20)[0]
        same(found.offset, wanted, f"offset at {asked - base} ms")
        client.assign([TopicPartition(topic, 0, wanted)])
        message = take(client, 1)[0]
        same((message.offset(), message.value(), message.timestamp()[1]), (wanted, b"%d" % wanted, base + wanted * 1000), "first record")
    beyond = client.offsets_for_times([TopicPartition(topic, 0, base + 100_000)], timeout=20)[0]
    same(beyond.offset in (OFFSET_END, 100), True, f"a time after the last record ({beyond.offset})")
    client.close()


@check("earliest, latest and greatest-time offsets are listed")
def list_offsets(stage):
    topic = create(stage, stage.name("offsets"), 2)
    send(producer(stage), topic, records(2), 1, lambda i: 1_700_000_000_000 + (500 - i))
    client = consumer(stage)
    same(client.get_watermark_offsets(TopicPartition(topic, 0), 20), (0, 0), "an empty partition")
    same(client.get_watermark_offsets(TopicPartition(topic, 1), 20), (0, 40), "a partition with 40 records")
    client.close()
    specs = {"earliest": (OffsetSpec.earliest(), 0), "latest": (OffsetSpec.latest(), 40), "greatest time": (OffsetSpec.max_timestamp(), 0)}
    for name, (spec, wanted) in specs.items():
        found = settle(admin(stage).list_offsets({TopicPartition(topic, 1): spec}))
        same([answer.offset for answer in found.values()], [wanted], name)


@check("auto.offset.reset earliest, latest and error do what they say")
def offset_reset(stage):
    topic = create(stage, stage.name("reset"))
    send(producer(stage), topic, records(3, 10))
    client = consumer(stage, **{"auto.offset.reset": "earliest"})
    client.assign([TopicPartition(topic, 0, 1000)])
    same(take(client, 1)[0].offset(), 0, "earliest")
    client.close()
    client = consumer(stage, **{"auto.offset.reset": "latest"})
    client.assign([TopicPartition(topic, 0, 1000)])
    until("the reset is done", lambda: client.consume(1, 0.2) == [] and client.position([TopicPartition(topic, 0)]))
    writer = producer(stage)
    until("latest reads what is new", lambda: send(writer, topic, [(None, b"new", [])]) and client.consume(1, 0.3))
    client.close()
    client = consumer(stage, **{"auto.offset.reset": "error"})
    client.assign([TopicPartition(topic, 0, 1000)])
    refused("error", lambda: take(client, 1, 10), "_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE")
    client.close()


@check("a waiting fetch is answered when a record comes, not when its time is over")
def long_poll(stage):
    topic = create(stage, stage.name("wait"))
    writer, client = producer(stage, **{"linger.ms": 0}), consumer(stage, **{"fetch.wait.max.ms": 10000, "socket.timeout.ms": 20000})
    send(writer, topic, [(None, b"first", [])])
    client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    take(client, 1)
    client.consume(1, 0.5)
    began = time.monotonic()
    send(writer, topic, [(None, b"second", [])])
    take(client, 1, 9)
    same(time.monotonic() - began < 3, True, f"the record came after {time.monotonic() - began:.1f} s, in time")
    client.close()


@check("read_committed readers get what is not transactional, to its end")
def read_committed(stage):
    topic = create(stage, stage.name("committed"))
    send(producer(stage), topic, records(4))
    same(read_all(stage, topic, 0, 40, **{"isolation.level": "read_committed"}), records(4), "records")
    client = consumer(stage, **{"isolation.level": "read_committed", "enable.partition.eof": True})
    client.assign([TopicPartition(topic, 0, 40)])
    end = client.poll(10)
    same(end and end.error() and end.error().code(), KafkaError._PARTITION_EOF, "end of the partition")
    client.close()


@check("a record above the broker's limit is refused, the producer goes on")
def too_large(stage):
    topic = create(stage, stage.name("large"))
    client = producer(stage, **{"message.max.bytes": 4_000_000})
    refused(
        "2 MB that do not compress",
        lambda: send(client, topic, [(None, random.Random(1).randbytes(2_000_000), [])]),
        "MSG_SIZE_TOO_LARGE",
    )
    same(send(client, topic, [(None, b"small", [])]), [0], "offset of the next record")


@check("topics are created, refused, described, configured and deleted")
def topics(stage):
    client, topic = admin(stage), stage.name("admin")
    create(stage, topic, 3, **{"retention.ms": "123456"})
    refused("creating it again", lambda: create(stage, topic), "TOPIC_ALREADY_EXISTS")
    refused("a name with a slash", lambda: create(stage, "a/b"), "TOPIC_EXCEPTION", "INVALID_TOPIC")
    too_many = NewTopic(stage.name("rf"), 1, 3)
    refused("three replicas on one broker", lambda: settle(client.create_topics([too_many])), "INVALID_REPLICATION_FACTOR")
    seen = client.list_topics(timeout=20).topics[topic].partitions
    same({p: bool(part.leader >= 0) for p, part in seen.items()}, {0: True, 1: True, 2: True}, "partitions with a leader")
    config = settle(client.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]))
    same([c["retention.ms"].value for c in config.values()], ["123456"], "retention.ms")
    send(producer(stage), topic, records(5, 10))
    settle(client.delete_topics([topic], operation_timeout=20))
    until("the topic is gone", lambda: topic not in client.list_topics(timeout=20).topics)
    create(stage, topic)
    same(send(producer(stage), topic, [(None, b"again", [])]), [0], "first offset of a topic made again")


@check("groups are listed, described and deleted")
def groups(stage):
    topic, group, client = create(stage, stage.name("groups")), stage.name("admin-group"), admin(stage)
    send(producer(stage), topic, records(6, 10))
    member = consumer(stage, group)
    member.subscribe([topic])
    take(member, 10)
    member.commit(asynchronous=False)
    listed = client.list_consumer_groups(request_timeout=20).result(20)
    same(group in {item.group_id for item in listed.valid}, True, "the group is listed")
    described = settle(client.describe_consumer_groups([group]))[group]
    same((described.state.name, len(described.members)), ("STABLE", 1), "state and members")
    refused("deleting a group with members", lambda: settle(client.delete_consumer_groups([group])), "NON_EMPTY_GROUP")
    member.close()
    until("the group is empty", lambda: settle(client.describe_consumer_groups([group]))[group].state.name == "EMPTY")
    settle(client.delete_consumer_groups([group]))
    listed = client.list_consumer_groups(request_timeout=20).result(20)
    same(group in {item.group_id for item in listed.valid}, False, "the group is gone")


@check("a transaction is committed (Kafka) or refused for good (Farshore)")
def transactions(stage):
    topic = create(stage, stage.name("txn"))
    client = producer(stage, **{"transactional.id": stage.name("txn")})
    if stage.platform == "farshore":
        began = time.monotonic()
        refused("a transactional producer", lambda: client.init_transactions(15), "TRANSACTIONAL_ID_AUTHORIZATION", "UNSUPPORTED", "INVALID")
        same(time.monotonic() - began < 10, True, "refused without retries")
        return
    client.init_transactions(20)
    client.begin_transaction()
    client.produce(topic, b"one")
    client.commit_transaction(20)
    same(read_all(stage, topic, 0, 1, **{"isolation.level": "read_committed"}), [(None, b"one", [])], "records")


run("confluent-kafka")
