package protocol

// KeyHash is the hash of Kafka's default partitioner (murmur2, 32 bits, as in its Java client) without
// the sign bit: a record with this key belongs to partition KeyHash(key) % partitions. Addresses are spread
// over partitions by it too, so it can never change.
func KeyHash[K string | []byte](key K) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(key))
	i := 0
	for ; i+4 <= len(key); i += 4 {
		k := uint32(key[i]) | uint32(key[i+1])<<8 | uint32(key[i+2])<<16 | uint32(key[i+3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	if tail := len(key) - i; tail > 0 {
		for j := tail - 1; j >= 0; j-- {
			h ^= uint32(key[i+j]) << (8 * j)
		}
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h & 0x7fffffff
}
