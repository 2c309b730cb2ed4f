package worker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// briefBytes is how much of a text the log gets.
const briefBytes = 8 << 10

// brief is a handler that cuts long texts: an error names what a function made up, an id or the name of a state, and that
// has any length up to the largest answer.
type brief struct{ slog.Handler }

// Handle hands a line on.
func (b brief) Handle(ctx context.Context, r slog.Record) error {
	line := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		line.AddAttrs(cutText(a))
		return true
	})
	return b.Handler.Handle(ctx, line)
}

// WithAttrs is the handler with further attributes, which nobody makes up.
func (b brief) WithAttrs(attrs []slog.Attr) slog.Handler { return brief{b.Handler.WithAttrs(attrs)} }

// WithGroup is the handler with a group.
func (b brief) WithGroup(name string) slog.Handler { return brief{b.Handler.WithGroup(name)} }

func cutText(a slog.Attr) slog.Attr {
	var text string
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		text = v.String()
	case slog.KindAny:
		err, is := v.Any().(error)
		if !is {
			return a
		}
		text = fmt.Sprint(err) // of a program's callback; its Error may panic, which fmt and every other handler outlive
	default:
		return a
	}
	if len(text) <= briefBytes {
		return a
	}
	return slog.String(a.Key, fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:briefBytes], ""), len(text)))
}
