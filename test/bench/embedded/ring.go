package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/statefun-kafka/statefun-kafka/statefun"
	"github.com/statefun-kafka/statefun-kafka/test/bench/record"
)

// ring is a circle of addresses. From each of them some messages set out, and each goes to a number of addresses, so that
// every address gets messages times hops of them, and its count says so when it has.
type ring struct {
	addresses, messages int
	hops                int64
}

func (r ring) next(id string) (statefun.Address, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(id, "id-"), 10, 32)
	if err != nil {
		return statefun.Address{}, fmt.Errorf("read the id %q: %w", id, err)
	}
	return statefun.TypeName("bench/ring").At(record.ID(uint32((n + 1) % uint64(r.addresses)))), nil
}

// turn returns the function of the ring.
func (r ring) turn(out func(*statefun.Context, []byte) error) func(*statefun.Context, statefun.Message) error {
	return func(ctx *statefun.Context, m statefun.Message) error {
		next, err := r.next(ctx.Self().ID)
		if err != nil {
			return err
		}
		if values.Is(m) {
			for range r.messages {
				ctx.Send(next, statefun.Int64.Of(r.hops))
			}
			return nil
		}
		left, err := statefun.Int64.From(m)
		if err != nil {
			return err
		}
		n, err := count.Get(ctx)
		if err != nil {
			return err
		}
		count.Set(ctx, n+1)
		if left > 1 {
			ctx.Send(next, statefun.Int64.Of(left-1))
		}
		if n+1 != int64(r.messages)*r.hops {
			return nil
		}
		seq, err := strconv.ParseUint(strings.TrimPrefix(ctx.Self().ID, "id-"), 10, 32)
		if err != nil {
			return err
		}
		value := record.New(seq, ctx.Now())
		record.SetCount(value, n+1)
		return out(ctx, value)
	}
}
