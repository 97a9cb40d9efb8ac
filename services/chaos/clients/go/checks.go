package main

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	checkTime  = 150 * time.Second
	sideBySide = 6
)

type check struct {
	sentence string
	play     func(stage)
}

// stage is where the checks play: the cluster's address, and names nobody else uses.
type stage struct {
	bootstrap string
	run       string
}

func (s stage) name(what string) string { return what + "-" + s.run }

// failure is what a check panics with; anything else is a panic of ours or of the client.
type failure string

func fail(format string, arguments ...any) { panic(failure(fmt.Sprintf(format, arguments...))) }

// must fails with what was tried when there is an error.
func must(err error, what string, arguments ...any) {
	if err != nil {
		fail("%s: %v", fmt.Sprintf(what, arguments...), err)
	}
}

// same fails with both values when they differ.
func same(found, wanted any, what string, arguments ...any) {
	if !reflect.DeepEqual(found, wanted) {
		fail("%s: found %s, wanted %s", fmt.Sprintf(what, arguments...), shorten(found), shorten(wanted))
	}
}

func shorten(value any) string {
	text := fmt.Sprintf("%v", value)
	if len(text) <= 300 {
		return text
	}
	return fmt.Sprintf("%s... (%d characters)", text[:300], len(text))
}

// until calls condition until it is true, and fails with what() after a time.
func until(seconds int, what func() string, condition func() bool) {
	deadline := time.Now().Add(time.Duration(seconds) * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			fail("not within %d s: %s", seconds, what())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func says(text string) func() string { return func() string { return text } }

// refused fails unless err's text holds name.
func refused(err error, name, what string) {
	if err == nil {
		fail("%s: was accepted, wanted %s", what, name)
	}
	if !strings.Contains(err.Error(), name) {
		fail("%s: refused with %v, wanted %s", what, err, name)
	}
}

// records are hard to keep byte-equal: null and empty keys and values, binary, repeated and null headers.
func records(seed int64, partition int32) []*kgo.Record {
	header := func(name string, value []byte) kgo.RecordHeader { return kgo.RecordHeader{Key: name, Value: value} }
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	made := []*kgo.Record{
		{},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("key"), Headers: []kgo.RecordHeader{header("h", []byte{})}},
		{Value: []byte("value"), Headers: []kgo.RecordHeader{header("h", nil), header("h", []byte("second")), header("", []byte("empty name"))}},
		{Key: all, Value: all[128:], Headers: []kgo.RecordHeader{header("\u00fcnicode", []byte("\u20ac"))}},
		{Key: []byte("large"), Value: []byte(strings.Repeat("farshore", 4096))},
	}
	chance := rand.New(rand.NewSource(seed))
	for i := len(made); i < 40; i++ {
		value := make([]byte, chance.Intn(200))
		chance.Read(value)
		made = append(made, &kgo.Record{Key: fmt.Appendf(nil, "k%d", i), Value: value, Headers: []kgo.RecordHeader{header("n", fmt.Append(nil, i))}})
	}
	for _, record := range made {
		record.Partition = partition
	}
	return made
}

// plain is a record as text that can be compared.
func plain(record *kgo.Record) string {
	text := func(bytes []byte) string {
		if bytes == nil {
			return "null"
		}
		return hex.EncodeToString(bytes)
	}
	parts := []string{text(record.Key), text(record.Value)}
	for _, header := range record.Headers {
		parts = append(parts, header.Key+"="+text(header.Value))
	}
	return strings.Join(parts, " ")
}

func plains(records []*kgo.Record) []string {
	var texts []string
	for _, record := range records {
		texts = append(texts, plain(record))
	}
	return texts
}

func sorted(numbers ...int32) []int32 {
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	return numbers
}

// play answers why the check failed, if it did.
func play(s stage, one check) (why string) {
	ended := make(chan string, 1)
	go func() {
		defer func() {
			switch reason := recover().(type) {
			case nil:
				ended <- ""
			default:
				ended <- fmt.Sprintf(": %v", reason)
			}
		}()
		one.play(s)
	}()
	select {
	case why = <-ended:
	case <-time.After(checkTime):
		why = fmt.Sprintf(": not finished after %v", checkTime)
	}
	return why
}

func playAll(client string, s stage, chosen []check) (passed int) {
	var lock sync.Mutex
	var all sync.WaitGroup
	places := make(chan struct{}, sideBySide)
	for _, one := range chosen {
		all.Add(1)
		places <- struct{}{}
		go func() {
			defer all.Done()
			began := time.Now()
			why := play(s, one)
			<-places
			verdict := "ok  "
			lock.Lock()
			defer lock.Unlock()
			if why == "" {
				passed++
			} else {
				verdict = "FAIL"
			}
			fmt.Printf("%s %s: %s (%.1f s)%s\n", verdict, client, one.sentence, time.Since(began).Seconds(), why)
		}()
	}
	all.Wait()
	return passed
}

// run plays the checks, or those whose sentence holds -only, and ends the process; or it is a member.
func run(client string, checks []check, member func(bootstrap, group, topic string)) {
	only := flag.String("only", "", "plays only the checks whose sentence holds this text")
	group := flag.String("member", "", "is a member of this group, for the topic named after the bootstrap address")
	flag.Parse()
	if *group != "" {
		member(flag.Arg(0), *group, flag.Arg(1))
		return
	}
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: franz_matrix [-only TEXT] BOOTSTRAP")
		os.Exit(2)
	}
	var chosen []check
	for _, one := range checks {
		if strings.Contains(one.sentence, *only) {
			chosen = append(chosen, one)
		}
	}
	passed := playAll(client, stage{flag.Arg(0), fmt.Sprintf("%08x", rand.Uint32())}, chosen)
	fmt.Printf("%s: %d of %d checks passed\n", client, passed, len(chosen))
	if passed == 0 || passed < len(chosen) {
		os.Exit(1)
	}
}
