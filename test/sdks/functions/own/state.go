package main

import (
	"encoding/json"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// state is a state of whatever type, written and read as text.
type state struct {
	spec   statefun.State
	set    func(ctx *statefun.Context, text string) error
	get    func(ctx *statefun.Context) (string, error) // a dash when there is none
	remove func(ctx *statefun.Context)
}

func stateOf[T any](spec *statefun.ValueSpec[T], parse func(string) (T, error), show func(T) string) state {
	return state{
		spec: spec,
		set: func(ctx *statefun.Context, text string) error {
			value, err := parse(text)
			if err == nil {
				spec.Set(ctx, value)
			}
			return err
		},
		get: func(ctx *statefun.Context) (string, error) {
			value, present, err := spec.Lookup(ctx)
			if err != nil || !present {
				return "-", err
			}
			return show(value), nil
		},
		remove: spec.Remove,
	}
}

func textState(spec *statefun.ValueSpec[string]) state {
	same := func(text string) string { return text }
	return stateOf(spec, func(text string) (string, error) { return text, nil }, same)
}

// card is the JSON object of the third deployment.
type card struct {
	Name    string `json:"name"`
	Numbers []int  `json:"numbers"`
}

// states are the states of a deployment: 1 is the first one, 2 adds, drops and changes, 3 adds those that only
// the programs in Go have.
func states(deployment string) map[string]state {
	written := statefun.ExpireAfterWrite(4 * time.Second)
	if deployment == "2" {
		written = statefun.ExpireAfterWrite(time.Minute)
	}
	states := map[string]state{
		"text": textState(statefun.Value[string]("text")),
		"number": stateOf(statefun.Value[int32]("number"), func(text string) (int32, error) {
			n, err := strconv.ParseInt(text, 10, 32)
			return int32(n), err
		}, func(n int32) string { return strconv.Itoa(int(n)) }),
		"ratio": stateOf(statefun.Value[float32]("ratio"), func(text string) (float32, error) {
			x, err := strconv.ParseFloat(text, 32)
			return float32(x), err
		}, func(x float32) string { return strconv.FormatFloat(float64(x), 'g', -1, 32) }),
		"large": stateOf(statefun.Value[int64]("large"), func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) },
			func(n int64) string { return strconv.FormatInt(n, 10) }),
		"custom":  textState(statefun.ValueOf("custom", statefun.JSON[string]("sdks.types/custom"))),
		"written": textState(statefun.Value[string]("written", written)),
		"called":  textState(statefun.Value[string]("called", statefun.ExpireAfterInvoke(4*time.Second))),
	}
	if deployment == "2" {
		states["fresh"] = textState(statefun.Value[string]("fresh"))
	} else {
		states["flag"] = stateOf(statefun.Value[bool]("flag"), func(text string) (bool, error) { return text == "true", nil }, strconv.FormatBool)
	}
	if deployment == "3" {
		addTyped(states)
	}
	return states
}

// addTyped adds a double, a JSON object and a protobuf message.
func addTyped(states map[string]state) {
	states["double"] = stateOf(statefun.Value[float64]("double"), func(text string) (float64, error) { return strconv.ParseFloat(text, 64) },
		func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) })
	states["card"] = stateOf(statefun.ValueOf("card", statefun.JSON[card]("sdks.types/card")), func(text string) (c card, err error) {
		err = json.Unmarshal([]byte(text), &c)
		return c, err
	}, func(c card) string {
		text, _ := json.Marshal(c) // a card has nothing that JSON lacks
		return string(text)
	})
	states["stamp"] = stateOf(statefun.ValueOf("stamp", statefun.Protobuf[*timestamppb.Timestamp]()), func(text string) (*timestamppb.Timestamp, error) {
		at, err := time.Parse(time.RFC3339Nano, text)
		return timestamppb.New(at), err
	}, func(at *timestamppb.Timestamp) string { return at.AsTime().Format(time.RFC3339Nano) })
}
