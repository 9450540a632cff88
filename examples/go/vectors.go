package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// vector is a case of docs/vectors.
type vector struct {
	Name     string
	Events   []Event
	Orders   json.RawMessage
	Tweets   []expectedTweet
	Profiles []expectedProfile
	Likes    []expectedLike
}

type expectedTweet struct {
	Tweet
	Expect json.RawMessage
}

type expectedProfile struct {
	UserID string `json:"user_id"`
	Expect map[string]string
}

type expectedLike struct {
	Like
	Expect Action
}

// tally counts what was played.
type tally struct{ cases, plays, failures int }

// playVectors plays the cases of a folder in all their orders; it prints what fails, and how much there was.
func playVectors(folder string) error {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	var count tally
	for _, path := range paths {
		if err := count.playFile(path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	fmt.Printf("%d cases, %d orders, %d failures\n", count.cases, count.plays, count.failures)
	if count.plays == 0 || count.failures > 0 {
		return fmt.Errorf("the vectors in %s did not pass", folder)
	}
	return nil
}

func (t *tally) playFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		return err
	}
	stem := strings.TrimSuffix(filepath.Base(path), ".json")
	for _, vector := range vectors {
		if err := t.playVector(stem+"/"+vector.Name, vector); err != nil {
			return fmt.Errorf("%s: %w", vector.Name, err)
		}
	}
	return nil
}

func (t *tally) playVector(name string, vector vector) error {
	orders, err := vector.orders()
	if err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	for _, order := range orders {
		failed, err := vector.play(order)
		if err != nil {
			return fmt.Errorf("order %v: %w", order, err)
		}
		for _, text := range failed {
			fmt.Printf("%s %v: %s\n", name, order, text)
		}
		t.failures += len(failed)
	}
	t.cases, t.plays = t.cases+1, t.plays+len(orders)
	return nil
}

// orders returns the orders of its events in which the case is to be played.
func (v vector) orders() ([][]int, error) {
	var word string
	if json.Unmarshal(v.Orders, &word) == nil && word == "any" {
		return permutations(len(v.Events)), nil
	}
	var orders [][]int
	err := json.Unmarshal(v.Orders, &orders)
	return orders, err
}

// permutations returns all orders of the numbers below n.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for place := range n {
			all = append(all, slices.Insert(slices.Clone(shorter), place, n-1))
		}
	}
	return all
}

// play returns what comes out other than the case expects, with its events in that order.
func (v vector) play(order []int) ([]string, error) {
	state := NewState()
	for _, position := range order {
		if err := state.Apply(v.Events[position]); err != nil {
			return nil, err
		}
	}
	var failed []string
	for _, tweet := range v.Tweets {
		text, err := tweet.compare(state)
		if err != nil {
			return nil, err
		}
		failed = append(failed, text...)
	}
	for _, user := range v.Profiles {
		if profile := state.Profile(user.UserID); !maps.Equal(profile, user.Expect) {
			failed = append(failed, fmt.Sprintf("user %s: %q, not %q", user.UserID, profile, user.Expect))
		}
	}
	for _, like := range v.Likes {
		if action := state.Like(like.Like); action != like.Expect {
			failed = append(failed, fmt.Sprintf("like of %s by %s: %s", like.TweetID, like.UserID, action))
		}
	}
	return failed, nil
}

func (t expectedTweet) compare(state *State) ([]string, error) {
	got, err := state.Tweet(t.Tweet)
	if err != nil {
		return nil, err
	}
	expected, err := t.verdict()
	if err != nil {
		return nil, err
	}
	bothDelete := got.Action == Delete && expected.Action == Delete
	if bothDelete || reflect.DeepEqual(got, expected) {
		return nil, nil
	}
	return []string{fmt.Sprintf("Tweet %s: %s, not %s", t.TweetID, got, expected)}, nil
}

// verdict returns what is expected of a Tweet, with the defaults of what its vector leaves out.
func (t expectedTweet) verdict() (Verdict, error) {
	expected := Verdict{Judgement: Judgement{WithheldIn: []string{}}}
	if t.Quoted != nil {
		expected.Quoted = &Judgement{WithheldIn: []string{}}
	}
	err := json.Unmarshal(t.Expect, &expected)
	return expected, err
}

func (v Verdict) String() string {
	text := fmt.Sprintf("%s, withheld in %q, location %s", v.Action, v.WithheldIn, v.Location)
	if v.Quoted != nil {
		text += fmt.Sprintf(", quoted %s, withheld in %q", v.Quoted.Action, v.Quoted.WithheldIn)
	}
	return text
}
