package doctor

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// may tells whether an operation is allowed.
func (o Operations) may(operation kmsg.ACLOperation) bool { return o.Bits>>uint(operation)&1 == 1 }

// lacks names the operations that are not allowed.
func (o Operations) lacks(wanted ...kmsg.ACLOperation) (names []string) {
	for _, w := range wanted {
		if !o.may(w) {
			names = append(names, operationNames[w])
		}
	}
	return names
}

var operationNames = map[kmsg.ACLOperation]string{
	kmsg.ACLOperationRead: "Read", kmsg.ACLOperationWrite: "Write", kmsg.ACLOperationCreate: "Create", kmsg.ACLOperationDelete: "Delete",
	kmsg.ACLOperationDescribe: "Describe", kmsg.ACLOperationDescribeConfigs: "DescribeConfigs",
}

// everything tells whether the cluster keeps nothing from the user: there is no authorizer, or it is a superuser.
func everything(f *Facts) bool {
	return f.ClusterOperations.Known && len(f.ClusterOperations.lacks(
		kmsg.ACLOperationCreate, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs)) == 0 &&
		f.ClusterOperations.may(kmsg.ACLOperationClusterAction) && f.ClusterOperations.may(kmsg.ACLOperationAlter)
}

const asWorker = "run this as the user of the workers"

func topicAccess(f *Facts) []verdict {
	const read, write, describe, configs = kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs
	wanted := map[string][]kmsg.ACLOperation{}
	var names []string
	want := func(name string, operations ...kmsg.ACLOperation) {
		if _, is := wanted[name]; !is {
			names = append(names, name)
		}
		wanted[name] = append(wanted[name], operations...)
	}
	want(f.Mailbox, read, write, describe, configs, kmsg.ACLOperationDelete)
	want(f.Changelog, read, write, describe, configs)
	want(f.DeadLetter, write, describe, configs)
	for _, name := range f.Ingresses {
		want(name, read, describe, configs)
	}
	for _, name := range f.Egresses {
		want(name, write, describe)
	}
	var list []verdict
	told := 0
	for _, name := range names {
		t := f.Topics[name]
		switch {
		case t == nil:
			continue
		case strings.Contains(t.Error, "AUTHORIZATION"):
			list = append(list, broken(f.allow("topic", name, "Describe"), "not even Describe is allowed: %s", t.Error).of(name))
		case !t.Exists && f.ClusterOperations.Known && !f.ClusterOperations.may(kmsg.ACLOperationCreate):
			list = append(list, unknown("allow Create on it, or create it beforehand with statefun-kafka topics --create", "does not exist, and creating topics is not allowed everywhere").of(name))
		case !t.Exists:
			continue
		case !t.Operations.Known:
			list = append(list, unknown(asWorker, "the broker does not tell the rights").of(name))
		default:
			told++
			if lacks := t.Operations.lacks(wanted[name]...); len(lacks) > 0 {
				list = append(list, broken(f.allow("topic", name, lacks...), "lacks %s", strings.Join(lacks, ", ")).of(name))
			}
		}
	}
	return append(list, ok("the rights on %s are enough", plural(told, "topic that exists", "topics that exist")))
}

// allow is the command that gives rights.
func (f *Facts) allow(kind, name string, operations ...string) string {
	text := fmt.Sprintf("kafka-acls.sh --bootstrap-server %s --add --allow-principal User:…", f.Addresses)
	for _, o := range operations {
		text += " --operation " + o
	}
	return text + " --" + kind + " " + name
}

func groupAccess(f *Facts) []verdict {
	g := &f.Group
	switch {
	case strings.Contains(g.Error, "AUTHORIZATION"):
		return []verdict{broken(f.allow("group", f.Application, "Read"), "the group may not even be described: %s", g.Error)}
	case everything(f):
		return []verdict{ok("the cluster keeps nothing from this user")}
	case !g.Asked || !g.Operations.Known:
		return []verdict{unknown(asWorker, "the broker does not tell the rights on group %s", f.Application)}
	}
	if lacks := g.Operations.lacks(kmsg.ACLOperationRead, kmsg.ACLOperationDescribe); len(lacks) > 0 {
		return []verdict{broken(f.allow("group", f.Application, lacks...), "lacks %s on group %s", strings.Join(lacks, ", "), f.Application)}
	}
	return []verdict{ok("group %s may be joined", f.Application)}
}

func transactionalAccess(f *Facts) []verdict {
	prefix := f.Application + "-"
	switch {
	case f.Transactions.DescribeRight == "no":
		return []verdict{broken(f.allow("transactional-id", prefix+" --resource-pattern-type prefixed", "Write", "Describe"),
			"transactional ids that begin with %s may not be described, let alone used", prefix)}
	case everything(f):
		return []verdict{ok("the cluster keeps nothing from this user")}
	case f.Transactions.DescribeRight == "yes":
		return []verdict{unknown(f.allow("transactional-id", prefix+" --resource-pattern-type prefixed", "Write", "Describe")+"; a worker says at its start when this is missing",
			"transactional ids that begin with %s may be described; whether they may be used, only a write would tell", prefix)}
	}
	return []verdict{unknown(asWorker, "nobody has used a transaction on this cluster yet, and asking would create the topic of transactions")}
}

func takeoverAccess(f *Facts) []verdict {
	var list []verdict
	asked := 0
	for _, name := range append([]string{f.Mailbox, f.Changelog}, f.Ingresses...) {
		t := f.Topics[name]
		switch {
		case t == nil || !t.Exists:
			continue
		case strings.Contains(t.ProducersError, "AUTHORIZATION"):
			list = append(list, broken(f.allow("topic", name, "Read"), "its producers may not be described: %s", t.ProducersError).of(name))
		case t.ProducersError != "":
			list = append(list, unknown("", "its producers could not be described: %s", t.ProducersError).of(name))
		default:
			asked++
		}
	}
	switch {
	case strings.Contains(f.Transactions.ListError, "AUTHORIZATION"):
		list = append(list, broken(f.allow("transactional-id", f.Application+"- --resource-pattern-type prefixed", "Describe"), "transactions may not be listed: %s", f.Transactions.ListError))
	case f.Transactions.ListError != "":
		list = append(list, unknown("", "transactions could not be listed: %s", f.Transactions.ListError))
	}
	return append(list, ok("transactions can be listed, producers of %s described: a take-over finds whom to fence", plural(asked, "topic", "topics")))
}
