// The scenario matrix with kafkajs 2, which has gzip built in and speaks the protocol of Kafka 2.
"use strict";

const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require("kafkajs");
const { check, killOne, plain, records, refused, run, same, tell, until } = require("./checks.cjs");

const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP };
const PRODUCERS = {
  idempotent: [{ idempotent: true, maxInFlightRequests: 1 }, -1],
  "acks=all": [{}, -1],
  "acks=1": [{}, 1],
  "acks=0": [{}, 0],
};
const BASE = Date.now() - 3_600_000; // young enough for any retention

function kafka(bootstrap) {
  return new Kafka({ clientId: "matrix", brokers: [bootstrap], logLevel: logLevel.NOTHING });
}

async function withAdmin(stage, use) {
  const admin = kafka(stage.bootstrap).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Creates a topic and waits until the metadata know it, which may be later than the answer. */
async function create(stage, topic, numPartitions = 1, configEntries = []) {
  await withAdmin(stage, async (admin) => {
    await admin.createTopics({ topics: [{ topic, numPartitions, configEntries }], waitForLeaders: false });
    const known = () => admin.fetchTopicMetadata({ topics: [topic] }).then(({ topics }) => topics[0].partitions, () => []);
    await until(`${topic} has leaders`, async () => {
      return (await known()).filter(({ leader }) => leader >= 0).length === numPartitions;
    });
  });
  return topic;
}

/** Sends `messages` with one producer and answers the first offsets per partition. */
async function write(stage, topic, messages, { config = {}, acks = -1, compression } = {}) {
  const producer = kafka(stage.bootstrap).producer({ allowAutoTopicCreation: false, ...config });
  await producer.connect();
  try {
    const answers = await producer.send({ topic, messages, acks, compression });
    return answers.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]);
  } finally {
    await producer.disconnect();
  }
}

const texts = (count, partition = 0) =>
  Array.from({ length: count }, (_, n) => ({ partition, value: `${n}`, timestamp: `${BASE + n * 1000}` }));

/** A record as it is sent; header values of kafkajs are an object. */
const sendable = (partition) => (record) => ({ ...record, partition, headers: Object.fromEntries(record.headers) });

const received = ({ key, value, headers }) => plain({ key, value, headers: Object.entries(headers ?? {}) });

/** A running consumer of one topic; `found` collects what it reads. */
async function reader(stage, topic, group, config = {}) {
  const consumer = kafka(stage.bootstrap).consumer({
    groupId: group,
    sessionTimeout: 10_000,
    heartbeatInterval: 300,
    maxWaitTimeInMs: 100,
    allowAutoTopicCreation: false,
    ...config,
  });
  const found = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      found.push({ partition, ...message });
    },
  });
  const take = (count) =>
    until(() => `${count} records, found ${found.length}`, () => found.length >= count).then(() => found.splice(0));
  return { consumer, take, close: () => consumer.disconnect() };
}

check("every codec with every acknowledgement, all partitions read back", async (stage) => {
  const cases = Object.keys(CODECS).flatMap((codec) => Object.keys(PRODUCERS).map((name) => [codec, name]));
  const topic = await create(stage, stage.name("js-codecs"), cases.length);
  const wanted = cases.map((_, partition) => records(partition));
  for (const [partition, [codec, name]] of cases.entries()) {
    const [config, acks] = PRODUCERS[name];
    const batch = wanted[partition].map(sendable(partition));
    const found = await write(stage, topic, batch, { config, acks, compression: CODECS[codec] });
    if (acks !== 0) same(found, [[partition, 0]], `first offset of ${codec}, ${name}`);
  }
  const { take, close } = await reader(stage, topic, stage.name("js-codecs-group"));
  const found = await take(cases.length * wanted[0].length);
  await close();
  for (const [partition, [codec, name]] of cases.entries()) {
    const mine = found.filter((message) => message.partition === partition).map(received);
    same(mine, wanted[partition].map(plain), `records of ${codec}, ${name}`);
  }
});

