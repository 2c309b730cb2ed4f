package sdks

import (
	"fmt"
	"strings"
)

// list joins commands or texts made from the numbers 1 to n.
func list(n int, format string) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprintf(format, i+1))
	}
	return texts
}

func repeat(text string, n int) (texts []string) {
	for range n {
		texts = append(texts, text)
	}
	return texts
}

const noTokens = "the generation has no cancellation"

// large is the text of half a megabyte that one state holds.
var large = strings.Repeat("statefun", 1<<16)

// conformance is the script that every SDK runs, all cases at once.
var conformance = []script{
	{name: "every-type-of-state", steps: []step{
		{send: []string{"set text hello;set number 42;set flag true;set ratio 0.5;set large 9007199254740993;set custom paper;egress set"}, want: []string{"set"}},
		{send: []string{"get text;get number;get flag;get ratio;get large;get custom"},
			want: []string{"text=hello", "number=42", "flag=true", "ratio=0.5", "large=9007199254740993", "custom=paper"}}}},
	{name: "absent-empty-and-deleted-state", steps: []step{
		{send: []string{"get text;get number;get flag;get custom"}, want: []string{"text=-", "number=-", "flag=-", "custom=-"}},
		{send: []string{"set text;set number 0;set flag false;egress set"}, want: []string{"set"}},
		{send: []string{"get text;get number;get flag"}, want: []string{"text=", "number=0", "flag=false"}},
		{send: []string{"del text;del number;del flag;del custom;egress deleted"}, want: []string{"deleted"}},
		{send: []string{"get text;get number;get flag;get custom"}, want: []string{"text=-", "number=-", "flag=-", "custom=-"}}}},
	{name: "the-last-write-wins", steps: []step{
		{send: []string{"set number 1;set text a;set text b;del number;set number 3;egress set"}, want: []string{"set"}},
		{send: []string{"get text;get number"}, want: []string{"text=b", "number=3"}}}},
	{name: "a-write-is-read-in-the-same-call", steps: []step{{send: []string{"set text new;get text;del text;get text"}, want: []string{"text=new", "text=-"}}},
		differs: map[string]difference{"rust": {"a function of this SDK sees the states as they were when its invocation began",
			[]step{{send: []string{"set text new;get text;del text;get text"}, want: []string{"text=-", "text=-"}}}}}},
	{name: "states-belong-to-a-type", steps: []step{
		{send: []string{"set text mine;send other self set+text+yours,egress+set"}, want: []string{"set"}},
		{send: []string{"get text;send other self get+text"}, want: []string{"text=mine", "text=yours"}}}},
	{name: "a-large-state", steps: []step{
		{send: []string{"set text " + large + ";egress set"}, want: []string{"set"}},
		{send: []string{"get text"}, want: []string{"text=" + large}}}},
	{name: "a-backlog-is-counted-in-order", steps: []step{
		{send: append([]string{"sleep 300"}, repeat("count", 40)...), want: list(40, "count=%d")}}},
	{name: "a-send-to-itself", steps: []step{
		{send: []string{"send script self caller,self,egress+after;egress before"}, want: []string{"before", "caller=script/%", "self=script/%", "after"}}}},
	{name: "a-send-to-another", steps: []step{
		{send: []string{"caller;send other %-peer self,caller"}, want: []string{"caller=none", "@peer self=other/%-peer", "@peer caller=script/%"}}}},
	{name: "forwarded-headers-do-not-disturb", steps: []step{
		{send: []string{"caller", "count", "set text kept;send other %-peer caller"}, headers: true, want: []string{"caller=none", "count=1", "@peer caller=script/%"}},
		{send: []string{"get text"}, headers: true, want: []string{"text=kept"}}},
		differs: map[string]difference{"2.2": {why: "the generation has no headers"}}},
	{name: "replies", steps: []step{
		{send: []string{"send other %-peer ping+5"}, want: []string{"@peer ping 5", "ping 4", "@peer ping 3", "ping 2", "@peer ping 1", "ping 0"}}}},
	{name: "sends-keep-their-order", steps: []step{
		{send: []string{strings.Join(list(20, "send other %%-peer egress+%d"), ";")}, want: list(20, "@peer %d")}}},
	{name: "egress-keeps-its-order", steps: []step{{send: []string{strings.Join(list(50, "egress %d"), ";")}, want: list(50, "%d")}}},
	{name: "egress-of-text-and-of-a-typed-number", steps: []step{{send: []string{"egress grüße;typed 7"}, want: []string{"grüße", "0x0d07000000"}}},
		differs: map[string]difference{"2.2": {"a typed number of this generation is google.protobuf.Int32Value",
			[]step{{send: []string{"egress grüße;typed 7"}, want: []string{"grüße", "0x0807"}}}}}},
	{name: "a-delayed-message", steps: []step{
		{send: []string{"after 300 - script self caller,egress+later;after 0 - other %-peer caller;egress now"},
			want: []string{"now", "caller=script/%", "later", "@peer caller=script/%"}}},
		differs: map[string]difference{"2.2": {"the Python SDK of this generation refuses a delay of nothing",
			[]step{{send: []string{"after 300 - script self caller,egress+later;after 1 - other %-peer caller;egress now"},
				want: []string{"now", "caller=script/%", "later", "@peer caller=script/%"}}}}}},
	{name: "delayed-messages-come-when-they-are-due", steps: []step{
		{send: []string{"after 900 - script self egress+third;after 100 - script self egress+first;after 500 - script self egress+second"},
			want: []string{"first", "second", "third"}}}},
	{name: "a-cancelled-message-never-comes", differs: map[string]difference{"2.2": {why: noTokens}}, steps: []step{
		{send: []string{"after 4000 token script self egress+never;egress armed"}, want: []string{"armed"}},
		{send: []string{"cancel token;egress cancelled"}, want: []string{"cancelled"}},
		{send: []string{"after 4500 - script self egress+end"}, want: []string{"end"}}}},
	{name: "a-token-is-free-after-its-cancellation", steps: []step{
		{send: []string{"after 600000 token script self egress+old;egress armed"}, want: []string{"armed"}},
		{send: []string{"cancel token;after 100 token script self egress+new"}, want: []string{"new"}}},
		differs: map[string]difference{"2.2": {why: noTokens}, "rust": {"this SDK puts the delayed messages of an invocation before its cancellations, so that the token is still taken: the answer is refused",
			[]step{
				{send: []string{"after 600000 token script self egress+old;egress armed"}, want: []string{"armed"}},
				{send: []string{"cancel token;after 100 token script self egress+new"}, dead: []string{"script/%"}}}}}},
	{name: "cancelling-an-unknown-token-is-nothing", differs: map[string]difference{"2.2": {why: noTokens}}, steps: []step{
		{send: []string{"cancel nothing;egress done"}, want: []string{"done"}}}},
	{name: "a-state-expires-after-its-last-write", steps: []step{
		{send: []string{"set written x;after 1000 - script self get+written;after 6000 - script self get+written;egress set"},
			want: []string{"set", "written=x", "written=-"}}}},
	{name: "a-state-expires-after-the-last-call", steps: []step{
		{send: []string{"set called x;after 2000 - script self get+called;after 4000 - script self get+called;after 6000 - script self get+called;after 12000 - script self get+called;egress set"},
			want: []string{"set", "called=x", "called=x", "called=x", "called=-"}}}},
}

