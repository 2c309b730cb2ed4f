package statefun

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A TypeName names a function type, an egress or the type of a value: "namespace/name". A constant of it makes
// addresses:
//
//	const Cart statefun.TypeName = "shop/cart"
//	ctx.Send(Cart.At("cart-7"), add.Of(Add{Item: "tea"}))
type TypeName string

// At is the instance of this function type with that id.
func (n TypeName) At(id string) Address { return Address{Type: n, ID: id} }

// Split cuts a type name at its last slash, as the SDKs of all languages do.
func (n TypeName) Split() (namespace, name string, err error) {
	at := strings.LastIndexByte(string(n), '/')
	if at <= 0 || at == len(n)-1 || n[at-1] == '/' {
		return "", "", fmt.Errorf("type name %q is not of the form namespace/name", string(n))
	}
	if !utf8.ValidString(string(n)) {
		return "", "", fmt.Errorf("type name %q is not UTF-8", string(n))
	}
	return string(n[:at]), string(n[at+1:]), nil
}

// checkStateType refuses type names that a runtime takes for messages but not for states.
func checkStateType(n TypeName) error {
	if _, _, err := n.Split(); err != nil {
		return err
	}
	if strings.Count(string(n), "/") != 1 {
		return fmt.Errorf("type name %q of a state must have exactly one slash", string(n))
	}
	return nil
}

// An Address names one instance of a function.
type Address struct {
	Type TypeName
	ID   string
}

// String returns namespace/name/id.
func (a Address) String() string { return string(a.Type) + "/" + a.ID }

var errIDNotUTF8 = errors.New("the id is not UTF-8")

// wire is an address as it lies in a message.
func (a Address) wire() (wireAddress[string], error) {
	namespace, name, err := a.Type.Split()
	if err != nil {
		return wireAddress[string]{}, err
	}
	if !utf8.ValidString(a.ID) {
		return wireAddress[string]{}, errIDNotUTF8
	}
	return wireAddress[string]{namespace, name, a.ID}, nil
}
