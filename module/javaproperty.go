package module

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// javaProperty looks up a key in the text of a Java properties file; of a key given twice the later counts.
func javaProperty(text, name string) (value string, found bool) {
	eachJavaProperty(text, func(_ int, key, text string) {
		if key == name {
			value, found = text, true
		}
	})
	return value, found
}

// ReadProperties reads the properties of a Kafka client from a file, as Kafka's own tools take it.
func ReadProperties(path string) (list []Property, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the client properties: %w", err)
	}
	eachJavaProperty(string(text), func(line int, key, value string) {
		list = append(list, Property{Key: key, Value: value, Position: Position{File: path, Line: line}})
	})
	return list, nil
}

// eachJavaProperty visits the properties of a text, each with the line that it begins on.
func eachJavaProperty(text string, visit func(line int, key, value string)) {
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		number, line := i+1, strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		end := keyEnd(line)
		rest := strings.TrimLeft(line[end:], " \t\f")
		if rest != "" && (rest[0] == '=' || rest[0] == ':') {
			rest = strings.TrimLeft(rest[1:], " \t\f")
		}
		visit(number, unescape(line[:end]), unescape(rest))
	}
}

// continues reports whether a line ends with an odd number of backslashes: the next line belongs to it.
func continues(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// keyEnd is where the key of a line ends: at the first =, : or blank that no backslash stands before.
func keyEnd(line string) int {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '=', ':', ' ', '\t', '\f':
			return i
		}
	}
	return len(line)
}

// unescape takes the backslashes out. One before a letter without a meaning stands for the letter alone, as in Java.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	meaning := map[byte]byte{'t': '\t', 'n': '\n', 'r': '\r', 'f': '\f'}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		if s[i] == 'u' && i+4 < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+5], 16, 16); err == nil {
				out.WriteRune(rune(code))
				i += 4
				continue
			}
		}
		if c, is := meaning[s[i]]; is {
			out.WriteByte(c)
			continue
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
