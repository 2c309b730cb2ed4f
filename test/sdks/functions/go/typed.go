package main

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/apache/flink-statefun/statefun-sdk-go/v3/pkg/statefun"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// card is the JSON object of the third deployment.
type card struct {
	Name    string `json:"name"`
	Numbers []int  `json:"numbers"`
}

// typedSpecs are the states of the third deployment: a double, a JSON object and a protobuf message.
func typedSpecs() []statefun.ValueSpec {
	return []statefun.ValueSpec{
		{Name: "double", ValueType: statefun.Float64Type},
		{Name: "card", ValueType: statefun.MakeJsonType(statefun.TypeNameFrom("sdks.types/card"))},
		{Name: "stamp", ValueType: statefun.MakeProtobufType(&timestamppb.Timestamp{})},
	}
}

// parseTyped makes the value of one of them from its text.
func parseTyped(name, text string) (any, error) {
	switch name {
	case "double":
		return strconv.ParseFloat(text, 64)
	case "card":
		var c card
		err := json.Unmarshal([]byte(text), &c)
		return c, err
	default:
		at, err := time.Parse(time.RFC3339Nano, text)
		return timestamppb.New(at), err
	}
}

// getTyped is the text of one of them, a dash when there is none.
func (f *function) getTyped(ctx statefun.Context, name string) string {
	var double float64
	var c card
	var at timestamppb.Timestamp
	receivers := map[string]any{"double": &double, "card": &c, "stamp": &at}
	if !ctx.Storage().Get(f.specs[name], receivers[name]) {
		return "-"
	}
	switch name {
	case "double":
		return strconv.FormatFloat(double, 'g', -1, 64)
	case "card":
		text, _ := json.Marshal(c) // a card has nothing that JSON lacks
		return string(text)
	default:
		return at.AsTime().Format(time.RFC3339Nano)
	}
}
