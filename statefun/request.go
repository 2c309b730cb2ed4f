package statefun

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	errNoInvocation = errors.New("the request holds no invocation")
	errNoTarget     = errors.New("the request has no target")
)

// batchField is the one member of ToFunction.
const batchField protowire.Number = 100

// A request is a parsed ToFunction: one batch of messages for one instance. It consists of views of the body.
type request struct {
	target      wireAddress[[]byte]
	cells       []cell
	invocations []invocation
}

// An invocation is one message of the batch. Of one that came from an ingress the caller is not there.
type invocation struct {
	caller    wireAddress[[]byte]
	hasCaller bool
	message   Message
}

// A cell is one state of the instance, from the moment that it comes to the moment that it goes.
type cell struct {
	name, typename []byte // as they came
	value          []byte // what Get decodes: a view of the request, or own
	present        bool
	changed        bool
	own            []byte     // memory for the encoding of a new value
	spec           *stateSpec // what the function knows it by, once it is known
}

// reset empties the request and keeps the memory of its lists.
func (r *request) reset() {
	for i := range r.cells {
		r.cells[i] = cell{own: r.cells[i].own[:0]}
	}
	clear(r.invocations)
	r.target, r.cells, r.invocations = wireAddress[[]byte]{}, r.cells[:0], r.invocations[:0]
}

// parse reads a ToFunction into an empty request.
func (r *request) parse(body []byte) error {
	var batch []byte
	for len(body) > 0 {
		f, rest, err := nextField(body)
		if err != nil {
			return fmt.Errorf("parse ToFunction: %w", err)
		}
		if body = rest; !f.isBytes(batchField) {
			continue
		}
		if batch, err = merge(batch, f.content); err != nil {
			return fmt.Errorf("parse ToFunction: %w", err)
		}
	}
	if batch == nil {
		return errNoInvocation
	}
	if err := r.parseBatch(batch); err != nil {
		return fmt.Errorf("parse ToFunction: %w", err)
	}
	return nil
}

// parseBatch reads an InvocationBatchRequest: 1 target, 2 state, 3 invocations.
func (r *request) parseBatch(b []byte) error {
	var target []byte
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		switch {
		case f.isBytes(1):
			target, err = merge(target, f.content)
		case f.isBytes(2):
			err = r.parseState(f.content)
		case f.isBytes(3):
			err = r.parseInvocation(f.content)
		}
		if err != nil {
			return err
		}
	}
	if target == nil {
		return errNoTarget
	}
	var err error
	if r.target, err = parseAddress(target); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return nil
}

// parseState reads a PersistedValue: 1 state_name, 2 state_value.
func (r *request) parseState(b []byte) error {
	c := r.nextCell()
	var value []byte
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return fmt.Errorf("state: %w", err)
		}
		b = rest
		switch {
		case f.isBytes(1):
			c.name, err = f.text()
		case f.isBytes(2):
			value, err = merge(value, f.content)
		}
		if err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	m, present, err := parseTypedValue(value)
	if err != nil {
		return fmt.Errorf("state %q: %w", c.name, err)
	}
	if c.present = present; present {
		c.typename, c.value = m.typename, m.value
	}
	return nil
}

// nextCell appends an empty cell, with the memory that one in its place has had before.
func (r *request) nextCell() *cell {
	if len(r.cells) < cap(r.cells) {
		r.cells = r.cells[:len(r.cells)+1]
	} else {
		r.cells = append(r.cells, cell{})
	}
	return &r.cells[len(r.cells)-1]
}

// parseInvocation reads an Invocation: 1 caller, 2 argument.
func (r *request) parseInvocation(b []byte) error {
	var caller, argument []byte
	var i invocation
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return fmt.Errorf("invocation: %w", err)
		}
		b = rest
		switch {
		case f.isBytes(1):
			caller, err = merge(caller, f.content)
		case f.isBytes(2):
			argument, err = merge(argument, f.content)
		}
		if err != nil {
			return fmt.Errorf("invocation: %w", err)
		}
	}
	var err error
	if i.caller, err = parseAddress(caller); err != nil {
		return fmt.Errorf("caller: %w", err)
	}
	// An address without any part means nobody; some runtimes send it instead of none.
	i.hasCaller = len(i.caller.namespace)+len(i.caller.name)+len(i.caller.id) > 0
	if i.message, err = parseMessage(argument); err != nil {
		return fmt.Errorf("argument: %w", err)
	}
	r.invocations = append(r.invocations, i)
	return nil
}

// cell finds a state by its name. Of two with one name the first counts.
func (r *request) cell(name string) *cell {
	for i := range r.cells {
		if string(r.cells[i].name) == name {
			return &r.cells[i]
		}
	}
	return nil
}
