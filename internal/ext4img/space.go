package ext4img

import "fmt"

// extent is a run of blocks of a file.
type extent struct {
	logical, physical, length uint32
}

// space hands out blocks, one after the other, around the places where ext4
// keeps copies of the superblock and the group descriptors.
type space struct {
	next, end uint32
	copySize  uint32 // blocks of one such copy
}

func newSpace(blocks uint32) space {
	s := space{end: blocks, copySize: 1 + descriptorBlocks(groupsOf(blocks))}
	s.next = s.copySize
	return s
}

// take hands out up to want blocks in a row.
func (s *space) take(want uint32) (start, got uint32, err error) {
	if group := s.next / groupSize; hasCopy(group) {
		s.next = max(s.next, group*groupSize+s.copySize)
	}
	limit := s.end
	for group := s.next/groupSize + 1; uint64(group)*groupSize < uint64(min(uint64(s.next)+uint64(want), uint64(s.end))); group++ {
		if hasCopy(group) {
			limit = group * groupSize
			break
		}
	}
	if s.next >= s.end {
		return 0, 0, fmt.Errorf("the filesystem needs more than %d MiB: %w", uint64(s.end)*blockSize>>20, ErrLimit)
	}
	start = s.next
	got = min(want, limit-start)
	s.next += got
	return start, got, nil
}

// takeRow hands out exactly want blocks in a row, leaving a gap where they do
// not fit before a copy.
func (s *space) takeRow(want uint32) (uint32, error) {
	for {
		start, got, err := s.take(want)
		if err != nil || got == want {
			return start, err
		}
	}
}

// hasCopy tells if a block group holds a copy of the superblock: 0, 1 and the
// powers of 3, 5 and 7 ("sparse_super").
func hasCopy(group uint32) bool {
	if group <= 1 {
		return true
	}
	for _, base := range []uint32{3, 5, 7} {
		rest := group
		for rest%base == 0 {
			rest /= base
		}
		if rest == 1 {
			return true
		}
	}
	return false
}

func groupsOf(blocks uint32) uint32 { return (blocks + groupSize - 1) / groupSize }

func descriptorBlocks(groups uint32) uint32 {
	return (groups + descriptorsPerBlock - 1) / descriptorsPerBlock
}

// output gathers what is written in a row into larger writes.
type output struct {
	f      File
	buffer []byte
	start  int64 // where the buffer belongs
}

const outputSize = 1 << 20

func (o *output) writeBlock(block uint32, data []byte) error {
	return o.write(int64(block)*blockSize, data)
}

func (o *output) write(at int64, data []byte) error {
	if at != o.start+int64(len(o.buffer)) || len(o.buffer)+len(data) > outputSize {
		if err := o.flush(); err != nil {
			return err
		}
		o.start = at
	}
	if o.buffer == nil {
		o.buffer = make([]byte, 0, outputSize)
	}
	o.buffer = append(o.buffer, data...)
	return nil
}

func (o *output) flush() error {
	if len(o.buffer) == 0 {
		return nil
	}
	_, err := o.f.WriteAt(o.buffer, o.start)
	o.buffer = o.buffer[:0]
	return err
}
