// The scenario matrix with franz-go, which has every codec built in and speaks the protocol of the newest Kafka.
//
//	franz_matrix [-only TEXT] BOOTSTRAP
//
// The checks run side by side, each prints one line ("ok" or "FAIL"), and the process ends with 1 if any failed.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// base is the time of the first record in milliseconds: young enough for any retention.
var base = time.Now().Add(-time.Hour).UnixMilli()

var codecs = []struct {
	name  string
	codec kgo.CompressionCodec
}{
	{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
	{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()},
}

var producers = []struct {
	name    string
	options []kgo.Opt
}{
	{"idempotent", nil},
	{"acks=all", []kgo.Opt{kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks())}},
	{"acks=1", []kgo.Opt{kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck())}},
	{"acks=0", []kgo.Opt{kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.NoAck())}},
}

// brief is the context of one call, which gives up after a time.
func brief() context.Context {
	limited, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	time.AfterFunc(60*time.Second, cancel)
	return limited
}

func client(s stage, options ...kgo.Opt) *kgo.Client {
	standard := []kgo.Opt{kgo.SeedBrokers(s.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.FetchMaxWait(100 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond)}
	made, err := kgo.NewClient(append(standard, options...)...)
	must(err, "a client")
	return made
}

func admin(s stage) *kadm.Client { return kadm.NewClient(client(s)) }

func create(s stage, topic string, partitions int32) string {
	asks := admin(s)
	defer asks.Close()
	answer, err := asks.CreateTopic(brief(), partitions, 1, nil, topic)
	must(err, "creating %s", topic)
	must(answer.Err, "creating %s", topic)
	untilKnown(asks, topic, int(partitions))
	return topic
}

// untilKnown waits until the metadata know a topic and its leaders, which may be later than the answer to its creation.
func untilKnown(asks *kadm.Client, topic string, partitions int) {
	until(40, says(topic+" has leaders"), func() bool {
		listed, err := asks.ListTopics(brief(), topic)
		must(err, "describing %s", topic)
		leaders := 0
		for _, partition := range listed[topic].Partitions {
			if partition.Err == nil && partition.Leader >= 0 {
				leaders++
			}
		}
		return leaders == partitions
	})
}

// write sends records with one producer and answers their offsets.
func write(s stage, topic string, batch []*kgo.Record, options ...kgo.Opt) []int64 {
	writer := client(s, options...)
	defer writer.Close()
	return send(writer, topic, batch)
}

func send(writer *kgo.Client, topic string, batch []*kgo.Record) []int64 {
	for _, record := range batch {
		record.Topic = topic
	}
	results := writer.ProduceSync(brief(), batch...)
	must(results.FirstErr(), "writing to %s", topic)
	var offsets []int64
	for _, record := range batch {
		offsets = append(offsets, record.Offset)
	}
	return offsets
}

func numbers(from, to int64) []*kgo.Record {
	var made []*kgo.Record
	for n := from; n < to; n++ {
		made = append(made, &kgo.Record{Value: fmt.Append(nil, n), Timestamp: time.UnixMilli(base + n*1000)})
	}
	return made
}

// take reads at least count records.
func take(reader *kgo.Client, count int) []*kgo.Record {
	var found []*kgo.Record
	limit := brief()
	for len(found) < count {
		fetches := reader.PollFetches(limit)
		for _, problem := range fetches.Errors() {
			fail("reading %s-%d after %d of %d records: %v", problem.Topic, problem.Partition, len(found), count, problem.Err)
		}
		found = append(found, fetches.Records()...)
	}
	return found
}

func at(topic string, offset kgo.Offset, partitions ...int32) kgo.Opt {
	offsets := map[int32]kgo.Offset{}
	for _, partition := range partitions {
		offsets[partition] = offset
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
}

func everyCodec(s stage) {
	topic := create(s, s.name("go-codecs"), int32(len(codecs)*len(producers)))
	var all []int32
	for c, codec := range codecs {
		for p, producer := range producers {
			partition := int32(c*len(producers) + p)
			all = append(all, partition)
			// One batch: it is compressed as a whole.
			options := append([]kgo.Opt{kgo.ProducerBatchCompression(codec.codec), kgo.ProducerLinger(20 * time.Millisecond)}, producer.options...)
			offsets := write(s, topic, records(int64(partition), partition), options...)
			if producer.name != "acks=0" {
				same([]int64{offsets[0], offsets[39]}, []int64{0, 39}, "first and last offset of %s, %s", codec.name, producer.name)
			}
		}
	}
	reader := client(s, at(topic, kgo.NewOffset().AtStart(), all...))
	defer reader.Close()
	found := map[int32][]*kgo.Record{}
	for _, record := range take(reader, 40*len(all)) {
		found[record.Partition] = append(found[record.Partition], record)
	}
	for _, partition := range all {
		what := codecs[int(partition)/len(producers)].name + ", " + producers[int(partition)%len(producers)].name
		same(plains(found[partition]), plains(records(int64(partition), partition)), "records of %s", what)
	}
}

func severalTopics(s stage) {
	var topics []string
	for i := range 3 {
		topics = append(topics, create(s, s.name(fmt.Sprintf("go-several-%d", i)), 3))
	}
	writer := client(s)
	defer writer.Close()
	var batch []*kgo.Record
	for n := range 900 {
		batch = append(batch, &kgo.Record{Topic: topics[n%3], Partition: int32(n / 3 % 3), Value: fmt.Append(nil, n)})
	}
	must(writer.ProduceSync(brief(), batch...).FirstErr(), "writing to three topics")
	reader := client(s, kgo.ConsumeTopics(topics...))
	defer reader.Close()
	found, wanted := map[string][]string{}, map[string][]string{}
	note := func(where map[string][]string, record *kgo.Record) {
		key := fmt.Sprintf("%s-%d", record.Topic, record.Partition)
		where[key] = append(where[key], string(record.Value))
	}
	for _, record := range batch {
		note(wanted, record)
	}
	for _, record := range take(reader, 900) {
		note(found, record)
	}
	same(found, wanted, "numbers per partition, in order")
}

// killOne kills one of two members while records come. The other must take over its partitions and go on from what was
// committed: every acknowledged record is taken by somebody.
func killOne(s stage) {
	topic, group := create(s, s.name("go-kill"), 4), s.name("go-kill-group")
	stays, dies := start(s, group, topic), start(s, group, topic)
	defer stays.kill()
	defer dies.kill()
	state := func() string { return fmt.Sprintf("one member %s; the other %s", stays.state(), dies.state()) }
	until(30, state, func() bool { return len(stays.owns()) == 2 && len(dies.owns()) == 2 })
	same(sorted(append(stays.owns(), dies.owns()...)...), []int32{0, 1, 2, 3}, "partitions of both members")
	wanted := spread(s, topic, 0, 200)
	until(40, state, func() bool { return stays.count() > 0 && dies.count() > 0 })
	dies.kill()
	wanted = append(wanted, spread(s, topic, 200, 400)...)
	until(40, state, func() bool { return len(stays.owns()) == 4 })
	missing := func() (lost []string) {
		for _, record := range wanted {
			if !stays.has(record) && !dies.has(record) {
				lost = append(lost, record)
			}
		}
		return lost
	}
	until(40, func() string { return fmt.Sprintf("missing %s; %s", shorten(missing()), state()) }, func() bool { return missing() == nil })
	same(stays.errors, []string(nil), "errors of the member that stays")
}

// spread writes numbers to four partitions and answers how members tell them.
func spread(s stage, topic string, from, to int64) (wanted []string) {
	batch := numbers(from, to)
	for i, record := range batch {
		record.Partition = int32(i % 4)
		wanted = append(wanted, numbered(record))
	}
	write(s, topic, batch)
	return wanted
}

// withMetadata makes a commit carry a text per partition; by itself the client sends its member id.
func withMetadata(ctx context.Context, texts ...string) context.Context {
	return kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error {
		for t := range request.Topics {
			for p := range request.Topics[t].Partitions {
				part := &request.Topics[t].Partitions[p]
				part.Metadata = &texts[part.Partition]
			}
		}
		return nil
	})
}

// commit returns a check of commits in groups of a kind, "classic" or "consumer".
func commit(kind string, with ...kgo.Opt) func(stage) {
	return func(s stage) {
		name := "go-commit-" + kind
		topic, group := create(s, s.name(name), 2), s.name(name+"-group")
		write(s, topic, records(1, 1))
		options := append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(300 * time.Millisecond)}, with...)
		first := client(s, options...)
		take(first, 40)
		offsets := map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: 0}, 1: {Epoch: -1, Offset: 7}}}
		var problem error
		first.CommitOffsetsSync(withMetadata(brief(), "", "seven \u20ac"), offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			problem = err
		})
		must(problem, "committing")
		asks := admin(s)
		defer asks.Close()
		listed, err := asks.ListGroupsByType(brief(), []string{kind})
		must(err, "listing groups")
		same(listed[group].Group, group, "the group among those of its kind")
		first.Close()
		found, err := asks.FetchOffsets(brief(), group)
		must(err, "reading the commits")
		full, _ := found.Lookup(topic, 1)
		empty, _ := found.Lookup(topic, 0)
		same([]any{full.At, full.Metadata, empty.At, empty.Metadata}, []any{int64(7), "seven \u20ac", int64(0), ""}, "what was committed")
		second := client(s, options...)
		defer second.Close()
		same(take(second, 1)[0].Offset, int64(7), "first offset of the next member")
	}
}