check("an idempotent producer sends to several partitions of several topics at once", async (stage) => {
  const topics = await Promise.all([0, 1, 2].map((i) => create(stage, stage.name(`js-several-${i}`), 3)));
  const producer = kafka(stage.bootstrap).producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (let round = 0; round < 10; round++) {
    const messages = Array.from({ length: 30 }, (_, n) => ({ partition: n % 3, value: `${round * 30 + n}` }));
    await producer.sendBatch({ topicMessages: topics.map((topic) => ({ topic, messages })), acks: -1 });
  }
  await producer.disconnect();
  const { take, close } = await reader(stage, topics[1], stage.name("js-several-group"));
  const found = await take(300);
  await close();
  for (const partition of [0, 1, 2]) {
    const mine = found.filter((message) => message.partition === partition).map(({ value }) => Number(`${value}`));
    same(mine, Array.from({ length: 100 }, (_, n) => n * 3 + partition), `numbers of partition ${partition}, in order`);
  }
});

check("two members of a group share four partitions, one is killed", async (stage) => {
  const topic = await create(stage, stage.name("js-kill"), 4);
  await killOne(stage, topic, async (from, to) => {
    const numbers = Array.from({ length: to - from }, (_, n) => from + n);
    await write(stage, topic, numbers.map((n) => ({ partition: n % 4, value: `${n}` })), { config: { idempotent: true } });
    return numbers.map((n) => [n % 4, `${n}`]);
  });
});

async function member(bootstrap, group, topic) {
  const consumer = kafka(bootstrap).consumer({
    groupId: group,
    sessionTimeout: 6_000,
    rebalanceTimeout: 10_000,
    heartbeatInterval: 300,
    maxWaitTimeInMs: 100,
    allowAutoTopicCreation: false,
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => tell({ owned: payload.memberAssignment[topic] ?? [] }));
  consumer.on(consumer.events.CRASH, ({ payload }) => tell({ error: `${payload.error}` }));
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch: { partition, messages } }) => {
      tell({ took: messages.map(({ value }) => [partition, `${value}`]) });
      const offset = `${BigInt(messages.at(-1).offset) + 1n}`;
      await consumer.commitOffsets([{ topic, partition, offset }]);
    },
  });
}

check("a commit with metadata is read back, and the next member goes on from it", async (stage) => {
  const [topic, group] = [await create(stage, stage.name("js-commit"), 2), stage.name("js-commit-group")];
  await write(stage, topic, records(1).map(sendable(1)));
  const first = await reader(stage, topic, group);
  await first.take(40);
  await first.consumer.commitOffsets([
    { topic, partition: 1, offset: "7", metadata: "seven \u20ac" },
    { topic, partition: 0, offset: "0", metadata: "zero" },
  ]);
  await first.close();
  const [{ partitions }] = await withAdmin(stage, (admin) => admin.fetchOffsets({ groupId: group, topics: [topic] }));
  const found = partitions.sort((a, b) => a.partition - b.partition).map(({ offset, metadata }) => [offset, metadata]);
  same(found, [["0", "zero"], ["7", "seven \u20ac"]], "what was committed");
  const second = await reader(stage, topic, group);
  same((await second.take(1))[0].offset, "7", "first offset of the next member");
  await second.close();
});

