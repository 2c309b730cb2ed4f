package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/statefun-kafka/statefun-kafka/embedded"
	"github.com/statefun-kafka/statefun-kafka/statefun"
)

func TestAViewShowsCommittedState(t *testing.T) {
	app, names := counterApp(quiet(t))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := app.View(over, greeterType.At("Ada")); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not ready: Run has not begun") {
		t.Errorf("before Run: %v", err)
	}
	early := make(chan error, 1)
	go func() {
		_, err := app.View(within(t), greeterType.At("Ada"))
		early <- err
	}()
	stop := start(t, app)
	if err := <-early; err != nil {
		t.Errorf("asked for before Run: %v", err)
	}
	for range 3 {
		if err := names.Append(within(t), "Ada", nil); err != nil {
			t.Fatal(err)
		}
	}
	readerOf(t, brokersOf(t, app), "greetings").next(3)
	await(t, "Ada's three visits", func() bool {
		v, err := app.View(within(t), greeterType.At("Ada"))
		if err != nil {
			t.Fatal(err)
		}
		n, present, err := embedded.Read(v, visits)
		return err == nil && present && n == 3 && !v.Empty() && v.Of() == greeterType.At("Ada")
	})
	v, err := app.View(within(t), greeterType.At("nobody"))
	if err != nil || !v.Empty() {
		t.Errorf("of nobody: %v, %v", v, err)
	}
	if n, present, err := embedded.Read(v, visits); n != 0 || present || err != nil {
		t.Errorf("of nobody: %d, %t, %v", n, present, err)
	}
	v, err = app.View(within(t), greeterType.At("Ada"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := embedded.Read(v, statefun.Value[string]("visits")); err == nil || !strings.Contains(err.Error(), "holds a value of type io.statefun.types/long") {
		t.Errorf("as another type: %v", err)
	}
	if _, err := app.View(within(t), statefun.TypeName("greeter").At("Ada")); err == nil || !strings.Contains(err.Error(), "namespace/name") {
		t.Errorf("without a namespace: %v", err)
	}
	stop()
	if _, err := app.View(within(t), greeterType.At("Ada")); !errors.Is(err, embedded.ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAViewIsToldThatRunEndedBeforeItBegan(t *testing.T) {
	app := embedded.New("greeter", embedded.Options{})
	asked := make(chan error, 1)
	go func() {
		_, err := app.View(within(t), greeterType.At("Ada"))
		asked <- err
	}()
	if err := app.Run(within(t)); err == nil {
		t.Error("an application of nothing runs")
	}
	if err := <-asked; !errors.Is(err, embedded.ErrStopped) {
		t.Errorf("the error is %v", err)
	}
}

func TestAViewOfAnInstanceElsewhereNamesItsOwner(t *testing.T) {
	addr := startBroker(t, "greetings")
	var apps []*embedded.App
	for _, name := range []string{"w1", "w2"} {
		o := quiet(t, addr)
		o.WorkerID, o.Partitions = name, 8
		app, _ := counterApp(o)
		start(t, app)
		awaitReady(t, app)
		apps = append(apps, app)
	}
	var elsewhere *embedded.NotOwned
	await(t, "each has instances that the other has not", func() bool {
		other := [2]bool{}
		for i, app := range apps {
			for id := range 30 {
				_, err := app.View(within(t), greeterType.At(fmt.Sprint(id)))
				switch {
				case err == nil || errors.Is(err, embedded.ErrRestoring):
				case !errors.As(err, &elsewhere):
					t.Fatal(err)
				case elsewhere.Owner == fmt.Sprint("w", 2-i):
					other[i] = true
				}
			}
		}
		return other[0] && other[1]
	})
	if !strings.Contains(elsewhere.Error(), "ask worker w") {
		t.Errorf("the error is %v", elsewhere)
	}
}
