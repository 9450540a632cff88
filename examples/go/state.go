package main

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

type entity struct{ kind, id string }

type switchKey struct {
	kind   string
	entity entity
}

type profileKey struct{ userID, field string }

type likeKey struct{ userID, tweetID string }

// stamped is a value with the place of its event in time.
type stamped[T any] struct {
	at       time.Time
	sequence int64
	value    T
}

type toggle struct {
	kind string
	on   bool
}

// toggles are the pairs of events that undo each other: which switch an event sets, and whether it hides.
var toggles = map[string]toggle{
	"tweet.drop":     {"drop", true},
	"tweet.undrop":   {"drop", false},
	"user.delete":    {"delete", true},
	"user.undelete":  {"delete", false},
	"user.protect":   {"protect", true},
	"user.unprotect": {"protect", false},
	"user.suspend":   {"suspend", true},
	"user.unsuspend": {"suspend", false},
}

type set[T comparable] map[T]struct{}

// State is all that was said of Tweets, users and likes so far: the same, whatever the order in which it is applied.
type State struct {
	seen     set[string]
	switches map[switchKey]map[int]stamped[bool] // the newest event of each scope
	deleted  set[entity]
	withheld map[entity]set[string]
	versions map[string][]string // all versions of a Tweet, by the id of each
	scrubbed map[string]*big.Int
	profile  map[profileKey]stamped[string]
	unliked  map[likeKey]time.Time
}

// NewState returns a state of which nothing was said.
func NewState() *State {
	return &State{
		seen:     set[string]{},
		switches: map[switchKey]map[int]stamped[bool]{},
		deleted:  set[entity]{},
		withheld: map[entity]set[string]{},
		versions: map[string][]string{},
		scrubbed: map[string]*big.Int{},
		profile:  map[profileKey]stamped[string]{},
		unliked:  map[likeKey]time.Time{},
	}
}

// Apply takes in one event; one that was there before changes nothing.
func (s *State) Apply(event Event) error {
	if _, ok := s.seen[event.EventID]; ok {
		return nil
	}
	switch event.EventType {
	case "tweet.delete":
		s.deleted[event.entity()] = struct{}{}
	case "tweet.withheld", "user.withheld":
		s.withhold(event.entity(), event.WithheldInCountries)
	case "tweet.edit":
		s.joinVersions(append([]string{event.InitialTweetID, event.TweetID}, event.EditTweetIDs...))
	case "user.scrub-geo":
		if err := s.scrub(event.UserID, event.UpToTweetID); err != nil {
			return fmt.Errorf("event %s: %w", event.EventID, err)
		}
	case "user.profile-modification":
		key := profileKey{event.UserID, event.ProfileField}
		s.profile[key] = latest(s.profile[key], stamp(event, event.NewValue), strings.Compare)
	case "like.delete":
		key := likeKey{event.UserID, event.TweetID}
		if event.EventAt.After(s.unliked[key]) {
			s.unliked[key] = event.EventAt
		}
	case "label.unviewable":
		s.set("unviewable", event, event.Application != "remove")
	case "label.notice":
	default:
		toggle, ok := toggles[event.EventType]
		if !ok {
			return nil // a type to come; the same event may come as a type that is known
		}
		s.set(toggle.kind, event, toggle.on)
	}
	s.seen[event.EventID] = struct{}{}
	return nil
}

// Profile returns the profile fields of a user that are known to have changed.
func (s *State) Profile(userID string) map[string]string {
	fields := map[string]string{}
	for key, newest := range s.profile {
		if key.userID == userID {
			fields[key.field] = newest.value
		}
	}
	return fields
}

// Like returns whether to delete a like or to show it still.
func (s *State) Like(like Like) Action {
	unlikedAt, ok := s.unliked[likeKey{like.UserID, like.TweetID}]
	if ok && !like.FetchedAt.After(unlikedAt) {
		return Delete
	}
	return Show
}

// set keeps the newest event of each stream partition; isOn compares them.
func (s *State) set(kind string, event Event, on bool) {
	key := switchKey{kind, event.entity()}
	if s.switches[key] == nil {
		s.switches[key] = map[int]stamped[bool]{}
	}
	scopes := s.switches[key]
	scopes[event.scope()] = latest(scopes[event.scope()], stamp(event, on), compareBools)
}

func (s *State) withhold(entity entity, countries []string) {
	if s.withheld[entity] == nil {
		s.withheld[entity] = set[string]{}
	}
	for _, country := range countries {
		s.withheld[entity][strings.ToUpper(country)] = struct{}{}
	}
}

func (s *State) scrub(userID, upTo string) error {
	number, err := parseID(upTo)
	if err != nil {
		return err
	}
	if before, ok := s.scrubbed[userID]; !ok || number.Cmp(before) > 0 {
		s.scrubbed[userID] = number
	}
	return nil
}

func (s *State) allVersions(tweetID string) []string {
	if versions, ok := s.versions[tweetID]; ok {
		return versions
	}
	return []string{tweetID}
}

func (s *State) joinVersions(ids []string) {
	var together []string
	for _, id := range ids {
		together = append(together, s.allVersions(id)...)
	}
	slices.Sort(together)
	together = slices.Compact(together)
	for _, id := range together {
		s.versions[id] = together
	}
}

// entity is what an event is about: a Tweet, what a Tweet quotes, or a user.
func (e Event) entity() entity {
	switch {
	case e.QuoteTweetID != nil:
		return entity{"quote", *e.QuoteTweetID}
	case e.TweetID != "":
		return entity{"tweet", e.TweetID}
	}
	return entity{"user", e.UserID}
}

// scope is that within which sequences are comparable: a stream partition, but not for a dead letter that was replayed.
func (e Event) scope() int {
	if e.DeliveredBy == "dead-letter" {
		return 0
	}
	return e.StreamPartition
}

func stamp[T any](event Event, value T) stamped[T] {
	if event.DeliveredBy == "dead-letter" {
		return stamped[T]{event.EventAt, 0, value}
	}
	return stamped[T]{event.EventAt, event.Sequence, value}
}

// latest returns the later of two, and of two at the same place the one with the greater value.
func latest[T any](a, b stamped[T], compareValues func(T, T) int) stamped[T] {
	if cmp.Or(a.at.Compare(b.at), cmp.Compare(a.sequence, b.sequence), compareValues(a.value, b.value)) > 0 {
		return a
	}
	return b
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// parseID reads an id as a number, which may exceed 64 bits.
func parseID(id string) (*big.Int, error) {
	number, ok := new(big.Int).SetString(id, 10)
	if !ok {
		return nil, fmt.Errorf("id is no number: %q", id)
	}
	return number, nil
}
