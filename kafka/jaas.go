package kafka

import (
	"errors"
	"strings"
)

// A login is what sasl.jaas.config says. It holds a secret: never print it.
type login struct {
	module  string // class name without its package
	options map[string]string
}

// errJAAS names the form and never the text, which holds the password.
var errJAAS = errors.New(`is not of the form <class>LoginModule required username="…" password="…";`)

// parseJAAS reads the one line form of Java's login configuration.
func parseJAAS(text string) (login, error) {
	words, err := jaasWords(text)
	if err != nil {
		return login{}, err
	}
	if len(words) < 2 || !strings.HasSuffix(words[0], "LoginModule") {
		return login{}, errJAAS
	}
	l := login{module: words[0][strings.LastIndexByte(words[0], '.')+1:], options: map[string]string{}}
	for _, w := range words[2:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return login{}, errJAAS
		}
		l.options[key] = value
	}
	return l, nil
}

// jaasWords splits at spaces outside quotes, takes the quotes off, and asks for the ; at the end.
func jaasWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote, ended := false, rune(0), false
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	escaped := false
	for _, c := range text {
		switch {
		case ended && !strings.ContainsRune(" \t\r\n", c):
			return nil, errJAAS
		case escaped:
			word.WriteRune(c)
			escaped = false
		case quote != 0 && c == '\\':
			escaped = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ';':
			end()
			ended = true
		case strings.ContainsRune(" \t\r\n", c):
			end()
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if quote != 0 || !ended {
		return nil, errJAAS
	}
	return words, nil
}
