// The scenario matrix with @platformatic/kafka 1, which has every codec built in (zstd where Node has it) and speaks the
// protocol of Kafka 4. Its commits carry no metadata of the caller's.
"use strict";

const { check, killOne, plain, records, refused, run, same, tell, until } = require("./checks.cjs");
// Loaded by its file, as NODE_PATH does not count for `import`; settled before the first check asks.
const loaded = import(require.resolve("@platformatic/kafka"));

const PRODUCERS = {
  idempotent: { idempotent: true, acks: -1 },
  "acks=all": { acks: -1 },
  "acks=1": { acks: 1 },
  "acks=0": { acks: 0 },
};
const TOPIC = 2; // the resource type of configurations
const SET = 0; // the operation of incremental changes
const BASE = BigInt(Date.now() - 3_600_000); // young enough for any retention
// What a commit meets while its group changes; the records are then taken again.
const CHANGING = ["REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "STALE_MEMBER_EPOCH"];

const client = (bootstrap) => ({ clientId: "matrix", bootstrapBrokers: [bootstrap], retries: 10, retryDelay: 200 });

async function withAdmin(stage, use) {
  const { Admin } = await loaded;
  const admin = new Admin(client(stage.bootstrap));
  try {
    return await use(admin);
  } finally {
    await admin.close();
  }
}

async function create(stage, topic, partitions = 1, configs = []) {
  await withAdmin(stage, (admin) => admin.createTopics({ topics: [topic], partitions, replicas: 1, configs }));
  return topic;
}

/** Sends `messages` with one producer and answers the first offsets per partition. */
async function write(stage, topic, messages, config = PRODUCERS.idempotent) {
  const { Producer } = await loaded;
  const producer = new Producer({ ...client(stage.bootstrap), ...config });
  try {
    const { offsets } = await producer.send({ messages: messages.map((message) => ({ topic, ...message })) });
    return offsets?.map(({ partition, offset }) => [partition, offset]).sort();
  } finally {
    await producer.close();
  }
}

const texts = (count, partition = 0) =>
  Array.from({ length: count }, (_, n) => ({ partition, value: Buffer.from(`${n}`), timestamp: BASE + BigInt(n) * 1000n }));

const sendable = (partition) => (record) => ({
  key: record.key,
  value: record.value,
  partition,
  headers: new Map(record.headers.map(([name, content]) => [Buffer.from(name), content])),
});

const received = ({ key, value, headers }) => plain({ key, value, headers: [...headers] });

/** A consumer of one topic in a group; `take` answers the next records, in order. */
async function reader(stage, topic, group, options = {}, config = {}) {
  const { Consumer } = await loaded;
  const consumer = new Consumer({ ...client(stage.bootstrap), groupId: group, maxWaitTime: 100, autocommit: false, ...config });
  const mode = { mode: "committed", fallbackMode: "earliest", ...options };
  const classic = { sessionTimeout: 10_000, rebalanceTimeout: 10_000, heartbeatInterval: 300 };
  const stream = await consumer.consume({ topics: [topic], ...mode, ...(config.groupProtocol ? {} : classic) });
  const [found, errors] = [[], []];
  stream.on("data", (message) => found.push(message));
  stream.on("error", (error) => errors.push(`${error}`));
  const take = (count) =>
    until(() => `${count} records, found ${found.length} ${errors}`, () => found.length >= count).then(() => found.splice(0));
  return { consumer, take, found, close: () => consumer.close(true) };
}

check("every codec with every acknowledgement, all partitions read back", async (stage) => {
  const { compressionsAlgorithms } = await loaded;
  const codecs = Object.keys(compressionsAlgorithms).filter((codec) => compressionsAlgorithms[codec].available);
  const cases = codecs.flatMap((codec) => Object.keys(PRODUCERS).map((name) => [codec, name]));
  const topic = await create(stage, stage.name("plt-codecs"), cases.length);
  const wanted = cases.map((_, partition) => records(partition));
  for (const [partition, [compression, name]] of cases.entries()) {
    const batch = wanted[partition].map(sendable(partition));
    const found = await write(stage, topic, batch, { ...PRODUCERS[name], compression });
    if (name !== "acks=0") same(found, [[partition, 0]], `first offset of ${compression}, ${name}`);
  }
  const { take, close } = await reader(stage, topic, stage.name("plt-codecs-group"));
  const found = await take(cases.length * wanted[0].length);
  await close();
  for (const [partition, [codec, name]] of cases.entries()) {
    const mine = found.filter((message) => message.partition === partition).map(received);
    same(mine, wanted[partition].map(plain), `records of ${codec}, ${name}`);
  }
});

check("an idempotent producer sends to several partitions of several topics at once", async (stage) => {
  const { Producer } = await loaded;
  const topics = await Promise.all([0, 1, 2].map((i) => create(stage, stage.name(`plt-several-${i}`), 3)));
  const producer = new Producer({ ...client(stage.bootstrap), ...PRODUCERS.idempotent });
  for (let round = 0; round < 10; round++) {
    const numbers = Array.from({ length: 30 }, (_, n) => [n % 3, Buffer.from(`${round * 30 + n}`)]);
    const messages = topics.flatMap((topic) => numbers.map(([partition, value]) => ({ topic, partition, value })));
    await producer.send({ messages });
  }
  await producer.close();
  const { take, close } = await reader(stage, topics[1], stage.name("plt-several-group"));
  const found = await take(300);
  await close();
  for (const partition of [0, 1, 2]) {
    const mine = found.filter((message) => message.partition === partition).map(({ value }) => Number(`${value}`));
    same(mine, Array.from({ length: 100 }, (_, n) => n * 3 + partition), `numbers of partition ${partition}, in order`);
  }
});

check("two members of a group share four partitions, one is killed", async (stage) => {
  const topic = await create(stage, stage.name("plt-kill"), 4);
  await killOne(stage, topic, async (from, to) => {
    const numbers = Array.from({ length: to - from }, (_, n) => from + n);
    await write(stage, topic, numbers.map((n) => ({ partition: n % 4, value: Buffer.from(`${n}`) })));
    return numbers.map((n) => [n % 4, `${n}`]);
  });
});

async function member(bootstrap, groupId, topic) {
  const { Consumer } = await loaded;
  const consumer = new Consumer({ ...client(bootstrap), groupId, maxWaitTime: 100, autocommit: false });
  const partitions = (assignments) => assignments.flatMap((assigned) => assigned.partitions);
  consumer.on("consumer:group:join", ({ assignments }) => tell({ owned: partitions(assignments ?? []) }));
  const session = { sessionTimeout: 6_000, rebalanceTimeout: 10_000, heartbeatInterval: 300 };
  const stream = await consumer.consume({ topics: [topic], mode: "committed", fallbackMode: "earliest", ...session });
  for await (const message of stream) {
    tell({ took: [[message.partition, `${message.value}`]] });
    await Promise.resolve(message.commit()).catch((error) => {
      if (!CHANGING.some((name) => error.findBy?.("apiId", name))) throw error;
    });
  }
}

/** Commits offset 7 of partition 1 in a group of `protocol`; the next member must go on from there. */
async function commitAndGoOn(stage, protocol) {
  const [name, config] = [`plt-commit-${protocol}`, protocol === "consumer" ? { groupProtocol: protocol } : {}];
  const [topic, group] = [await create(stage, stage.name(name), 2), stage.name(`${name}-group`)];
  await write(stage, topic, records(1).map(sendable(1)));
  const first = await reader(stage, topic, group, {}, config);
  await first.take(40);
  await first.consumer.commit({
    offsets: [[1, 7n], [0, 0n]].map(([partition, offset]) => ({ topic, partition, offset, leaderEpoch: -1 })),
  });
  const asked = { topics: [{ topic, partitions: [0, 1] }] };
  same((await first.consumer.listCommittedOffsets(asked)).get(topic), [0, 7], "what was committed");
  const groups = await withAdmin(stage, (admin) => admin.listGroups({ types: [protocol] }));
  same(groups.has(group), true, "whether the group is among those of its protocol");
  await first.close();
  const [{ topics }] = await withAdmin(stage, (admin) => admin.listConsumerGroupOffsets({ groups: [group] }));
  const listed = topics[0].partitions.map(({ partitionIndex, committedOffset }) => [partitionIndex, committedOffset]);
  same(listed.sort(), [[0, 0], [1, 7]], "offsets the admin client lists");
  const second = await reader(stage, topic, group, {}, config);
  same((await second.take(1))[0].offset, 7, "first offset of the next member");
  await second.close();
}

check("a commit is read back, and the next member goes on from it", (stage) => commitAndGoOn(stage, "classic"));

check("the same in the consumer protocol (KIP-848)", (stage) => commitAndGoOn(stage, "consumer"));

check("seeking by offset and by timestamp finds the record", async (stage) => {
  const topic = await create(stage, stage.name("plt-times"));
  for (let from = 0; from < 100; from += 10) await write(stage, topic, texts(100).slice(from, from + 10));
  const first = await reader(stage, topic, stage.name("plt-times-group"));
  await first.take(100);
  const asked = async (timestamp) => {
    const found = await first.consumer.listOffsetsWithTimestamps({ topics: [topic], timestamp });
    return found.get(topic).get(0);
  };
  const [none, earliest, latest] = [await asked(BASE + 100_000n), await asked(-2n), await asked(-1n)];
  same([none.offset, earliest.offset, latest.offset], [-1, 0, 100], "offsets after the last record, earliest, latest");
  const offsets = [61n];
  for (const [wanted, time] of [[0n, -5n], [42n, 42_000n], [43n, 42_001n], [99n, 99_000n]]) {
    const { offset, timestamp } = await asked(BASE + time);
    same([offset, timestamp], [wanted, BASE + wanted * 1000n], `offset and time at ${time} ms`);
    offsets.push(offset);
  }
  await first.close();
  await Promise.all(offsets.map(async (offset) => {
    const options = { mode: "manual", fallbackMode: undefined, offsets: [{ topic, partition: 0, offset }] };
    const { take, close } = await reader(stage, topic, stage.name(`plt-times-${offset}`), options);
    const found = await take(100 - Number(offset));
    await close();
    same([found[0].offset, Number(`${found[0].value}`), found[0].timestamp], [offset, offset, BASE + offset * 1000n], `first record at ${offset}`);
    same(found.length, 100n - offset, `records from ${offset} on`);
  }));
});

check("topics are created, refused, described, configured and deleted", async (stage) => {
  const topic = await create(stage, stage.name("plt-admin"), 3, [{ name: "retention.ms", value: "123456" }]);
  const resource = { resourceType: TOPIC, resourceName: topic };
  await withAdmin(stage, async (admin) => {
    const again = (name, replicas = 1) => admin.createTopics({ topics: [name], partitions: 1, replicas });
    await refused("creating it again", () => again(topic), "TOPIC_ALREADY_EXISTS");
    await refused("a name with a slash", () => again("a/b"), "INVALID_TOPIC_EXCEPTION");
    await refused("three replicas on one broker", () => again(stage.name("plt-rf"), 3), "INVALID_REPLICATION_FACTOR");
    const described = (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic);
    same(described.partitions.map(({ leader }) => leader >= 0), [true, true, true], "partitions with a leader");
    const configured = async () => {
      const asked = { resources: [{ ...resource, configurationKeys: ["retention.ms"] }] };
      return (await admin.describeConfigs(asked)).flatMap(({ configs }) => configs.map(({ name, value }) => [name, value]));
    };
    // Through the gateway any region may answer; one that is no owner hears of a topic a moment later.
    const retained = async () => configured().then(([entry]) => entry?.[1], () => undefined);
    await until("retention.ms is known", async () => (await retained()) === "123456");
    const change = { name: "retention.ms", configOperation: SET, value: "234567" };
    await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [change] }] });
    await until("retention.ms is changed", async () => (await configured())[0][1] === "234567");
    await admin.createPartitions({ topics: [{ name: topic, count: 4 }] });
    const partitions = async () => (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic);
    await until("it has four partitions", async () => (await partitions()).partitionsCount === 4);
    await write(stage, topic, texts(10));
    await admin.deleteTopics({ topics: [topic] });
    await until("the topic is gone", async () => !(await admin.listTopics()).includes(topic));
  });
  await create(stage, topic);
  same(await write(stage, topic, texts(1)), [[0, 0]], "first offset of a topic made again");
});

check("groups are listed, described and deleted", async (stage) => {
  const [topic, group] = [await create(stage, stage.name("plt-groups")), stage.name("plt-admin-group")];
  await write(stage, topic, texts(10));
  const { take, close } = await reader(stage, topic, group);
  await (await take(10)).at(-1).commit();
  await withAdmin(stage, async (admin) => {
    const listed = async () => (await admin.listGroups()).has(group);
    const described = async () => (await admin.describeGroups({ groups: [group] })).get(group);
    same(await listed(), true, "the group is listed");
    const { state, members } = await described();
    same([state.toUpperCase(), members.size], ["STABLE", 1], "state and members");
    await close();
    await until("the group is empty", async () => (await described()).state.toUpperCase() === "EMPTY");
    const partitionOffsets = [{ partition: 0, offset: 3n }];
    await admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets }] });
    const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [group] });
    same(topics[0].partitions[0].committedOffset, 3, "the offset that was set");
    await admin.deleteGroups({ groups: [group] });
    same(await listed(), false, "the deleted group is listed");
  });
});

run("platformatic", member);
