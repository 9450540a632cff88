package main

import (
	"fmt"
	"slices"
	"time"
)

// Event is a decoded record: the fields that the rules read.
type Event struct {
	EventID             string    `json:"event_id"`
	EventType           string    `json:"event_type"`
	EventAt             time.Time `json:"event_at"`
	StreamPartition     int       `json:"stream_partition"`
	Sequence            int64     `json:"sequence"`
	DeliveredBy         string    `json:"delivered_by"`
	TweetID             string    `json:"tweet_id"`
	UserID              string    `json:"user_id"`
	QuoteTweetID        *string   `json:"quote_tweet_id"`
	InitialTweetID      string    `json:"initial_tweet_id"`
	EditTweetIDs        []string  `json:"edit_tweet_ids"`
	WithheldInCountries []string  `json:"withheld_in_countries"`
	UpToTweetID         string    `json:"up_to_tweet_id"`
	ProfileField        string    `json:"profile_field"`
	NewValue            string    `json:"new_value"`
	Application         string    `json:"application"`
}

// Tweet is content that a store holds. Versions are the ids of all its versions, where they are known.
type Tweet struct {
	TweetID   string   `json:"tweet_id"`
	AuthorID  string   `json:"author_id"`
	Versions  []string `json:"versions"`
	Retweeted *Tweet   `json:"retweeted"`
	Quoted    *Tweet   `json:"quoted"`
}

// Like is a like that a store fetched from X at FetchedAt.
type Like struct {
	UserID    string    `json:"user_id"`
	TweetID   string    `json:"tweet_id"`
	FetchedAt time.Time `json:"fetched_at"`
}

// Action is what to do with content; the most restrictive is the greatest.
type Action int

// The actions, and for a location or a like Show is to keep it.
const (
	Show Action = iota
	Hide
	Delete
)

var actionNames = [...]string{"show", "hide", "delete"}

func (a Action) String() string { return actionNames[a] }

// UnmarshalText reads an action's name.
func (a *Action) UnmarshalText(text []byte) error {
	if string(text) == "keep" {
		*a = Show
		return nil
	}
	index := slices.Index(actionNames[:], string(text))
	if index < 0 {
		return fmt.Errorf("no action: %q", text)
	}
	*a = Action(index)
	return nil
}

// Judgement is what to do with content, and the countries in which it is not shown.
type Judgement struct {
	Action     Action   `json:"action"`
	WithheldIn []string `json:"withheld_in"`
}

// Verdict is what to do with a Tweet, with its location, and with the Tweet that it quotes.
type Verdict struct {
	Judgement
	Location Action     `json:"location"`
	Quoted   *Judgement `json:"quoted"`
}