func seek(s stage) {
	topic := create(s, s.name("go-times"), 1)
	for from := int64(0); from < 100; from += 10 {
		write(s, topic, numbers(from, from+10))
	}
	asks := admin(s)
	defer asks.Close()
	for _, pair := range [][2]int64{{0, -5}, {42, 42_000}, {43, 42_001}, {99, 99_000}} {
		wanted, asked := pair[0], base+pair[1]
		listed, err := asks.ListOffsetsAfterMilli(brief(), asked, topic)
		must(err, "listing offsets")
		found, _ := listed.Lookup(topic, 0)
		same([]int64{found.Offset, found.Timestamp}, []int64{wanted, base + wanted*1000}, "offset and time at %d ms", pair[1])
		reader := client(s, at(topic, kgo.NewOffset().AfterMilli(asked), 0))
		same(string(take(reader, 1)[0].Value), fmt.Sprint(wanted), "first record at %d ms", pair[1])
		reader.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: 61}}})
		same(string(take(reader, 1)[0].Value), "61", "first record at offset 61")
		reader.Close()
	}
	for what, list := range map[string]func(context.Context, ...string) (kadm.ListedOffsets, error){
		"earliest": asks.ListStartOffsets, "latest": asks.ListEndOffsets, "greatest time": asks.ListMaxTimestampOffsets,
	} {
		listed, err := list(brief(), topic)
		must(err, "listing %s", what)
		found, _ := listed.Lookup(topic, 0)
		same(found.Offset, map[string]int64{"earliest": 0, "latest": 100, "greatest time": 99}[what], "%s", what)
	}
}

