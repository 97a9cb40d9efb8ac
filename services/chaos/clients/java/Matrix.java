import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

/** The scenario matrix with Apache Kafka's own Java clients: java -cp 'jars/*' Matrix.java BOOTSTRAP [farshore|kafka]. */
public class Matrix {
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    static final Map<String, Map<String, Object>> PRODUCERS = new TreeMap<>(Map.of(
        "idempotent", Map.of("enable.idempotence", true),
        "acks=all", Map.of("enable.idempotence", false, "acks", "all"),
        "acks=1", Map.of("enable.idempotence", false, "acks", "1"),
        "acks=0", Map.of("enable.idempotence", false, "acks", "0")));
    static final List<Class<?>> ASSIGNORS =
        List.of(RangeAssignor.class, RoundRobinAssignor.class, StickyAssignor.class, CooperativeStickyAssignor.class);
    static final long BASE = 1_700_000_000_000L;

    interface Check { void run() throws Exception; }
    interface Condition { boolean holds() throws Exception; }

    static final Map<String, Check> checks = new LinkedHashMap<>();
    static final String run = UUID.randomUUID().toString().substring(0, 8);
    static String bootstrap;
    static boolean farshore;
    static Admin admin;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        farshore = arguments.length < 2 || arguments[1].equals("farshore");
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", 20000, "request.timeout.ms", 10000));
        register();
        ExecutorService pool = Executors.newFixedThreadPool(6);
        List<Future<Boolean>> verdicts = new ArrayList<>();
        checks.forEach((sentence, check) -> verdicts.add(pool.submit(() -> play(sentence, check))));
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(180);
        int passed = 0;
        for (Future<Boolean> verdict : verdicts) {
            try {
                passed += verdict.get(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS) ? 1 : 0;
            } catch (TimeoutException late) {
                System.out.println("FAIL java: a check was not finished after 90 s");
            }
        }
        System.out.printf("java: %d of %d checks passed%n", passed, checks.size());
        System.out.flush();
        Runtime.getRuntime().halt(passed == checks.size() ? 0 : 1);
    }

    static boolean play(String sentence, Check check) {
        long began = System.nanoTime();
        Throwable failure = null;
        try {
            check.run();
        } catch (Throwable error) {
            failure = error;
        }
        String seconds = String.format(" (%.1f s)", (System.nanoTime() - began) / 1e9);
        System.out.println((failure == null ? "ok   java: " : "FAIL java: ") + sentence + seconds + (failure == null ? "" : ": " + failure));
        return failure == null;
    }

    static void register() {
        checks.put("every codec with every acknowledgement, all partitions read back in one request", Matrix::codecs);
        checks.put("an idempotent producer sends to several partitions of several topics at once", Matrix::severalTopics);
        for (Class<?> assignor : ASSIGNORS) {
            checks.put("two members of a group share four partitions, one leaves (" + assignor.getSimpleName() + ")", () -> share(assignor.getSimpleName(), Map.of("partition.assignment.strategy", assignor.getName())));
        }
        for (String assignor : List.of("uniform", "range")) {
            checks.put("two members of a group of the consumer protocol share four partitions, one leaves (" + assignor + ")",
                () -> share("848-" + assignor, Map.of("group.protocol", "consumer", "group.remote.assignor", assignor)));
        }
        checks.put("a member of the consumer protocol subscribes by a pattern, commits, seeks, and the next one goes on", Matrix::consumerProtocol);
        checks.put("a commit with metadata is read back, and the next member goes on from it", Matrix::commitWithMetadata);
        checks.put("seeking by timestamp finds the first record at or after it", Matrix::seekByTimestamp);
        checks.put("earliest, latest and greatest-time offsets are listed", Matrix::listOffsets);
        checks.put("a loop until the position is the end offset ends, also on an idle partition", Matrix::loopToEnd);
        checks.put("auto.offset.reset earliest, latest and none do what they say", Matrix::offsetReset);
        checks.put("topics are created, refused, described, configured and deleted", Matrix::topics);
        checks.put("groups are listed, described and deleted", Matrix::groups);
        checks.put("a transaction is committed (Kafka) or refused for good (Farshore)", Matrix::transactions);
    }

    // What the checks are made of.

    static String name(String what) { return "java-" + what + "-" + run; }

    static void same(Object found, Object wanted, String what) {
        if (!Objects.deepEquals(found, wanted)) throw new AssertionError(what + ": found " + found + ", wanted " + wanted);
    }

    static void until(Supplier<String> what, Condition condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(40);
        while (!condition.holds()) {
            if (System.nanoTime() > deadline) throw new AssertionError("not within 40 s: " + what.get());
            Thread.sleep(20);
        }
    }

    static void refused(String what, Check call, String wanted) {
        try {
            call.run();
        } catch (Throwable error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (cause.getClass().getSimpleName().matches(wanted)) return;
            }
            throw new AssertionError(what + ": refused with " + error + ", wanted " + wanted);
        }
        throw new AssertionError(what + ": was accepted, wanted " + wanted);
    }

    static String create(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        until(() -> topic + " has leaders", () -> {
            try {
                var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
                return described.size() == partitions && described.stream().allMatch(p -> p.leader() != null);
            } catch (ExecutionException notYet) {
                return false;
            }
        });
        return topic;
    }

    static String create(String topic, int partitions) throws Exception { return create(topic, partitions, Map.of()); }

    static Producer<byte[], byte[]> producer(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", 5, "delivery.timeout.ms", 20000, "request.timeout.ms", 10000));
        config.putAll(more);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static Consumer<byte[], byte[]> consumer(String group, Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap, "enable.auto.commit", false, "auto.offset.reset", "earliest", "fetch.max.wait.ms", 100,
            "metadata.max.age.ms", 1000, "default.api.timeout.ms", 20000, "request.timeout.ms", 10000));
        // In the consumer protocol the broker decides these.
        if (!"consumer".equals(more.get("group.protocol"))) config.putAll(Map.of("session.timeout.ms", 10000, "heartbeat.interval.ms", 300));
        if (group != null) config.put("group.id", group);
        config.putAll(more);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static ProducerRecord<byte[], byte[]> text(String topic, int partition, Object value) {
        return new ProducerRecord<>(topic, partition, null, String.valueOf(value).getBytes());
    }

    /** Records that are hard to keep byte-equal: null and empty keys and values, repeated and null headers, a large one. */
    static List<ProducerRecord<byte[], byte[]>> records(String topic, int partition) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        records.add(new ProducerRecord<>(topic, partition, null, null));
        records.add(new ProducerRecord<>(topic, partition, new byte[0], new byte[0]));
        List<Header> headers = List.of(new RecordHeader("h", (byte[]) null), new RecordHeader("h", "second".getBytes()), new RecordHeader("", new byte[0]));
        records.add(new ProducerRecord<>(topic, partition, null, null, "value".getBytes(), headers));
        records.add(new ProducerRecord<>(topic, partition, "large".getBytes(), "farshore".repeat(4096).getBytes()));
        Random chance = new Random(partition);
        while (records.size() < 40) {
            byte[] value = new byte[chance.nextInt(200)];
            chance.nextBytes(value);
            records.add(new ProducerRecord<>(topic, partition, ("k" + records.size()).getBytes(), value));
        }
        return records;
    }

    static String plain(byte[] key, byte[] value, Iterable<Header> headers) {
        StringJoiner named = new StringJoiner(",");
        headers.forEach(header -> named.add(header.key() + "=" + Arrays.toString(header.value())));
        return Arrays.toString(key) + ":" + Arrays.toString(value) + ":" + named;
    }

    static List<Long> send(Producer<byte[], byte[]> client, List<ProducerRecord<byte[], byte[]>> records) throws Exception {
        List<Future<RecordMetadata>> sent = records.stream().map(client::send).toList();
        client.flush();
        List<Long> offsets = new ArrayList<>();
        for (Future<RecordMetadata> metadata : sent) offsets.add(metadata.get().offset());
        return offsets;
    }

    static List<Long> write(List<ProducerRecord<byte[], byte[]>> records) throws Exception {
        try (var client = producer(Map.of())) {
            return send(client, records);
        }
    }

    static List<ConsumerRecord<byte[], byte[]>> take(Consumer<byte[], byte[]> client, int count) throws Exception {
        List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
        until(() -> "only " + found.size() + " of " + count + " records", () -> {
            client.poll(Duration.ofMillis(100)).forEach(found::add);
            return found.size() >= count;
        });
        return found;
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(partition -> new TopicPartition(topic, partition)).toList();
    }

    // The checks.

    static void codecs() throws Exception {
        int cases = CODECS.size() * PRODUCERS.size(), partition = 0;
        String topic = create(name("codecs"), cases);
        for (String codec : CODECS) {
            for (var kind : PRODUCERS.entrySet()) {
                Map<String, Object> config = new HashMap<>(kind.getValue());
                config.put("compression.type", codec);
                try (var client = producer(config)) {
                    List<Long> offsets = send(client, records(topic, partition++));
                    List<Long> wanted = LongStream.range(0, 40).boxed().toList();
                    if (!kind.getKey().equals("acks=0")) same(offsets, wanted, "offsets of " + codec + ", " + kind.getKey());
                }
            }
        }
        Map<Integer, List<String>> found = new TreeMap<>(), wanted = new TreeMap<>();
        try (var client = consumer(null, Map.of())) {
            client.assign(partitions(topic, cases));
            for (var r : take(client, cases * 40)) {
                found.computeIfAbsent(r.partition(), p -> new ArrayList<>()).add(plain(r.key(), r.value(), r.headers()));
            }
        }
        for (int p = 0; p < cases; p++) wanted.put(p, records(topic, p).stream().map(r -> plain(r.key(), r.value(), r.headers())).toList());
        same(found.equals(wanted), true, "records are byte-equal");
    }

    static void severalTopics() throws Exception {
        List<String> topics = List.of(create(name("several-0"), 3), create(name("several-1"), 3), create(name("several-2"), 3));
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        Map<TopicPartition, List<String>> wanted = new HashMap<>(), found = new HashMap<>();
        for (int number = 0; number < 900; number++) {
            TopicPartition target = new TopicPartition(topics.get(number % 3), number / 3 % 3);
            records.add(text(target.topic(), target.partition(), number));
            wanted.computeIfAbsent(target, t -> new ArrayList<>()).add(String.valueOf(number));
        }
        write(records);
        try (var client = consumer(null, Map.of())) {
            client.assign(wanted.keySet());
            for (var r : take(client, 900)) {
                found.computeIfAbsent(new TopicPartition(r.topic(), r.partition()), t -> new ArrayList<>()).add(new String(r.value()));
            }
        }
        same(found, wanted, "numbers per partition, in order");
    }

    /** A group member on a thread of its own; collects what it reads until told to leave. */
    static class Member extends Thread {
        final Consumer<byte[], byte[]> client;
        final Queue<String> found = new ConcurrentLinkedQueue<>();
        final AtomicBoolean leave = new AtomicBoolean();
        volatile Set<Integer> owned = Set.of();
        volatile Throwable error;

        Member(String group, String topic, Map<String, Object> config) {
            client = consumer(group, config);
            client.subscribe(List.of(topic));
            setDaemon(true);
            start();
        }

        @Override public void run() {
            try (client) {
                while (!leave.get()) {
                    var batch = client.poll(Duration.ofMillis(100));
                    batch.forEach(r -> found.add(r.partition() + ":" + new String(r.value())));
                    if (!batch.isEmpty()) client.commitSync();
                    owned = client.assignment().stream().map(TopicPartition::partition).collect(Collectors.toSet());
                }
            } catch (Throwable failure) {
                error = failure;
            }
        }
    }

    static void share(String assignor, Map<String, Object> config) throws Exception {
        String topic = create(name("share-" + assignor), 4), group = name("group-" + assignor);
        Member first = new Member(group, topic, config), second = new Member(group, topic, config);
        until(() -> "both members own two partitions each: " + first.owned + second.owned, () -> first.owned.size() == 2 && second.owned.size() == 2);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int n = 0; n < 200; n++) records.add(text(topic, n % 4, n));
        write(records);
        List<String> wanted = records.stream().map(r -> r.partition() + ":" + new String(r.value())).sorted().collect(Collectors.toList());
        Supplier<List<String>> found = () -> Stream.concat(first.found.stream(), second.found.stream()).sorted().toList();
        until(() -> "everything is read once", () -> found.get().size() >= 200);
        same(found.get(), wanted, "what both members read");
        second.leave.set(true);
        second.join(20000);
        until(() -> "the member that stays owns everything", () -> first.owned.equals(Set.of(0, 1, 2, 3)));
        write(List.of(text(topic, 3, "last")));
        until(() -> "it reads on", () -> first.found.contains("3:last"));
        first.leave.set(true);
        first.join(20000);
        same(Arrays.asList(first.error, second.error), Arrays.asList(null, null), "errors of the members");
        same(found.get().size(), 201, "records that both members read to the end");
    }

    static void commitWithMetadata() throws Exception {
        String topic = create(name("commit"), 2), group = name("commit-group");
        write(records(topic, 1));
        TopicPartition empty = new TopicPartition(topic, 0), full = new TopicPartition(topic, 1);
        Map<TopicPartition, OffsetAndMetadata> offsets =
            Map.of(full, new OffsetAndMetadata(7, Optional.empty(), "seven \u20ac"), empty, new OffsetAndMetadata(0, ""));
        try (var client = consumer(group, Map.of())) {
            client.subscribe(List.of(topic));
            take(client, 40);
            client.commitSync(offsets);
        }
        try (var client = consumer(group, Map.of())) {
            same(client.committed(Set.of(full, empty)), offsets, "what was committed");
            client.subscribe(List.of(topic));
            same(take(client, 1).get(0).offset(), 7L, "first offset of the next member");
        }
        same(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get(), offsets, "offsets the admin client lists");
    }

    static void consumerProtocol() throws Exception {
        String topic = create(name("commit-848"), 1), group = name("commit-848-group");
        write(records(topic, 0));
        TopicPartition part = new TopicPartition(topic, 0);
        Map<String, Object> config = Map.of("group.protocol", "consumer");
        SubscriptionPattern pattern = new SubscriptionPattern(topic.substring(0, topic.length() - 1) + ".");
        try (var client = consumer(group, config)) {
            client.subscribe(pattern);
            take(client, 40);
            client.commitSync(Map.of(part, new OffsetAndMetadata(7, "seven")));
            client.seek(part, 3);
            same(take(client, 1).get(0).offset(), 3L, "first offset after the seek");
            var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            same(described.groupState() + " " + described.members().size() + " " + described.type(), "Stable 1 Consumer", "state, members and type");
        }
        try (var client = consumer(group, config)) {
            client.subscribe(pattern);
            same(take(client, 1).get(0).offset(), 7L, "first offset of the next member");
        }
        until(() -> "the group is empty", () -> admin.describeConsumerGroups(List.of(group)).all().get().get(group).groupState() == GroupState.EMPTY);
        admin.deleteConsumerGroups(List.of(group)).all().get();
    }

    static void seekByTimestamp() throws Exception {
        String topic = create(name("times"), 1);
        TopicPartition part = new TopicPartition(topic, 0);
        try (var writer = producer(Map.of())) {
            for (int batch = 0; batch < 10; batch++) {
                List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
                for (int n = batch * 10; n < batch * 10 + 10; n++) {
                    records.add(new ProducerRecord<>(topic, 0, BASE + n * 1000L, null, String.valueOf(n).getBytes()));
                }
                send(writer, records);
            }
        }
        try (var client = consumer(null, Map.of())) {
            client.assign(List.of(part));
            for (long[] pair : new long[][] {{0, -5}, {42, 42_000}, {43, 42_001}, {99, 99_000}}) {
                OffsetAndTimestamp found = client.offsetsForTimes(Map.of(part, BASE + pair[1])).get(part);
                same(List.of(found.offset(), found.timestamp()), List.of(pair[0], BASE + pair[0] * 1000), "offset and time at " + pair[1]);
                client.seek(part, found.offset());
                same(new String(take(client, 1).get(0).value()), String.valueOf(pair[0]), "first record at " + pair[1]);
            }
            same(client.offsetsForTimes(Map.of(part, BASE + 100_000)).get(part), null, "a time after the last record");
        }
    }

    static void listOffsets() throws Exception {
        String topic = create(name("offsets"), 2);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int n = 0; n < 40; n++) records.add(new ProducerRecord<>(topic, 1, BASE - n, null, new byte[10]));
        write(records);
        TopicPartition full = new TopicPartition(topic, 1);
        try (var client = consumer(null, Map.of())) {
            List<TopicPartition> both = partitions(topic, 2);
            same(client.beginningOffsets(both), Map.of(both.get(0), 0L, full, 0L), "earliest");
            same(client.endOffsets(both), Map.of(both.get(0), 0L, full, 40L), "latest");
        }
        Map<OffsetSpec, Long> specs = Map.of(OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 40L, OffsetSpec.maxTimestamp(), 0L);
        for (var spec : specs.entrySet()) {
            same(admin.listOffsets(Map.of(full, spec.getKey())).partitionResult(full).get().offset(), spec.getValue(), spec.getKey().getClass().getSimpleName());
        }
    }

    static void loopToEnd() throws Exception {
        String topic = create(name("loop"), 2);
        write(records(topic, 1));
        try (var client = consumer(null, Map.of("isolation.level", "read_committed"))) {
            List<TopicPartition> both = partitions(topic, 2);
            client.assign(both);
            client.seekToBeginning(both);
            Map<TopicPartition, Long> ends = client.endOffsets(both);
            until(() -> "position = end on both partitions", () -> {
                client.poll(Duration.ofMillis(100));
                return both.stream().allMatch(part -> client.position(part) >= ends.get(part));
            });
        }
    }

    static void offsetReset() throws Exception {
        String topic = create(name("reset"), 1);
        TopicPartition part = new TopicPartition(topic, 0);
        write(records(topic, 0));
        try (var client = consumer(null, Map.of("auto.offset.reset", "earliest"))) {
            client.assign(List.of(part));
            client.seek(part, 1000);
            same(take(client, 1).get(0).offset(), 0L, "earliest");
        }
        try (var client = consumer(null, Map.of("auto.offset.reset", "latest"))) {
            client.assign(List.of(part));
            client.seek(part, 1000);
            until(() -> "the position is reset to the end", () -> {
                client.poll(Duration.ofMillis(100));
                return client.position(part) == 40;
            });
        }
        try (var client = consumer(null, Map.of("auto.offset.reset", "none"))) {
            client.assign(List.of(part));
            client.seek(part, 1000);
            refused("none", () -> take(client, 1), "OffsetOutOfRangeException");
        }
    }

    static void topics() throws Exception {
        String topic = create(name("admin"), 3, Map.of("retention.ms", "123456"));
        refused("creating it again", () -> create(topic, 1), "TopicExistsException");
        refused("a name with a slash", () -> create("a/b", 1), "InvalidTopicException");
        refused("three replicas on one broker", () -> admin.createTopics(List.of(new NewTopic(name("rf"), 1, (short) 3))).all().get(), "InvalidReplicationFactorException");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        same(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value(), "123456", "retention.ms");
        Uuid old = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId();
        write(records(topic, 0));
        admin.deleteTopics(List.of(topic)).all().get();
        until(() -> "the topic is gone", () -> !admin.listTopics().names().get().contains(topic));
        create(topic, 1);
        same(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId().equals(old), false, "the topic made again has the old id");
        same(write(List.of(text(topic, 0, "again"))), List.of(0L), "first offset of a topic made again");
    }

    static void groups() throws Exception {
        String topic = create(name("groups"), 1), group = name("admin-group");
        write(records(topic, 0));
        Supplier<ConsumerGroupDescription> described = () -> {
            try {
                return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            } catch (Exception error) {
                throw new AssertionError(error);
            }
        };
        try (var member = consumer(group, Map.of())) {
            member.subscribe(List.of(topic));
            take(member, 40);
            member.commitSync();
            same(admin.listGroups().all().get().stream().anyMatch(listed -> listed.groupId().equals(group)), true, "the group is listed");
            same(described.get().groupState() + " " + described.get().members().size(), "Stable 1", "state and members");
        }
        until(() -> "the group is empty", () -> described.get().groupState() == GroupState.EMPTY);
        admin.deleteConsumerGroups(List.of(group)).all().get();
        same(admin.listGroups().all().get().stream().anyMatch(listed -> listed.groupId().equals(group)), false, "the deleted group is listed");
    }

    static void transactions() throws Exception {
        String topic = create(name("txn"), 1);
        try (var client = producer(Map.of("transactional.id", name("txn"), "max.block.ms", 15000))) {
            long began = System.nanoTime();
            if (farshore) {
                refused("a transactional producer", client::initTransactions, "(UnsupportedVersion|TransactionalIdAuthorization|InvalidRequest|InvalidTxnState|Kafka)Exception");
                same(System.nanoTime() - began < 10e9, true, "refused without retries");
                return;
            }
            client.initTransactions();
            client.beginTransaction();
            client.send(text(topic, 0, "one"));
            client.commitTransaction();
        }
        try (var client = consumer(null, Map.of("isolation.level", "read_committed"))) {
            client.assign(partitions(topic, 1));
            same(new String(take(client, 1).get(0).value()), "one", "the record of the transaction");
        }
    }
}
