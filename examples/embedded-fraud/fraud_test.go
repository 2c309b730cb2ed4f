package main

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statefun-kafka/statefun-kafka/statefun/statefuntest"
)

// TestTheProgramTellsItsStory runs all of it. What one customer does stays in order; customers are mixed.
func TestTheProgramTellsItsStory(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, &out, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Logf("\n%s", out.String())
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{
		"decision  ada pays 3.50 at café (DE): approved, nothing unusual",
		"decision  ada pays 18.90 at books (DE): approved, nothing unusual",
		"to ada    did you pay 950.00 at gems (NZ)? (abroad, far more than usual)",
		"ada       no",
		"decision  ada pays 950.00 at gems (NZ): DECLINED, the customer does not know it, the account is blocked",
		"decision  ada pays 3.50 at café (DE): DECLINED, the account is blocked",
		"decision  bob pays 4.20 at café (FR): approved, nothing unusual",
		"to bob    did you pay 410.00 at hotel (ES)? (abroad, far more than usual)",
		"bob       yes",
		"decision  bob pays 410.00 at hotel (ES): approved, the customer knows it",
		"decision  bob pays 15.00 at books (FR): approved, nothing unusual",
		"decision  carl pays 22.00 at books (DE): approved, nothing unusual",
		"to carl   did you pay 899.00 at phones (US)? (abroad, far more than usual)",
		"decision  carl pays 899.00 at phones (US): DECLINED, no answer from the customer",
		"decision  dora pays 3.90 at café (DE): approved, nothing unusual",
		"to dora   did you pay 15.00 at gems (NZ)? (abroad, a merchant with a record)",
		"dora      yes",
		"decision  dora pays 15.00 at gems (NZ): approved, the customer knows it",
		"merchant  gems: 2 payments, 1 of them fraud",
	}
	for _, of := range []string{"ada", "bob", "carl", "dora", "merchant"} {
		mine := func(line string) bool { return !strings.Contains(line, of) }
		if g, w := slices.DeleteFunc(slices.Clone(got), mine), slices.DeleteFunc(slices.Clone(want), mine); !slices.Equal(g, w) {
			t.Errorf("of %s came\n%s\nand not\n%s", of, strings.Join(g, "\n"), strings.Join(w, "\n"))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines and not %d", len(got), len(want))
	}
}

// TestAnAnswerAfterTheDecisionChangesNothing runs the functions alone, on a clock that the test turns.
func TestAnAnswerAfterTheDecisionChangesNothing(t *testing.T) {
	h := statefuntest.New(t, newAccount(time.Hour), merchant)
	account := accountType.At("ada")
	pay := func(id, country string, cents int64) {
		h.Send(account, paymentType.Of(Payment{ID: id, Account: "ada", Merchant: "gems", Country: country, Cents: cents}))
	}
	pay("p1", "DE", 100)
	pay("p2", "NZ", 90_000)
	if n := len(h.Egress(questions)); n != 1 {
		t.Fatalf("%d questions", n)
	}
	h.Advance(2 * time.Hour)
	h.Send(account, answerType.Of(Answer{"p2", false}))
	if n := len(h.Kafka("bank/decisions")); n != 2 {
		t.Errorf("%d decisions", n)
	}
	if known, _ := statefuntest.State(h, account, profile); known.Blocked || known.Payments != 1 {
		t.Errorf("the profile is %+v", known)
	}
}
