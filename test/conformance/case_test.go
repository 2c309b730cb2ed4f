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
	count         int  // how many cases the list of behaviours has under this letter
	brokered      bool // a broker has a part in its cases; the others are about HTTP and about modules
	cases         []Case
}

// sections are all cases in their order.
func sections() []section {
	return []section{
		{"A", "Dispatch, batching, callers", 22, true, sectionA()},
		{"B", "State hand-shake and values", 33, true, sectionB()},
		{"C", "Side effects", 21, true, sectionC()},
		{"D", "Back-pressure and calls under way", 12, true, sectionD()},
		{"E", "HTTP transports", 29, false, sectionE()},
		{"F", "module.yaml", 24, false, sectionF()},
		{"G", "Kafka ingress and egress", 24, true, sectionG()},
		{"H", "The 2.2 generation", 12, true, sectionH()},
		{"S", "State beyond the list", 0, true, sectionS()},
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
