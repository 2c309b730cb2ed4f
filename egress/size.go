package egress

import "github.com/twmb/franz-go/pkg/kgo"

// batchHead is the size of an empty record batch, format 2.
const batchHead = 61

// framing is what the client adds at most to a batch's size when it holds it against its limit: the length in front.
const framing = 4

// Size is the number of bytes of a batch that holds r alone, before compression: what max.message.bytes bounds.
// Timestamp and offset are relative to the batch's and take one byte each.
func Size(r *kgo.Record) int {
	body := 1 + 1 + 1 + sizeField(len(r.Key), r.Key == nil) + sizeField(len(r.Value), r.Value == nil) + sizeVarint(len(r.Headers))
	for _, h := range r.Headers {
		body += sizeField(len(h.Key), false) + sizeField(len(h.Value), h.Value == nil)
	}
	return batchHead + sizeVarint(body) + body
}

func sizeField(n int, null bool) int {
	if null {
		return 1
	}
	return sizeVarint(n) + n
}

// sizeVarint is the size of n as a zigzag varint.
func sizeVarint(n int) int {
	size := 1
	for z := uint64(n) << 1; z >= 0x80; z >>= 7 {
		size++
	}
	return size
}
