package statefun

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Function is the code behind a function type.
type Function struct {
	// Type is the name that messages are sent to, or "namespace/*" for all types of a namespace; a function that has
	// a type of its own goes before it. Context.Self tells which of them was called.
	Type TypeName
	// States are sent by the runtime with each call.
	States []State
	// Invoke is called for one message after the other of an instance, and for many instances at once.
	Invoke func(ctx *Context, m Message) error
}

// wildcard ends the type of a function that serves a namespace.
const wildcard = "*"

// check says all that is wrong with a function.
func (f *Function) check() error {
	var faults []error
	if namespace, _, err := f.Type.Split(); err != nil {
		faults = append(faults, err)
	} else if strings.Contains(namespace, wildcard) {
		faults = append(faults, errors.New("only the part behind the last slash may be *"))
	}
	if f.Invoke == nil {
		faults = append(faults, errors.New("Invoke is nil"))
	}
	for i, s := range f.States {
		if s == nil {
			faults = append(faults, fmt.Errorf("state %d is nil", i))
			continue
		}
		spec := s.spec()
		if err := spec.check(); err != nil {
			faults = append(faults, err)
		}
		again := func(other State) bool { return other != nil && other.spec().name == spec.name }
		if slices.IndexFunc(f.States, again) < i {
			faults = append(faults, fmt.Errorf("state %q is declared twice", spec.name))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("function %q: %w", f.Type, err)
	}
	return nil
}

// A Case is a branch of [ByType], made by [On] or [Otherwise].
type Case struct {
	typename TypeName // empty for all that no other case takes
	invoke   func(*Context, Message) error
}

// On is the case of one type of message.
func On[T any](t Type[T], invoke func(ctx *Context, value T) error) Case {
	return Case{typename: t.name, invoke: func(ctx *Context, m Message) error {
		value, err := t.From(m)
		if err != nil {
			return err
		}
		return invoke(ctx, value)
	}}
}

// Otherwise is the case of all types that no other case takes.
func Otherwise(invoke func(ctx *Context, m Message) error) Case { return Case{invoke: invoke} }

// ByType makes an Invoke that calls the first case for the type of the message. A message of another type is an error.
func ByType(cases ...Case) func(ctx *Context, m Message) error {
	known := make([]string, 0, len(cases))
	for _, c := range cases {
		if c.typename != "" {
			known = append(known, string(c.typename))
		}
	}
	names := strings.Join(known, ", ")
	return func(ctx *Context, m Message) error {
		for i := range cases {
			if string(m.typename) == string(cases[i].typename) && cases[i].typename != "" {
				return cases[i].invoke(ctx, m)
			}
		}
		for i := range cases {
			if cases[i].typename == "" {
				return cases[i].invoke(ctx, m)
			}
		}
		return fmt.Errorf("a message of type %q is none of %s", m.typename, names)
	}
}
