package protocol

import "fmt"

// An Address names one function instance.
type Address struct {
	Type TypeName
	ID   string
}

// String returns namespace/name/id.
func (a Address) String() string { return a.Type.Namespace + "/" + a.Type.Name + "/" + a.ID }

// Fields of Address: 1 namespace, 2 type, 3 id.

// AppendAddress appends a as the protobuf message Address.
func AppendAddress(dst []byte, a Address) []byte {
	dst = appendText(dst, 1, a.Type.Namespace)
	dst = appendText(dst, 2, a.Type.Name)
	return appendText(dst, 3, a.ID)
}

func sizeAddress(a Address) int {
	return sizeText(1, a.Type.Namespace) + sizeText(2, a.Type.Name) + sizeText(3, a.ID)
}

// ParseAddress reads the protobuf message Address.
func ParseAddress(b []byte) (Address, error) {
	var part [4][]byte
	for len(b) > 0 {
		var f field
		var err error
		if f, b, err = nextField(b); err != nil {
			return Address{}, fmt.Errorf("parse address: %w", err)
		}
		if f.num > 3 || !f.isBytes(f.num) {
			continue
		}
		if part[f.num], err = f.text(); err != nil {
			return Address{}, fmt.Errorf("parse address: %w", err)
		}
	}
	return newAddress(part[1], part[2], part[3]), nil
}

// newAddress copies the three texts out of their buffer in one allocation.
func newAddress(namespace, name, id []byte) Address {
	all := string(namespace) + string(name) + string(id)
	n, m := len(namespace), len(namespace)+len(name)
	return Address{Type: TypeName{Namespace: all[:n], Name: all[n:m]}, ID: all[m:]}
}