func topics(s stage) {
	asks, topic := admin(s), s.name("go-admin")
	defer asks.Close()
	made := func(replicas int16, name string) error {
		answer, err := asks.CreateTopic(brief(), 3, replicas, map[string]*string{"retention.ms": kadm.StringPtr("123456")}, name)
		if err == nil {
			err = answer.Err
		}
		return err
	}
	must(made(1, topic), "creating %s", topic)
	untilKnown(asks, topic, 3)
	refused(made(1, topic), "TOPIC_ALREADY_EXISTS", "creating it again")
	refused(made(1, "a/b"), "INVALID_TOPIC_EXCEPTION", "a name with a slash")
	refused(made(3, s.name("go-rf")), "INVALID_REPLICATION_FACTOR", "three replicas on one broker")
	describe := func() kadm.TopicDetail {
		listed, err := asks.ListTopics(brief(), topic)
		must(err, "describing %s", topic)
		return listed[topic]
	}
	old := describe()
	configured := func() string {
		found, err := asks.DescribeTopicConfigs(brief(), topic)
		must(err, "describing configurations")
		for _, config := range found[0].Configs {
			if config.Key == "retention.ms" {
				return config.MaybeValue()
			}
		}
		return "absent"
	}
	// Through the gateway any region may answer; one that is no owner hears of a topic a moment later.
	until(40, says("retention.ms is known"), func() bool { return configured() == "123456" })
	changed, err := asks.AlterTopicConfigs(brief(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("234567")}}, topic)
	must(err, "configuring")
	must(changed[0].Err, "configuring")
	until(40, says("retention.ms is changed"), func() bool { return configured() == "234567" })
	grown, err := asks.UpdatePartitions(brief(), 4, topic)
	must(err, "adding a partition")
	must(grown.Error(), "adding a partition")
	until(40, says("it has four partitions"), func() bool { return len(describe().Partitions) == 4 })
	write(s, topic, numbers(0, 10))
	gone, err := asks.DeleteTopic(brief(), topic)
	must(err, "deleting %s", topic)
	must(gone.Err, "deleting %s", topic)
	until(40, says("the topic is gone"), func() bool { return describe().Err != nil })
	create(s, topic, 1)
	same(describe().ID == old.ID, false, "whether the topic made again has the old id")
	same(write(s, topic, numbers(0, 1)), []int64{0}, "first offset of a topic made again")
}