const alone = "a panic ends the process and drops the connection, which names no input of a batch as the bad one; and a dropped connection is no answer"

// failures are the error paths, one after the other.
var failures = []script{
	{name: "a-failed-call-is-made-again", steps: []step{
		{send: []string{"count;fail again 2;egress done"}, want: []string{"count=1", "done"}},
		{send: []string{"count"}, want: []string{"count=2"}}}},
	{name: "an-input-that-always-throws-is-put-away", steps: []step{
		{send: []string{"count"}, want: []string{"count=1"}},
		{send: []string{"count;egress never;throw"}, dead: []string{"script/%"}},
		{send: []string{"count"}, want: []string{"count=2"}}}},
	{name: "a-bad-input-is-found-in-its-batch", steps: []step{
		{send: []string{"sleep 500", "count", "throw", "count"}, want: []string{"count=1", "count=2"}, dead: []string{"script/%"}}},
		differs: map[string]difference{"rust": {why: alone}}},
	{name: "a-type-that-the-sdk-does-not-know", steps: []step{
		{send: []string{"send nobody %-peer hello;egress sent"}, want: []string{"sent"}, dead: []string{"nobody/%-peer"}}}},
	{name: "an-egress-that-is-not-declared", steps: []step{
		{send: []string{"count;lost"}, dead: []string{"script/%"}},
		{send: []string{"count"}, want: []string{"count=1"}}}},
	{name: "a-target-that-no-endpoint-serves", steps: []step{
		{send: []string{"count;send nowhere.fns/x %-peer hello"}, dead: []string{"script/%"}},
		{send: []string{"count"}, want: []string{"count=1"}}}},
}

// inModule is why functions cannot register states.
var inModule = map[string]difference{"2.2": {why: "the states of this generation stand in the module"}}

// before and redeployed are two parts of one case: between them the functions are deployed with other states.
var (
	before = script{name: "redeployed", differs: inModule, steps: []step{
		{send: []string{"set text kept;set number 7;set flag true;egress set"}, want: []string{"set"}}}}
	// The state flag is dropped, fresh is new.
	redeployed = script{name: "redeployed", differs: inModule, steps: []step{
		{send: []string{"get text;get number;get fresh"}, want: []string{"text=kept", "number=7", "fresh=-"}},
		{send: []string{"set fresh new;egress set"}, want: []string{"set"}},
		{send: []string{"get fresh;get text"}, want: []string{"fresh=new", "text=kept"}}}}
	// The expiration of written is a minute where it was four seconds.
	sameWorker = script{name: "expiration-of-a-known-state", differs: inModule, steps: []step{
		{send: []string{"set written x;after 6000 - script self get+written;egress set"}, want: []string{"set", "written=-"}}}}
	restarted = script{name: "expiration-after-a-restart", differs: inModule, steps: []step{
		{send: []string{"set written x;after 6000 - script self get+written;egress set"}, want: []string{"set", "written=x"}}}}
	// The first deployment is back, and with it the state flag.
	back = script{name: "redeployed", differs: inModule, steps: []step{
		{send: []string{"get flag;get text"}, want: []string{"flag=true", "text=kept"}}}}
)