check("seeking by offset and by timestamp finds the record", async (stage) => {
  const topic = await create(stage, stage.name("js-times"));
  for (let from = 0; from < 100; from += 10) await write(stage, topic, texts(100).slice(from, from + 10));
  const { consumer, take, close } = await reader(stage, topic, stage.name("js-times-group"));
  await take(100);
  const seek = async (offset, what) => {
    consumer.seek({ topic, partition: 0, offset: `${offset}` });
    const found = await take(100 - offset);
    const last = { value: "99", timestamp: `${BASE + 99_000}` };
    same([found[0].offset, `${found[0].value}`], [`${offset}`, `${offset}`], `first record ${what}`);
    same([`${found.at(-1).value}`, found.at(-1).timestamp], [last.value, last.timestamp], `last record ${what}`);
  };
  await seek(61, "at offset 61");
  const asked = [[0, -5], [42, 42_000], [43, 42_001], [99, 99_000]];
  await withAdmin(stage, async (admin) => {
    for (const [wanted, time] of asked) {
      const [{ offset }] = await admin.fetchTopicOffsetsByTimestamp(topic, BASE + time);
      same(offset, `${wanted}`, `offset at ${time} ms`);
      await seek(wanted, `at ${time} ms`);
    }
    same((await admin.fetchTopicOffsets(topic)).map(({ low, high }) => [low, high]), [["0", "100"]], "earliest and latest");
  });
  await close();
});

check("topics are created, refused, described, configured and deleted", async (stage) => {
  const retention = (value) => [{ name: "retention.ms", value }];
  const topic = await create(stage, stage.name("js-admin"), 3, retention("123456"));
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
  await withAdmin(stage, async (admin) => {
    same(await admin.createTopics({ topics: [{ topic }] }), false, "whether it was created again");
    await refused("a name with a slash", () => admin.createTopics({ topics: [{ topic: "a/b" }] }), "INVALID_TOPIC");
    const wide = { topics: [{ topic: stage.name("js-rf"), replicationFactor: 3 }] };
    await refused("three replicas on one broker", () => admin.createTopics(wide), "INVALID_REPLICATION_FACTOR");
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    same(topics[0].partitions.map(({ leader }) => leader >= 0), [true, true, true], "partitions with a leader");
    const configured = async () => {
      const { resources } = await admin.describeConfigs({ resources: [{ ...resource, configNames: ["retention.ms"] }] });
      return resources[0].configEntries.map(({ configName, configValue }) => [configName, configValue]);
    };
    // Through the gateway any region may answer; one that is no owner hears of a topic a moment later.
    const retained = async () => configured().then(([entry]) => entry?.[1], () => undefined);
    await until("retention.ms is known", async () => (await retained()) === "123456");
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: retention("234567") }] });
    await until("retention.ms is changed", async () => (await configured())[0][1] === "234567");
    await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] });
    await until("it has four partitions", async () => (await admin.fetchTopicOffsets(topic)).length === 4);
    await write(stage, topic, texts(10));
    await admin.deleteTopics({ topics: [topic] });
    // This client lists nothing while any topic, whosever it is, has no leader yet.
    const listed = () => admin.listTopics().catch(() => [topic]);
    await until("the topic is gone", async () => !(await listed()).includes(topic));
  });
  await create(stage, topic);
  same(await write(stage, topic, texts(1)), [[0, 0]], "first offset of a topic made again");
});

check("groups are listed, described and deleted", async (stage) => {
  const [topic, group] = [await create(stage, stage.name("js-groups")), stage.name("js-admin-group")];
  await write(stage, topic, texts(10));
  const { consumer, take, close } = await reader(stage, topic, group);
  await take(10);
  await consumer.commitOffsets([{ topic, partition: 0, offset: "10" }]);
  await withAdmin(stage, async (admin) => {
    const listed = async () => (await admin.listGroups()).groups.some(({ groupId }) => groupId === group);
    const described = async () => (await admin.describeGroups([group])).groups[0];
    same(await listed(), true, "the group is listed");
    const { state, members } = await described();
    same([state, members.length], ["Stable", 1], "state and members");
    await close();
    await until("the group is empty", async () => (await described()).state === "Empty");
    await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: "3" }] });
    const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
    same(partitions.map(({ offset }) => offset), ["3"], "the offset that was set");
    await until("the group is empty again", async () => (await described()).state === "Empty");
    await admin.deleteGroups([group]);
    same(await listed(), false, "the deleted group is listed");
  });
});

run("kafkajs", member);
