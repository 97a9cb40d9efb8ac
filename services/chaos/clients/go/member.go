package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// told is one line that a member's process says to the check.
type told struct {
	Owned []int32
	Took  []string
	Error string
}

func tell(what told) {
	line, err := json.Marshal(what)
	must(err, "encoding %v", what)
	fmt.Println(string(line))
}

// member reads a topic in a group and tells what it owns and takes; a record is told before it is committed.
func member(bootstrap, group, topic string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the check's process is gone
	}()
	owned := map[int32]bool{}
	change := func(now bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			for _, partition := range partitions[topic] {
				owned[partition] = now
			}
			list := []int32{}
			for partition, mine := range owned {
				if mine {
					list = append(list, partition)
				}
			}
			tell(told{Owned: sorted(list...)})
		}
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(6*time.Second), kgo.RebalanceTimeout(10*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)),
	)
	if err != nil {
		tell(told{Error: err.Error()})
		return
	}
	for {
		fetches := client.PollFetches(context.Background())
		for _, problem := range fetches.Errors() {
			tell(told{Error: problem.Err.Error()})
		}
		var took []string
		fetches.EachRecord(func(record *kgo.Record) { took = append(took, numbered(record)) })
		if len(took) > 0 {
			tell(told{Took: took})
		}
		// Refused while the group changes; the records are then taken again.
		_ = client.CommitUncommittedOffsets(context.Background())
		client.AllowRebalance()
	}
}

func numbered(record *kgo.Record) string { return fmt.Sprintf("%d:%s", record.Partition, record.Value) }

// process is a member of a group in a process of its own, which can be killed.
type process struct {
	command *exec.Cmd
	lock    sync.Mutex
	owned   []int32
	took    map[string]bool
	errors  []string
}

func start(s stage, group, topic string) *process {
	own, err := os.Executable()
	must(err, "finding this program")
	made := &process{command: exec.Command(own, "-member", group, s.bootstrap, topic), took: map[string]bool{}}
	made.command.Stderr = os.Stderr
	output, err := made.command.StdoutPipe()
	must(err, "a pipe from the member")
	_, err = made.command.StdinPipe()
	must(err, "a pipe to the member")
	must(made.command.Start(), "starting a member")
	go func() {
		for lines := bufio.NewScanner(output); lines.Scan(); {
			made.hear(lines.Bytes())
		}
	}()
	return made
}

func (p *process) hear(line []byte) {
	var said told
	p.lock.Lock()
	defer p.lock.Unlock()
	if err := json.Unmarshal(line, &said); err != nil {
		p.errors = append(p.errors, string(line))
	}
	if said.Owned != nil {
		p.owned = said.Owned
	}
	for _, record := range said.Took {
		p.took[record] = true
	}
	if said.Error != "" {
		p.errors = append(p.errors, said.Error)
	}
}

func (p *process) owns() []int32 {
	p.lock.Lock()
	defer p.lock.Unlock()
	return append([]int32{}, p.owned...)
}

func (p *process) has(record string) bool {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.took[record]
}

func (p *process) count() int {
	p.lock.Lock()
	defer p.lock.Unlock()
	return len(p.took)
}

func (p *process) state() string {
	p.lock.Lock()
	defer p.lock.Unlock()
	return fmt.Sprintf("owns %v, took %d, errors %v", p.owned, len(p.took), p.errors)
}

// kill ends the process as a crash does: its connections die, and it says goodbye to nobody.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}
