import java.io.*;
import java.lang.reflect.InvocationTargetException;
import java.util.*;
import java.util.function.Predicate;
import java.util.stream.*;
import org.apache.kafka.common.utils.Exit;

/**
 * Apache Kafka's own command line tools, one after the other in one JVM: java -cp 'jars/*' Tools.java BOOTSTRAP.
 *
 * A tool's main() runs as it is; only its standard streams are redirected, its exit is caught, and what it wants done
 * at the end of the JVM is done at its own end.
 */
public class Tools {
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    static final String run = UUID.randomUUID().toString().substring(0, 8);
    static final PrintStream console = System.out;
    static final List<Runnable> hooks = new ArrayList<>();
    static String bootstrap;
    static int passed, failed;

    interface Check { void run() throws Exception; }

    /** Thrown in the place of an exit. Some tools catch it and exit once more: what counts is their first word. */
    static class Ended extends RuntimeException {
        static Integer first;
        Ended(int code) {
            super("exit " + code, null, false, false);
            if (first == null) first = code;
        }
    }

    public static void main(String[] arguments) {
        bootstrap = arguments[0];
        Exit.setExitProcedure((code, message) -> { throw new Ended(code); });
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        Exit.setHaltProcedure((code, message) -> { throw new Ended(code); });
        check("TopicCommand creates, lists, describes, alters and deletes", Tools::topics);
        for (String codec : CODECS) check("ConsoleProducer and ConsoleConsumer (" + codec + ")", () -> consoles(codec));
        check("ConsoleProducer without idempotence, with acks=1 and acks=0", Tools::weakConsoles);
        check("VerifiableProducer and VerifiableConsumer in a group", Tools::verifiable);
        check("ProducerPerformance and ConsumerPerformance", Tools::performance);
        check("GetOffsetShell answers earliest, latest and by time", Tools::offsets);
        check("ConsumerGroupCommand lists, describes, resets and deletes", Tools::groups);
        check("BrokerApiVersionsCommand reads what the broker advertises", Tools::versions);
        console.printf("java tools: %d of %d checks passed%n", passed, passed + failed);
        console.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    static void check(String sentence, Check check) {
        long began = System.nanoTime();
        String reason = "";
        try {
            check.run();
        } catch (Throwable error) {
            reason = ": " + error;
        }
        if (reason.isEmpty()) passed++; else failed++;
        console.printf("%s java tools: %s (%.1f s)%s%n", reason.isEmpty() ? "ok  " : "FAIL", sentence, (System.nanoTime() - began) / 1e9, reason);
    }

    /** Runs the tool and answers what it printed until `complete`; fails when it ends with anything but 0. */
    static String tool(String input, Predicate<String> complete, String name, String... arguments) throws Exception {
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream stream = new PrintStream(printed, true);
        InputStream keyboard = System.in;
        PrintStream errors = System.err;
        System.setOut(stream);
        System.setErr(stream);
        System.setIn(new ByteArrayInputStream(input.getBytes()));
        Ended.first = null;
        try {
            Class.forName("org.apache.kafka.tools." + name).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Ended)) throw new AssertionError(name + ": " + thrown.getCause() + "\n" + printed);
        } finally {
            hooks.forEach(Runnable::run);
            hooks.clear();
            long deadline = System.nanoTime() + 20_000_000_000L;
            while (!complete.test(printed.toString()) && System.nanoTime() < deadline) Thread.sleep(10);
            System.setOut(console);
            System.setErr(errors);
            System.setIn(keyboard);
        }
        int code = Ended.first == null ? 0 : Ended.first;
        if (code != 0) throw new AssertionError(name + " ended with " + code + ": " + tail(printed.toString()));
        return printed.toString();
    }

    static String tool(String name, String... arguments) throws Exception { return tool("", printed -> true, name, arguments); }

    static String tail(String text) { return text.length() <= 600 ? text : "..." + text.substring(text.length() - 600); }

    static String[] with(String... arguments) {
        return Stream.concat(Stream.of("--bootstrap-server", bootstrap), Stream.of(arguments)).toArray(String[]::new);
    }

    static void holds(boolean fact, String what, String printed) {
        if (!fact) throw new AssertionError(what + ": " + tail(printed));
    }

    static void prints(String printed, String... parts) {
        for (String part : parts) holds(printed.contains(part), "does not print \"" + part + "\"", printed);
    }

    static String topic(String what, int partitions) throws Exception {
        String topic = "tools-" + what + "-" + run;
        tool("TopicCommand", with("--create", "--topic", topic, "--partitions", "" + partitions, "--replication-factor", "1"));
        return topic;
    }

    static String lines(int count) {
        return IntStream.range(0, count).mapToObj(n -> "key" + n + "\tvalue " + n + "\n").collect(Collectors.joining());
    }

    static void topics() throws Exception {
        String topic = topic("topics", 2);
        prints(tool("TopicCommand", with("--list")), topic);
        prints(tool("TopicCommand", with("--describe", "--topic", topic)), "PartitionCount: 2", "ReplicationFactor: 1", "Partition: 1\tLeader: ");
        tool("TopicCommand", with("--alter", "--topic", topic, "--partitions", "4"));
        prints(tool("TopicCommand", with("--describe", "--topic", topic)), "PartitionCount: 4");
        tool("TopicCommand", with("--delete", "--topic", topic));
        for (int tries = 0; tool("TopicCommand", with("--list")).contains(topic); tries++) holds(tries < 100, "the topic is still listed", topic);
    }

    static void console(String topic, int count, String... settings) throws Exception {
        String[] producer = with(Stream.concat(Stream.of("--topic", topic, "--reader-property", "parse.key=true"), Stream.of(settings)).toArray(String[]::new));
        tool(lines(count), printed -> true, "ConsoleProducer", producer);
        String read = tool("consumer.ConsoleConsumer", with("--topic", topic, "--from-beginning", "--max-messages", "" + count,
            "--timeout-ms", "20000", "--formatter-property", "print.key=true", "--command-property", "fetch.max.wait.ms=100"));
        holds(read.contains(lines(count)), "ConsoleConsumer reads something else", read);
    }

    static void consoles(String codec) throws Exception { console(topic("console-" + codec, 1), 50, "--compression-codec", codec); }

    static void weakConsoles() throws Exception {
        for (String acks : List.of("0", "1")) {
            console(topic("acks-" + acks, 1), 20, "--command-property", "enable.idempotence=false", "--command-property", "acks=" + acks);
        }
    }

    static int sum(String printed, String event, String field) {
        return printed.lines().filter(line -> line.contains("\"" + event + "\""))
            .mapToInt(line -> Integer.parseInt(line.replaceAll(".*\"" + field + "\":(\\d+).*", "$1"))).sum();
    }

    static void verifiable() throws Exception {
        String topic = topic("verifiable", 3);
        Predicate<String> acknowledged = printed -> printed.lines().filter(line -> line.contains("producer_send_success")).count() == 500;
        String sent = tool("", acknowledged, "VerifiableProducer", with("--topic", topic, "--max-messages", "500", "--acks", "-1"));
        holds(acknowledged.test(sent), "500 sends are acknowledged", sent);
        String read = tool("VerifiableConsumer", with("--topic", topic, "--group-id", "tools-verifiable-" + run, "--max-messages", "500"));
        holds(sum(read, "records_consumed", "count") == 500, "500 records are consumed", read);
        prints(read, "\"offsets_committed\"", "\"partitions_assigned\"");
    }

    static void performance() throws Exception {
        String topic = topic("performance", 2);
        String sent = tool("ProducerPerformance", with("--topic", topic, "--num-records", "5000", "--record-size", "200", "--throughput", "-1",
            "--command-property", "compression.type=lz4"));
        prints(sent, "5000 records sent");
        String read = tool("ConsumerPerformance", with("--topic", topic, "--num-records", "5000", "--timeout", "20000", "--group", "tools-performance-" + run));
        holds(read.lines().anyMatch(line -> line.contains(", 5000, ")), "5000 records are read", read);
    }

    static void offsets() throws Exception {
        String topic = topic("offsets", 1);
        tool(lines(10), printed -> true, "ConsoleProducer", with("--topic", topic));
        for (String[] pair : new String[][] {{"-2", "0"}, {"-1", "10"}, {"latest", "10"}, {"0", "0"}}) {
            prints(tool("GetOffsetShell", with("--topic", topic, "--time", pair[0])), topic + ":0:" + pair[1]);
        }
    }

    static void groups() throws Exception {
        String topic = topic("groups", 1), group = "tools-group-" + run;
        tool(lines(10), printed -> true, "ConsoleProducer", with("--topic", topic));
        tool("consumer.ConsoleConsumer", with("--topic", topic, "--group", group, "--from-beginning", "--max-messages", "10", "--timeout-ms", "20000"));
        String command = "consumer.group.ConsumerGroupCommand";
        prints(tool(command, with("--list")), group);
        String described = tool(command, with("--describe", "--group", group));
        holds(described.replaceAll(" +", " ").contains(group + " " + topic + " 0 10 10 0 "), "the group stands at 10 with lag 0", described);
        tool(command, with("--reset-offsets", "--group", group, "--topic", topic, "--to-offset", "4", "--execute"));
        described = tool(command, with("--describe", "--group", group)).replaceAll(" +", " ");
        holds(described.contains(group + " " + topic + " 0 4 10 6 "), "the group stands at 4 with lag 6", described);
        tool(command, with("--delete", "--group", group));
        holds(!tool(command, with("--list")).contains(group), "the deleted group is listed", group);
    }

    static void versions() throws Exception {
        prints(tool("BrokerApiVersionsCommand", with()), "Produce(0): ", "Fetch(1): ", "ApiVersions(18): ");
    }
}
