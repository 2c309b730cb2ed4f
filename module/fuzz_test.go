package module

import "testing"

// FuzzRead shows that no text makes the reader panic, and that what it refuses has a problem.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		tail, legacyText, polyglotText, "---\n---\n", "a: &a [*a]\n", "a: &a *a", "<<: *x\n", "kind: {}\nspec: []\n", "version: 3.0\nmodule:\n",
		ingressText("", "properties:\n    - a: ${B:-c}") + tailEndpoint, egressText("  deliverySemantic: {type: exactly-once}\n") + tail,
		okHTTPText("timeouts: {call: 5s}") + tail, "? - a\n: b\n", "kind: |\n  x\n", "a: b: c", "\xff\xfe", "[{{{", "!!map {a: *b}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, lenient := range []bool{false, true} {
			r := newReader(Options{Lenient: lenient, Getenv: func(name string) (string, bool) { return name, name != "" }})
			r.read("module.yaml", []byte(text))
			m, err := r.finish()
			switch {
			case (m == nil) == (err == nil):
				t.Errorf("module %v, error %v", m, err)
			case err == nil && (len(m.Endpoints) == 0 || len(m.Ingresses) == 0 || m.Application.ID == ""):
				t.Errorf("half a module is accepted: %+v", m)
			case err != nil && len(err.(Errors)) == 0:
				t.Error("refused without a problem")
			}
		}
	})
}
