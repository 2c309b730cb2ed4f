package conformance

import (
	"slices"
	"strings"
)

// Case is one behaviour of StateFun and how it is shown.
type Case struct {
	// ID is what the case is known by: the letter of its section and a number.
	ID string
	// Shows is one line: what goes in and what must come of it.
	Shows string
	// Differs says what ours does otherwise on purpose, and why; empty: ours does the same.
	Differs string
	// By names the suite that shows what only a StateFun SDK can show; Run then shows our half of it, if there is one.
	By string
	// Endpoint are further lines of the spec of the case's endpoint, like "maxNumBatchRequests: 2".
	Endpoint []string
	// Alone gives the case a worker of its own, which is started by the case (lab.start) and not before.
	Alone bool
	// Run is the case.
	Run func(*lab)
}

// namespace is that of the case's functions, which its topics are named after too.
func (c *Case) namespace() string { return strings.ToLower(c.ID) }

// in and out are the names of the case's topics.
func (c *Case) in() string  { return "in-" + c.namespace() }
func (c *Case) out() string { return "out-" + c.namespace() }

// section is a group of cases under one letter.
type section struct {
	letter, title string
	count         int // how many cases the list of behaviours has under this letter
	cases         []Case
}

// sections are all cases in their order.
func sections() []section {
	return []section{
		{"A", "Dispatch, batching, callers", 22, sectionA()},
		{"B", "State hand-shake and values", 33, sectionB()},
		{"C", "Side effects", 21, sectionC()},
		{"D", "Back-pressure and calls under way", 12, sectionD()},
		{"E", "HTTP transports", 29, sectionE()},
		{"F", "module.yaml", 24, sectionF()},
		{"G", "Kafka ingress and egress", 24, sectionG()},
		{"H", "The 2.2 generation", 12, sectionH()},
		{"K", "Headers, and records that are invalid", 0, sectionK()},
		{"M", "Metrics", 0, sectionM()},
		{"S", "State beyond the list", 0, sectionS()},
		{"X", "What must break nothing", 0, sectionX()},
	}
}

// everyCase is the cases of all sections.
func everyCase() []Case {
	var all []Case
	for _, s := range sections() {
		all = append(all, s.cases...)
	}
	return slices.Clip(all)
}
