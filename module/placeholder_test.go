package module

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlaceholdersOfKafkasConfigProviders(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("password", "hush\n")
	write("secrets.properties", strings.Join([]string{
		"# a comment", "! another", "plain=one", "spaced : two words  ", "blank three", `escaped\=key=a\tb\u00e9\\`, `long=first,\`, "   second", "twice=1", "twice=2", "empty=", ""}, "\r\n"))
	write("huge", strings.Repeat("x", secretBytes+1))
	for name, c := range map[string]struct{ text, want, problem string }{
		"an environment variable":      {"${env:USER_NAME}", "alice", ""},
		"a default":                    {"${env:NOBODY:-bob}", "bob", ""},
		"a file of a folder":           {"x${directory:DIR:password}y", "xhushy", ""},
		"a key of a file":              {"${file:DIR/secrets.properties:plain}", "one", ""},
		"a colon, and spaces behind":   {"${file:DIR/secrets.properties:spaced}", "two words  ", ""},
		"a blank for the equals sign":  {"${file:DIR/secrets.properties:blank}", "three", ""},
		"escapes":                      {"${file:DIR/secrets.properties:escaped=key}", "a\tb\u00e9\\", ""},
		"two lines":                    {"${file:DIR/secrets.properties:long}", "first,second", ""},
		"given twice":                  {"${file:DIR/secrets.properties:twice}", "2", ""},
		"given and empty":              {"a${file:DIR/secrets.properties:empty}", "a", ""},
		"no such key":                  {"${file:DIR/secrets.properties:none}", "", `placeholder ${file:DIR/secrets.properties:none}: the file has no key "none"`},
		"no such file":                 {"${directory:DIR:none}", "", "placeholder ${directory:DIR:none}: open DIR/none: no such file or directory"},
		"a way out of the folder":      {"${directory:DIR:../password}", "", `placeholder ${directory:DIR:../password}: "../password" is not the name of a file in the folder`},
		"no key behind the path":       {"${file:DIR/password}", "", "placeholder ${file:DIR/password}: names no key behind the path: write ${file:PATH:KEY}, or ${directory:PATH:FILE} for the content of a whole file"},
		"a file that is no secret":     {"${directory:DIR:huge}", "", "placeholder ${directory:DIR:huge}: DIR/huge is longer than 1048576 bytes"},
		"a provider that nobody knows": {"${vault:a:b}", "", `"vault:a:b" is not the name of a variable (for a literal ${ write $${)`},
		"not set":                      {"${env:NOBODY}", "", "the environment variable NOBODY is not set (set it, give a default as ${NOBODY:-…}, or write $${ for a literal ${)"},
	} {
		t.Run(name, func(t *testing.T) {
			getenv := func(name string) (string, bool) {
				if name == "USER_NAME" {
					return "alice", true
				}
				return "", false
			}
			in := func(s string) string { return strings.ReplaceAll(s, "DIR", folder) }
			m, err := loadText(t, ingressText("", "properties:\n    - ssl.key.password: '"+in(c.text)+"'")+tailEndpoint, Options{Getenv: getenv})
			if c.problem != "" {
				if got := problemLines(t, err); got != in("module.yaml:8: spec.properties[0].ssl.key.password: "+c.problem) {
					t.Errorf("got %q", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Ingresses[0].Properties[0].Value; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
