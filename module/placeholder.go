package module

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// fill puts the environment into ${NAME} and ${NAME:-default}, and what the config providers of Kafka give into
// ${env:NAME}, ${file:PATH:KEY} and ${directory:PATH:FILE}; $${ stands for a literal ${.
// StateFun takes all of it for literal text, so a name without a value is refused and never emptied.
func (n node) fill(text string) (string, bool) {
	getenv := n.r.opt.Getenv
	if getenv == nil || !strings.Contains(text, "${") {
		return text, true
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(before)
			return out.String(), true
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(plain + "${")
			text = rest
			continue
		}
		out.WriteString(before)
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			n.report("a placeholder is not closed", "write ${NAME} or ${NAME:-default}; for a literal ${ write $${")
			return "", false
		}
		value, ok := n.lookupPlaceholder(inner, getenv)
		if !ok {
			return "", false
		}
		out.WriteString(value)
		text = after
	}
}

func (n node) lookupPlaceholder(inner string, getenv func(string) (string, bool)) (string, bool) {
	if provider, rest, is := strings.Cut(inner, ":"); is && !strings.HasPrefix(rest, "-") {
		switch provider {
		case "env":
			inner = rest
		case "file", "directory":
			value, err := fromProvider(provider, rest)
			if err != nil {
				n.report(fmt.Sprintf("placeholder ${%s}: %v", inner, err), "")
			}
			return value, err == nil
		}
	}
	name, otherwise, hasDefault := strings.Cut(inner, ":-")
	if !isVariable(name) {
		n.report(fmt.Sprintf("%q is not the name of a variable", name), "for a literal ${ write $${")
		return "", false
	}
	value, ok := getenv(name)
	switch {
	case hasDefault && value == "": // as in a shell, :- also stands in for an empty value
		return otherwise, true
	case !ok:
		n.report(fmt.Sprintf("the environment variable %s is not set", name),
			fmt.Sprintf("set it, give a default as ${%s:-…}, or write $${ for a literal ${", name))
	}
	return value, ok
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || c == '.' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// secretBytes bounds a file that a placeholder names.
const secretBytes = 1 << 20

// fromProvider gives the value of PATH:KEY, a key of a Java properties file, or of PATH:FILE, a file of a folder.
// Errors name the file and never what is in it.
func fromProvider(provider, rest string) (string, error) {
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 {
		return "", fmt.Errorf("names no key behind the path: write ${file:PATH:KEY}, or ${directory:PATH:FILE} for the content of a whole file")
	}
	path, name := rest[:colon], rest[colon+1:]
	if provider == "directory" {
		if name != filepath.Base(name) || name == ".." || name == "." {
			return "", fmt.Errorf("%q is not the name of a file in the folder", name)
		}
		text, err := readSecret(filepath.Join(path, name))
		// Editors and secret stores end a file with a line feed that is no part of the secret.
		return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), err
	}
	text, err := readSecret(path)
	if err != nil {
		return "", err
	}
	value, found := javaProperty(text, name)
	if !found {
		return "", fmt.Errorf("the file has no key %q", name)
	}
	return value, nil
}

func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, secretBytes+1))
	if err == nil && len(text) > secretBytes {
		err = fmt.Errorf("%s is longer than %d bytes", path, secretBytes)
	}
	return string(text), err
}
