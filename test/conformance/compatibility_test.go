package conformance

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var writeFlag = flag.Bool("write", false, "write docs/compatibility.md from the cases")

// TestEveryCaseIsThereOnce holds the tables against the list of behaviours: each id from A1 to H12 once.
func TestEveryCaseIsThereOnce(t *testing.T) {
	for _, s := range sections() {
		seen := map[string]int{}
		differing := 0
		for i := range s.cases {
			c := &s.cases[i]
			seen[c.ID]++
			if c.Differs != "" {
				differing++
			}
			if !strings.HasPrefix(c.ID, s.letter) || c.Shows == "" || c.Run == nil && c.By == "" {
				t.Errorf("case %q of section %s lacks its letter, what it shows, or how", c.ID, s.letter)
			}
		}
		for n := range max(s.count, len(s.cases)) {
			if id := fmt.Sprintf("%s%d", s.letter, n+1); seen[id] != 1 {
				t.Errorf("case %s is there %d times", id, seen[id])
			}
		}
		t.Logf("%s  %-34s %3d cases, %2d differ on purpose", s.letter, s.title, len(s.cases), differing)
	}
	for _, c := range everyCase() {
		if c.Differs != "" {
			t.Logf("%-4s %s: %s", c.ID, c.Shows, c.Differs)
		}
	}
}

// compatibilityPage is written from the cases; the text above and below the tables stands in compatibility.md.tmpl.
const compatibilityPage = "../../docs/compatibility.md"

// TestCompatibilityPageIsOfTheseCases holds docs/compatibility.md against the tables, or writes it.
func TestCompatibilityPageIsOfTheseCases(t *testing.T) {
	template, err := os.ReadFile(filepath.Join("testdata", "compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.NewBufferString("")
	for line := range strings.Lines(string(template)) {
		switch strings.TrimSpace(line) {
		case "{{sections}}":
			tableOfSections(want)
		case "{{differences}}":
			tableOfDifferences(want)
		case "{{cases}}":
			tableOfCases(want)
		default:
			want.WriteString(line)
		}
	}
	if *writeFlag {
		if err := os.WriteFile(compatibilityPage, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(compatibilityPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/compatibility.md is not what the cases say: go test ./test/conformance -run TestCompatibility -args -write")
	}
}

func tableOfSections(b *bytes.Buffer) {
	fmt.Fprint(b, "| | Section | Cases | Differ on purpose |\n|---|---|---|---|\n")
	all, allDiffering := 0, 0
	for _, s := range sections() {
		differing := 0
		for i := range s.cases {
			if s.cases[i].Differs != "" {
				differing++
			}
		}
		all, allDiffering = all+len(s.cases), allDiffering+differing
		fmt.Fprintf(b, "| %s | %s | %d | %d |\n", s.letter, s.title, len(s.cases), differing)
	}
	fmt.Fprintf(b, "| | together | %d | %d |\n", all, allDiffering)
}

func tableOfDifferences(b *bytes.Buffer) {
	for _, s := range sections() {
		head := fmt.Sprintf("\n### %s. %s\n\n| Case | When | Here, and why |\n|---|---|---|\n", s.letter, s.title)
		for i := range s.cases {
			c := &s.cases[i]
			if c.Differs == "" {
				continue
			}
			fmt.Fprintf(b, "%s| %s | %s | %s |\n", head, c.ID, cell(c.Shows), cell(c.Differs))
			head = ""
		}
	}
}

func tableOfCases(b *bytes.Buffer) {
	for _, s := range sections() {
		fmt.Fprintf(b, "\n### %s. %s\n\n", s.letter, s.title)
		for i := range s.cases {
			c := &s.cases[i]
			fmt.Fprintf(b, "* **%s** %s", c.ID, c.Shows)
			if c.Differs != "" {
				fmt.Fprint(b, " *(differs)*")
			}
			if c.By != "" {
				fmt.Fprintf(b, " *(with an SDK; also by %s)*", c.By)
			}
			fmt.Fprintln(b)
		}
	}
}

// cell keeps a text inside its cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
