package module

import (
	"encoding/json"
	"fmt"
	"strings"
)

// redacted stands in the place of a secret wherever a property is shown.
const redacted = "[hidden]"

// A Property is one entry of the properties of an ingress or egress: a Java name and its value as text.
// However it is printed or encoded, the value of a secret is left out.
type Property struct {
	Key, Value string
	Position
}

// Secret reports whether the value of a property of this name must never be shown.
func Secret(key string) bool {
	key = strings.ToLower(key)
	for _, part := range []string{"password", "secret", "jaas", "token", "credential", "keystore.key", "private"} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// Shown returns the value, or a stand-in when it is a secret.
func (p Property) Shown() string {
	if Secret(p.Key) {
		return redacted
	}
	return p.Value
}

// String returns key=value without secrets.
func (p Property) String() string { return p.Key + "=" + p.Shown() }

// GoString is String, so that %#v shows no secret either.
func (p Property) GoString() string { return fmt.Sprintf("%q", p.String()) }

// MarshalJSON encodes key and value without secrets.
func (p Property) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"key": p.Key, "value": p.Shown()})
}
