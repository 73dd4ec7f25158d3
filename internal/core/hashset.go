package core

// hashSet is a set of hashes in one array, by open addressing with linear
// probing: a lookup costs about one cache line, and the collector has nothing
// to look at. It holds no zero, which stands for an empty place; the hash zero
// is kept as one, which at worst is a false match. The zero value is ready.
type hashSet struct {
	slots []uint64 // a power of two of them, at most half of them taken
	count int
}

const smallestSet = 1024

func (s *hashSet) place(h uint64) (i uint64, found bool) {
	mask := uint64(len(s.slots) - 1)
	for i = h & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case h:
			return i, true
		case 0:
			return i, false
		}
	}
}

func (s *hashSet) contains(h uint64) bool {
	if s.count == 0 {
		return false
	}
	_, found := s.place(max(h, 1))
	return found
}

func (s *hashSet) add(h uint64) {
	h = max(h, 1)
	if 2*(s.count+1) > len(s.slots) {
		s.grow()
	}
	if i, found := s.place(h); !found {
		s.slots[i] = h
		s.count++
	}
}

func (s *hashSet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(2*len(old), smallestSet))
	for _, h := range old {
		if h != 0 {
			i, _ := s.place(h)
			s.slots[i] = h
		}
	}
}

// clear empties the set and keeps its room.
func (s *hashSet) clear() {
	clear(s.slots)
	s.count = 0
}
