package statefun

import (
	"errors"
	"fmt"
	"time"
	"unicode"
)

// A State is a [ValueSpec] of any type: what a function declares in [Function.States].
type State interface {
	spec() *stateSpec
}

// A ValueSpec describes a value that the runtime keeps for each instance of a function. It holds no value itself:
// it is made once, as a package variable, and used by all instances with their Context.
type ValueSpec[T any] struct {
	state stateSpec
	typ   Type[T]
}

// An Expiration says when a value is forgotten that is not used any more.
type Expiration struct {
	mode  expireMode
	after time.Duration
}

// expireMode has the numbers of the protocol.
type expireMode uint64

const (
	expireNone expireMode = iota
	expireAfterWrite
	expireAfterInvoke
)

// ExpireAfterWrite forgets a value that long after it was written last.
func ExpireAfterWrite(d time.Duration) Expiration { return Expiration{expireAfterWrite, d} }

// ExpireAfterInvoke forgets a value that long after its instance was called last.
func ExpireAfterInvoke(d time.Duration) Expiration { return Expiration{expireAfterInvoke, d} }

// Value describes a state of a type that every StateFun SDK knows: Value[int64]("visits"). At most one
// expiration may be given; without it a value stays until it is removed.
func Value[T Simple](name string, expiration ...Expiration) *ValueSpec[T] {
	return ValueOf(name, simpleType[T](), expiration...)
}

// ValueOf describes a state of any other type. A runtime keeps the name of the type with the value, so changing it
// later means another name for the state.
func ValueOf[T any](name string, t Type[T], expiration ...Expiration) *ValueSpec[T] {
	v := &ValueSpec[T]{typ: t, state: stateSpec{name: name, typename: t.name, noCodec: t.codec == nil}}
	v.state.expirations = len(expiration)
	if len(expiration) > 0 {
		v.state.expiration = expiration[0]
	}
	return v
}

// Name is the state's name.
func (v *ValueSpec[T]) Name() string { return v.state.name }

// Type is the type of the value.
func (v *ValueSpec[T]) Type() Type[T] { return v.typ }

// Get is the value of the instance that ctx is for; one that was never set, or has expired, reads as the zero value, and
// as an empty message if it is a protobuf message.
func (v *ValueSpec[T]) Get(ctx *Context) (T, error) {
	value, _, err := v.Lookup(ctx)
	return value, err
}

// Lookup is Get that tells an absent value from a zero one.
func (v *ValueSpec[T]) Lookup(ctx *Context) (value T, present bool, err error) {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	c, err := ctx.cell(&v.state)
	if err != nil {
		return v.typ.zero(), false, err
	}
	if !c.present {
		return v.typ.zero(), false, nil
	}
	value, err = v.typ.Decode(c.value)
	if err != nil {
		return value, true, fmt.Errorf("state %q of %s: %w", v.state.name, ctx.Self(), err)
	}
	return value, true, nil
}

// Set gives the instance that ctx is for a new value.
func (v *ValueSpec[T]) Set(ctx *Context, value T) {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	c, err := ctx.cell(&v.state)
	if err == nil {
		c.own, err = v.typ.append(c.own[:0], value)
	}
	if err != nil {
		ctx.fail(fmt.Errorf("set state %q: %w", v.state.name, err))
		return
	}
	c.value, c.present, c.changed, c.spec = c.own, true, true, &v.state
}

// Remove takes the value away from the instance that ctx is for.
func (v *ValueSpec[T]) Remove(ctx *Context) {
	ctx.call.mu.Lock()
	defer ctx.call.mu.Unlock()
	c, err := ctx.cell(&v.state)
	if err != nil {
		ctx.fail(fmt.Errorf("remove state %q: %w", v.state.name, err))
		return
	}
	c.value, c.present, c.changed, c.spec = nil, false, true, &v.state
}

func (v *ValueSpec[T]) spec() *stateSpec { return &v.state }

// stateSpec is what the protocol's PersistedValueSpec tells, and what is wrong with it.
type stateSpec struct {
	name        string
	typename    TypeName
	expiration  Expiration
	expirations int
	noCodec     bool
}

// check refuses what a runtime would refuse later, or take for something else.
func (s *stateSpec) check() error {
	var faults []error
	if !isIdentifier(s.name) {
		faults = append(faults, errors.New("the name must be letters, digits and _, and begin with no digit"))
	}
	if s.noCodec {
		faults = append(faults, errNoCodec)
	}
	if err := checkStateType(s.typename); err != nil {
		faults = append(faults, err)
	}
	if s.expirations > 1 {
		faults = append(faults, errors.New("there are several expirations"))
	}
	if e := s.expiration; e.mode != expireNone && e.after < time.Millisecond {
		faults = append(faults, fmt.Errorf("it expires after %s, which is less than a millisecond", e.after))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("state %q: %w", s.name, err)
	}
	return nil
}

// isIdentifier is the rule of the Java SDK, the widest of all.
func isIdentifier(s string) bool {
	for i, r := range s {
		if r == '_' || unicode.IsLetter(r) || i > 0 && unicode.IsDigit(r) {
			continue
		}
		return false
	}
	return s != ""
}
