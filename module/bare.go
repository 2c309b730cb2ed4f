package module

// Bare is the module of an application of which nothing but its id and its cluster is known, such as one that a Go program
// declares itself. It is for asking the cluster about it; nothing can run by it. What may be found out of its ingresses is
// found by topics.Discover. The error is of type Errors.
func Bare(applicationID string, brokers []string) (*Module, error) {
	r := newReader(Options{ApplicationID: applicationID, Brokers: brokers})
	r.module.Bare = true
	r.identify()
	r.clusters()
	if applicationID == "" {
		r.report(Position{}, "the application has no id: its topics are named after it", "")
	}
	if len(r.problems) > 0 {
		return nil, Errors(r.problems)
	}
	return r.module, nil
}
