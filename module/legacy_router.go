package module

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/statefun-kafka/statefun-kafka/protocol"
)

// protobufType begins the type of a protobuf message as a value.
const protobufType = "type.googleapis.com/"

// protobufIngress reads an ingress whose records are protobuf messages. Where they go is said by its routers.
func (r *reader) protobufIngress(o *object) {
	message, ok := r.message(o)
	r.ingressOf(o, func(o *object, common IngressTopic) []IngressTopic {
		if ok {
			common.ValueType = protobufType + string(message.FullName())
			r.routed[o.typename("id")] = message
		}
		return r.protobufTopics(o, common)
	})
}

// protobufTopics reads a list of topic names.
func (r *reader) protobufTopics(o *object, common IngressTopic) []IngressTopic {
	var topics []IngressTopic
	names := o.children("topics")
	if n, ok := o.lookup("topics"); ok && n.kind() == "a list" && len(names) == 0 {
		n.report("the list is empty", "name at least one topic")
	}
	for _, n := range names {
		name, ok := n.text()
		if !ok {
			continue
		}
		t := common
		var err error
		if t.Topic, err = parseTopic(name); err != nil {
			n.report(err.Error(), "")
			continue
		}
		t.Position = n.at
		if !slices.ContainsFunc(topics, func(before IngressTopic) bool { return before.Topic == t.Topic }) {
			topics = append(topics, t)
		}
	}
	return topics
}

// A declaredRouter is a router before it is known which ingress it belongs to: that may be in another file.
type declaredRouter struct {
	ingress protocol.TypeName
	at      Position // of the ingress' name
	message protoreflect.MessageDescriptor
	route   Route
}

// router reads a router: the messages of an ingress go to an address made of their fields.
func (r *reader) router(o *object) {
	o.require("ingress", "target")
	d := declaredRouter{ingress: o.typename("ingress"), at: o.where("ingress")}
	message, ok := r.message(o)
	if !ok || d.ingress == (protocol.TypeName{}) {
		o.lookup("target")
		return
	}
	d.message = message
	d.route = read(o, "target", Route{}, func(s string) (Route, error) { return ParseRoute(s, message) })
	if d.route.ID != nil {
		d.route.Position = o.where("target")
		r.routers = append(r.routers, d)
	}
}

// bindRouters gives each ingress its routers.
func (r *reader) bindRouters() {
	for i := range r.routers {
		r.bindRouter(&r.routers[i])
	}
	for i := range r.module.Ingresses {
		in := &r.module.Ingresses[i]
		if _, routed := r.routed[in.ID]; routed && len(in.Topics) > 0 && len(in.Topics[0].Routes) == 0 {
			r.report(in.Position, fmt.Sprintf("no router names ingress %s: its records would go nowhere", in.ID), "add a router with ingress: "+in.ID.String())
		}
	}
}

func (r *reader) bindRouter(d *declaredRouter) {
	var ids []string
	for i := range r.module.Ingresses {
		in := &r.module.Ingresses[i]
		ids = append(ids, in.ID.String())
		if in.ID != d.ingress {
			continue
		}
		message, routed := r.routed[in.ID]
		switch {
		case !routed:
			r.report(d.at, fmt.Sprintf("ingress %s at %s has targets of its own and takes no router", in.ID, in.where()), "routers are for ingresses of type "+kindProtobufIngress)
		case message.FullName() != d.message.FullName():
			r.report(d.at, fmt.Sprintf("the router reads messages of type %s, ingress %s at %s has %s", d.message.FullName(), in.ID, in.where(), message.FullName()), "give both the same messageType")
		}
		for t := range in.Topics {
			in.Topics[t].Routes = append(in.Topics[t].Routes, d.route)
		}
		return
	}
	r.report(d.at, fmt.Sprintf("no ingress %s is declared", d.ingress), didYouMean(d.ingress.String(), ids))
}
