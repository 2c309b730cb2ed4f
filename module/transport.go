package module

import (
	"fmt"
	"math"
	"path/filepath"
	"time"
)

const transportPrefix = "io.statefun.transports.v1/"

// transportNames are the type names of the transports that a module file can choose.
var transportNames = map[string]string{
	TransportOkHTTP: transportPrefix + TransportOkHTTP,
	TransportAsync:  transportPrefix + TransportAsync,
}

// okHTTP returns the defaults of the okhttp transport, which are also those of endpoints.v1.
func okHTTP() Transport {
	return Transport{
		Kind: TransportOkHTTP,
		Call: time.Minute, Connect: 10 * time.Second, Read: 10 * time.Second, Write: 10 * time.Second,
		PoolSize: 1024, PoolTTL: time.Minute,
		FollowRedirects: true,
	}
}

// async returns the defaults of the async transport, the one of endpoints.v2 without a choice.
func async() Transport {
	return Transport{
		Kind: TransportAsync,
		Call: 2 * time.Minute, Connect: 20 * time.Second,
		PoolSize: 1024, PoolTTL: 15 * time.Second,
		PayloadMaxBytes: 32 << 20,
	}
}

// transport reads the transport of an endpoint.
func (r *reader) transport(spec *object) Transport {
	o := spec.child("transport")
	if o == nil {
		return async()
	}
	if n, ok := o.lookup("type"); ok && (n.says(TransportInProcess) || n.says(transportPrefix+TransportInProcess)) {
		n.report("functions in process are those of a program that has the worker in it, which declares them itself", "give the URL and the transport of a server")
		return async()
	}
	name := o.oneOf("type", transportNames[TransportAsync], transportNames[TransportOkHTTP], transportNames[TransportAsync])
	if name == transportNames[TransportOkHTTP] {
		t := okHTTP()
		t.okHTTPTimeouts(o)
		o.done()
		return t
	}
	t := async()
	t.asyncKeys(o)
	o.done()
	return t
}

// okHTTPTimeouts reads the timeouts object.
func (t *Transport) okHTTPTimeouts(parent *object) {
	o := parent.child("timeouts")
	if o == nil {
		return
	}
	t.bound(o, callKeys{call: "call", connect: "connect", read: "read", write: "write"})
	o.done()
}

// callKeys are the names of an okhttp call's time-outs.
type callKeys struct{ call, connect, read, write string }

// bound reads the time-outs; their parts must fit into the call, the defaults of those not given too.
func (t *Transport) bound(o *object, keys callKeys) {
	t.Call = o.positive(keys.call, t.Call)
	for _, part := range []struct {
		key   string
		value *time.Duration
	}{{keys.connect, &t.Connect}, {keys.read, &t.Read}, {keys.write, &t.Write}} {
		*part.value = o.positive(part.key, *part.value)
		if *part.value <= t.Call {
			continue
		}
		_, given := o.lookup(part.key)
		if given {
			o.blame(part.key, fmt.Sprintf("%v is longer than %s (%v)", *part.value, keys.call, t.Call), "")
			continue
		}
		o.blame(keys.call, fmt.Sprintf("%v is shorter than %s, which is %v by default", t.Call, part.key, *part.value), "set "+part.key+" too")
	}
}

// asyncKeys reads the keys of the async transport. A timeouts object wins over the flat keys, with its own defaults.
func (t *Transport) asyncKeys(o *object) {
	t.Call = o.positive("call", t.Call)
	t.Connect = o.positive("connect", t.Connect)
	t.PoolTTL = o.duration("pool_ttl", t.PoolTTL)
	t.PoolSize = int(o.number("pool_size", int64(t.PoolSize), span{1, math.MaxInt32}))
	t.PayloadMaxBytes = o.number("payload_max_bytes", t.PayloadMaxBytes, span{1, math.MaxInt32})
	if old := o.child("timeouts"); old != nil {
		const instead = "the timeouts object stands for call and connect"
		o.noEffect("call", instead)
		o.noEffect("connect", instead)
		t.Call = old.positive("call", okHTTP().Call)
		t.Connect = old.positive("connect", okHTTP().Connect)
		old.noEffect("read", "the async transport bounds the call only")
		old.noEffect("write", "the async transport bounds the call only")
		old.done()
	}
	folder := filepath.Dir(o.at.File)
	file := func(key string) string {
		location := o.text(key, "")
		if location == "" {
			return ""
		}
		return filePath(location, folder)
	}
	t.TrustCACerts = file("trust_cacerts")
	t.ClientCert = file("client_cert")
	t.ClientKey = file("client_key")
	t.ClientKeyPassword = file("client_key_password")
	if (t.ClientCert == "") != (t.ClientKey == "") {
		given, missing := "client_cert", "client_key"
		if t.ClientCert == "" {
			given, missing = missing, given
		}
		o.blame(given, "is given without "+missing, "give both or none")
	}
}