func groups(s stage) {
	topic, group := create(s, s.name("go-groups"), 1), s.name("go-admin-group")
	write(s, topic, numbers(0, 10))
	asks := admin(s)
	defer asks.Close()
	listed := func() bool {
		found, err := asks.ListGroups(brief())
		must(err, "listing groups")
		_, has := found[group]
		return has
	}
	state := func() string {
		found, err := asks.DescribeGroups(brief(), group)
		must(err, "describing %s", group)
		return fmt.Sprintf("%s %d", found[group].State, len(found[group].Members))
	}
	reader := client(s, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	take(reader, 10)
	must(reader.CommitUncommittedOffsets(brief()), "committing")
	same(listed(), true, "whether the group is listed")
	same(state(), "Stable 1", "state and members")
	reader.Close()
	until(40, says("the group is empty"), func() bool { return state() == "Empty 0" })
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 3, LeaderEpoch: -1, Metadata: "by hand"})
	must(asks.CommitAllOffsets(brief(), group, offsets), "setting an offset")
	lag, err := asks.Lag(brief(), group)
	must(err, "lag")
	same(lag[group].Lag.Total(), int64(7), "lag after setting offset 3")
	deleted, err := asks.DeleteGroup(brief(), group)
	must(err, "deleting %s", group)
	must(deleted.Err, "deleting %s", group)
	same(listed(), false, "whether the deleted group is listed")
}

func main() {
	run("franz-go", []check{
		{"two members of a group share four partitions, one is killed", killOne},
		{"every codec with every acknowledgement, all partitions read back in one request", everyCodec},
		{"an idempotent producer sends to several partitions of several topics at once", severalTopics},
		{"a commit with metadata is read back, and the next member goes on from it", commit("classic")},
		{"the same in the consumer protocol (KIP-848)", commit("consumer", kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))},
		{"seeking by offset and by timestamp finds the record", seek},
		{"topics are created, refused, described, configured and deleted", topics},
		{"groups are listed, described and deleted", groups},
	}, member)
}
