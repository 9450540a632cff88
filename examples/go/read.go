package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const reachWithin = 10 * time.Second

// config is what the environment says.
type config struct {
	brokers  []string
	registry string
	pattern  string
	group    string
	idleExit time.Duration // after how long without an event to stop; 0 is never
}

func configFromEnvironment() (config, error) {
	c := config{
		brokers:  strings.Split(os.Getenv("KAFKA"), ","),
		registry: os.Getenv("REGISTRY"),
		group:    cmp.Or(os.Getenv("GROUP"), "example-go"),
	}
	if os.Getenv("KAFKA") == "" || c.registry == "" {
		return c, errors.New("KAFKA (brokers) and REGISTRY (URL) must be set")
	}
	prefix := cmp.Or(os.Getenv("PREFIX"), "x.compliance")
	// Events of all streams, and not the results of batch runs, whose fields are others.
	c.pattern = `^` + regexp.QuoteMeta(prefix) + `\.(tweet|user|like|label)\.`
	seconds, err := strconv.ParseFloat(cmp.Or(os.Getenv("IDLE_EXIT_S"), "0"), 64)
	if err != nil {
		return c, fmt.Errorf("IDLE_EXIT_S: %w", err)
	}
	c.idleExit = time.Duration(seconds * float64(time.Second))
	return c, nil
}

// read prints events until none has come for IDLE_EXIT_S, or ctx is done.
func read(ctx context.Context) error {
	config, err := configFromEnvironment()
	if err != nil {
		return err
	}
	decoder, err := newDecoder(config.registry)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(config.brokers...),
		kgo.ConsumerGroup(config.group),
		kgo.ConsumeRegex(),
		kgo.ConsumeTopics(config.pattern),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // the default shows what was aborted
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // no other member takes a partition between the work and its commit
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
	)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer client.CloseAllowingRebalance()
	if err := ping(ctx, client); err != nil {
		return fmt.Errorf("no broker of %s answers: %w", config.brokers, err)
	}
	for {
		more, err := readBatch(ctx, client, decoder, config.idleExit)
		if err != nil || !more {
			return err
		}
	}
}

func ping(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	return client.Ping(ctx)
}

// readBatch processes the next events and commits them; it reports false when none came in time, or ctx is done.
func readBatch(ctx context.Context, client *kgo.Client, decoder *decoder, patience time.Duration) (bool, error) {
	waiting := ctx
	if patience > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	fetches := client.PollFetches(waiting)
	defer client.AllowRebalance()
	if waiting.Err() != nil && fetches.NumRecords() == 0 {
		return false, nil
	}
	if err := fetches.Err(); err != nil {
		return false, fmt.Errorf("fetch: %w", err)
	}
	out := bufio.NewWriter(os.Stdout)
	for record := range fetches.RecordsAll() {
		if err := process(ctx, out, record, decoder); err != nil {
			return false, fmt.Errorf("%s [%d] at offset %d: %w", record.Topic, record.Partition, record.Offset, err)
		}
	}
	if err := out.Flush(); err != nil {
		return false, fmt.Errorf("print: %w", err)
	}
	// After the work, even if ctx is done: a crash repeats events and loses none.
	if err := client.CommitUncommittedOffsets(context.WithoutCancel(ctx)); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	return true, nil
}

// process does what is to be done about an event; here, it prints it.
func process(ctx context.Context, out *bufio.Writer, record *kgo.Record, decoder *decoder) error {
	event, err := decoder.decode(ctx, record.Value)
	if err != nil {
		return err
	}
	event["topic"], event["key"] = record.Topic, string(record.Key)
	return json.NewEncoder(out).Encode(event)
}
