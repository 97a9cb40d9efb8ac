import java.io.*;
import java.time.Duration;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * The loop that many batch jobs are made of: read until the position is what endOffsets said.
 *
 * <p>{@code EndLoop BOOTSTRAP TOPIC PARTITIONS SECONDS}; for every line on its input it loops once with a consumer that has been
 * there from the first, and once with a new one that begins at the beginning, both isolation levels each, and prints
 * {@code done} with the ends, or {@code LATE} with what was missing after SECONDS.
 */
public class EndLoop {
    static String bootstrap;
    static List<TopicPartition> partitions;
    static Duration patience;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        partitions = IntStream.range(0, Integer.parseInt(arguments[2])).mapToObj(p -> new TopicPartition(arguments[1], p)).toList();
        patience = Duration.ofSeconds(Integer.parseInt(arguments[3]));
        List<Consumer<byte[], byte[]>> old = List.of(consumer("read_uncommitted"), consumer("read_committed"));
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        while (input.readLine() != null) {
            for (Consumer<byte[], byte[]> client : old) say("old", client);
            for (String isolation : List.of("read_uncommitted", "read_committed")) {
                try (Consumer<byte[], byte[]> client = consumer(isolation)) {
                    say("new", client);
                }
            }
            System.out.println("end");
        }
        for (Consumer<byte[], byte[]> client : old) client.close();
    }

    static Consumer<byte[], byte[]> consumer(String isolation) {
        Consumer<byte[], byte[]> client = new KafkaConsumer<>(
            Map.of("bootstrap.servers", bootstrap, "isolation.level", isolation, "auto.offset.reset", "none",
                "enable.auto.commit", false, "default.api.timeout.ms", 20000, "fetch.max.wait.ms", 100),
            new ByteArrayDeserializer(), new ByteArrayDeserializer());
        client.assign(partitions);
        client.seekToBeginning(partitions);
        return client;
    }

    static void say(String who, Consumer<byte[], byte[]> client) {
        long began = System.nanoTime(), deadline = began + patience.toNanos();
        Map<TopicPartition, Long> ends = client.endOffsets(partitions);
        int records = 0;
        while (!partitions.stream().allMatch(part -> client.position(part) >= ends.get(part))) {
            if (System.nanoTime() > deadline) {
                System.out.println("LATE " + who + ": ends " + ends + ", positions " + positions(client));
                return;
            }
            records += client.poll(Duration.ofMillis(100)).count();
        }
        System.out.printf("done %s: %d records, ends %s, %d ms%n", who, records, ends, (System.nanoTime() - began) / 1_000_000);
    }

    static Map<TopicPartition, Long> positions(Consumer<byte[], byte[]> client) {
        return partitions.stream().collect(Collectors.toMap(part -> part, client::position));
    }
}
