package worker

// slab hands out memory for the messages of one answer, several from one piece: they are many and small. A piece stays
// while one of its messages does, so it is small too, next to what a waiting input costs besides its bytes.
type slab struct{ free []byte }

// slabBytes is the size of a piece, and slabShare the largest part of it that one message may take.
const (
	slabBytes = 512
	slabShare = slabBytes / 4
)

// take returns room for size bytes, and no more.
func (s *slab) take(size int) []byte {
	if size > slabShare {
		return make([]byte, 0, size)
	}
	if len(s.free) < size {
		s.free = make([]byte, slabBytes)
	}
	room := s.free[:0:size]
	s.free = s.free[size:]
	return room
}
