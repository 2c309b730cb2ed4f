package ingress

import "unicode/utf8"

// javaString decodes a record key as StateFun does on the JVM. Malformed bytes become U+FFFD, and how many
// bytes one U+FFFD stands for is Java's rule: it decides which instance a binary key reaches, so a module
// that moves here must find the same ids. It differs from Go's (a byte each) and from Unicode's in surrogates
// and at the end of the text.
func javaString(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out := make([]byte, 0, len(b)+2*utf8.UTFMax)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = malformed(b)
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return string(out)
}

// malformed returns how many bytes at the start of b, which are no rune, become one U+FFFD.
func malformed(b []byte) int {
	switch lead := b[0]; {
	case lead >= 0xe0 && lead <= 0xef:
		return malformed3(b)
	case lead >= 0xf0 && lead <= 0xf4:
		return malformed4(b)
	}
	return 1
}

// malformed3 is for the lead of a rune of three bytes.
func malformed3(b []byte) int {
	switch {
	case len(b) == 1:
		return 1
	case !continues(b[1]) || b[0] == 0xe0 && b[1] < 0xa0:
		return 1
	case len(b) == 2 || !continues(b[2]):
		return 2
	}
	return 3 // a surrogate
}

// malformed4 is for the lead of a rune of four bytes.
func malformed4(b []byte) int {
	switch {
	case len(b) == 1:
		return 1
	case !continues(b[1]) || b[0] == 0xf0 && b[1] < 0x90 || b[0] == 0xf4 && b[1] > 0x8f:
		return 1
	case len(b) == 2 || !continues(b[2]):
		return 2
	}
	return 3
}

func continues(b byte) bool { return b&0xc0 == 0x80 }
