package doctor

import (
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// describeGroupsVersion keeps the answer for a group that does not exist yet free of errors, so that it carries the rights.
const describeGroupsVersion = 5

// readOnly lets a client send requests that read, and no others: what is not listed ends in the client with an error.
func readOnly(requests ...kmsg.Key) kgo.Opt {
	v := new(kversion.Versions)
	for _, key := range requests {
		v.SetMaxKeyVersion(key.Int16(), kmsg.RequestForKey(key.Int16()).MaxVersion())
	}
	if v.HasKey(kmsg.DescribeGroups.Int16()) {
		v.SetMaxKeyVersion(kmsg.DescribeGroups.Int16(), describeGroupsVersion)
	}
	return kgo.MaxVersions(v)
}

// planning are the requests that a plan of the topics needs. FindCoordinator is not among them: a broker that is asked for a
// coordinator creates its topic of transactions or of groups.
var planning = []kmsg.Key{
	kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate, kmsg.Metadata, kmsg.DescribeConfigs,
}

// asking are the requests of everything else. FindCoordinator is sent only where its topic exists already.
var asking = append([]kmsg.Key{
	kmsg.DescribeCluster, kmsg.DescribeQuorum, kmsg.DescribeProducers, kmsg.ListTransactions, kmsg.DescribeTransactions,
	kmsg.ListGroups, kmsg.DescribeGroups, kmsg.ConsumerGroupDescribe, kmsg.FindCoordinator, kmsg.OffsetFetch,
}, planning...)
