// Command compliance-reader reads the topics of the connector, and applies their rules to an in-memory state.
//
//	go run . read           print every compliance event as a line of JSON
//	go run . vectors [DIR]  run the vectors of docs/vectors on State
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

var errUsage = errors.New("usage: compliance-reader read | vectors [DIR]")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "read":
		return read(ctx)
	case len(args) == 1 && args[0] == "vectors":
		return playVectors("../../docs/vectors")
	case len(args) == 2 && args[0] == "vectors":
		return playVectors(args[1])
	}
	return errUsage
}
