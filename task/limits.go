package task

// limits bound what a task keeps in memory and does at once. They are the same for every task; tests lower them to
// see what lies behind.
type limits struct {
	// timers is how many delayed messages have their time kept in memory; up to twice as many may be there. Those
	// that fire later are found in the store when the near ones are used up.
	timers int
	// restored is how many pending inputs of an address are read at a restore, and restoredBytes is how much heap
	// they take together: the inputs of a long backlog do not fit. The rest follow when their turn comes.
	restored      int
	restoredBytes int64
	// inputs is how many inputs of one address stay in memory; what is copied beyond it is read from the store when
	// its turn comes.
	inputs int
	// kept is how many inputs of an address that is ready stay in memory when its rows leave it: enough for its
	// next call.
	kept int
	// addresses is how many addresses may wait before each further one weighs in the read budget, with entryCost. The first
	// ones do not: an entry cannot be relieved, and those of one endpoint that is down would soon keep everybody's ingresses
	// from being read (P-3).
	addresses int
	// swept is how many expiry rows one sweep looks at.
	swept int
}

var defaultLimits = limits{timers: 8192, restored: 16, restoredBytes: 2 << 20, inputs: 1024, kept: 64, addresses: 50_000, swept: 256}
