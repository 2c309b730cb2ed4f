package embedded_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// programs gives the Go code of docs/embedding.md, one text a block.
func programs(t *testing.T) (blocks []string) {
	t.Helper()
	guide, err := os.ReadFile("../docs/embedding.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rest := range strings.Split(string(guide), "```go\n")[1:] {
		block, _, found := strings.Cut(rest, "```")
		if !found {
			t.Fatal("a block of the guide has no end")
		}
		blocks = append(blocks, block)
	}
	return blocks
}

func TestTheProgramOfTheGuideDoesWhatItSays(t *testing.T) {
	source := write(t, "main.go", programs(t)[0])
	out, err := exec.Command("go", "run", source).CombinedOutput()
	if want := "Hello Ada, visit number 1\nHello Grace, visit number 1\nHello Ada, visit number 2\n"; err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}

// surroundings are what the other blocks of the guide speak of.
const surroundings = `package guide

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/module"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

type (
	Click struct{ Page string }
	Order struct { User string; Items []string }
	Alarm struct{ Level int }
)

var (
	clickType = statefun.JSON[Click]("shop/Click")
	orderType = statefun.JSON[Order]("shop/Order")
	alarmType = statefun.JSON[Alarm]("shop/Alarm")
	pagesSeen = statefun.Value[int64]("pages")
	visits    = statefun.Value[int64]("visits")
	cart      = statefun.Function{Type: "shop/cart"}
	greeter   = statefun.Function{Type: "example/greeter", States: []statefun.State{visits}, Invoke: greet}
)

func greet(ctx *statefun.Context, m statefun.Message) error {
	n, err := visits.Get(ctx)
	visits.Set(ctx, n+1)
	ctx.Egress("example/greets", statefun.String.Of(fmt.Sprintf("Hello %s, visit number %d", ctx.Self().ID, n+1)))
	return err
}

func page(context.Context, string, Alarm) error { return nil }

var (
	_ = errors.New
	_ = slog.Info
	_ = time.Second
	_ = prometheus.NewRegistry
	_ module.Limits
)
`

// TestTheOtherBlocksOfTheGuideCompile puts each block that is not a whole program into a function, and runs the test among
// them.
func TestTheOtherBlocksOfTheGuideCompile(t *testing.T) {
	var source strings.Builder
	source.WriteString(surroundings)
	for i, block := range programs(t)[1:] {
		if strings.HasPrefix(block, "func ") {
			source.WriteString(block)
			continue
		}
		uses := ""
		for _, name := range []string{"shop", "pages", "present"} { // what a block only makes
			if strings.Contains(block, name+" := ") || strings.Contains(block, name+", ") && strings.Contains(block, "embedded.Read") {
				uses += "_ = " + name + "\n"
			}
		}
		fmt.Fprintf(&source, "\nfunc block%d(ctx context.Context, app *embedded.App) error {\n%s%sreturn nil\n}\n", i+1, block, uses)
	}
	file := write(t, "guide_test.go", source.String())
	cmd := exec.Command("go", "test", "-vet=off", file)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "ok") {
		t.Errorf("%v\n%s\n%s", err, out, source.String())
	}
}
