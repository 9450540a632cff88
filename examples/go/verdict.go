package main

import (
	"maps"
	"slices"
	"time"
)

// everywhere are codes that are no countries: all of them, and a DMCA complaint, which is not limited to some.
var everywhere = []string{"XX", "XY"}

// Tweet returns what to do with a Tweet.
func (s *State) Tweet(tweet Tweet) (Verdict, error) {
	if len(tweet.Versions) > 0 {
		s.joinVersions(append([]string{tweet.TweetID}, tweet.Versions...))
	}
	own := s.judge(tweet)
	if tweet.Retweeted != nil {
		own = strictest(own, s.judge(*tweet.Retweeted))
	}
	isNewest, err := s.isNewest(tweet.TweetID)
	if err != nil {
		return Verdict{}, err
	}
	if !isNewest {
		own.Action = max(own.Action, Hide)
	}
	verdict := Verdict{Judgement: own}
	if verdict.Location, err = s.location(tweet); err != nil {
		return Verdict{}, err
	}
	if tweet.Quoted != nil {
		quoted := strictest(s.judge(*tweet.Quoted), s.judgeEntities(s.quotes(tweet)))
		verdict.Quoted = &quoted
	}
	return verdict, nil
}

// quotes are the versions of a Tweet and of what it retweets: an event names one of them as the Quote Tweet.
func (s *State) quotes(tweet Tweet) []entity {
	ids := s.allVersions(tweet.TweetID)
	if tweet.Retweeted != nil {
		ids = slices.Concat(ids, s.allVersions(tweet.Retweeted.TweetID))
	}
	var quotes []entity
	for _, id := range ids {
		quotes = append(quotes, entity{"quote", id})
	}
	return quotes
}

func (s *State) isNewest(tweetID string) (bool, error) {
	number, err := parseID(tweetID)
	if err != nil {
		return false, err
	}
	for _, id := range s.allVersions(tweetID) {
		other, err := parseID(id)
		if err != nil {
			return false, err
		}
		if other.Cmp(number) > 0 {
			return false, nil
		}
	}
	return true, nil
}

func (s *State) location(tweet Tweet) (Action, error) {
	upTo, ok := s.scrubbed[tweet.AuthorID]
	if !ok {
		return Show, nil
	}
	number, err := parseID(tweet.TweetID)
	if err != nil || number.Cmp(upTo) > 0 {
		return Show, err
	}
	return Delete, nil
}

// isOn reports whether the latest event hides; where several are equally late, whether any of them does.
func (s *State) isOn(kind string, entities []entity) bool {
	newest := map[int]stamped[bool]{}
	for _, entity := range entities {
		for scope, event := range s.switches[switchKey{kind, entity}] {
			newest[scope] = latest(newest[scope], event, compareBools)
		}
	}
	var last time.Time
	for _, event := range newest {
		if event.at.After(last) {
			last = event.at
		}
	}
	for _, event := range newest {
		if event.value && event.at.Equal(last) {
			return true
		}
	}
	return false
}

// judge returns what to do with a Tweet by all that is said of its versions and of its author.
func (s *State) judge(tweet Tweet) Judgement {
	var versions []entity
	for _, id := range s.allVersions(tweet.TweetID) {
		versions = append(versions, entity{"tweet", id})
	}
	author := []entity{{"user", tweet.AuthorID}}
	judged := strictest(s.judgeEntities(versions), s.judgeEntities(author))
	for _, kind := range []string{"delete", "protect", "suspend"} {
		if s.isOn(kind, author) {
			judged.Action = max(judged.Action, Hide)
		}
	}
	return judged
}

func (s *State) judgeEntities(entities []entity) Judgement {
	judged := Judgement{WithheldIn: []string{}}
	for _, entity := range entities {
		judged.WithheldIn = slices.AppendSeq(judged.WithheldIn, maps.Keys(s.withheld[entity]))
		if _, ok := s.deleted[entity]; ok {
			judged.Action = Delete
		}
	}
	isWithheldEverywhere := slices.ContainsFunc(everywhere, func(code string) bool {
		return slices.Contains(judged.WithheldIn, code)
	})
	if isWithheldEverywhere || s.isOn("drop", entities) || s.isOn("unviewable", entities) {
		judged.Action = max(judged.Action, Hide)
	}
	return judged
}

// strictest combines judgements of content that is shown together.
func strictest(a, b Judgement) Judgement {
	countries := slices.Concat(a.WithheldIn, b.WithheldIn)
	slices.Sort(countries)
	return Judgement{max(a.Action, b.Action), append([]string{}, slices.Compact(countries)...)}
}
