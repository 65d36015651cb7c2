package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(line, "//")
		digits.WriteString(strings.Join(strings.Fields(code), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors are packets as libvirt's own client and server send them.
var vectors = []struct {
	name    string
	wire    string
	header  Header
	payload string
}{
	{
		"AUTH_LIST call",
		`0000001c // length, itself counted
		 20008086 // remote program
		 00000001 // version
		 00000042 // procedure 66
		 00000000 // call
		 00000000 // first serial
		 00000000 // ok`,
		Header{Program: 0x20008086, Version: 1, Procedure: 66, Type: Call}, "",
	},
	{
		"CONNECT_SUPPORTS_FEATURE reply",
		`00000020 // length
		 20008086 // remote program
		 00000001 // version
		 0000003c // procedure 60
		 00000001 // reply
		 00000001 // serial
		 00000000 // ok
		 00000001 // supported`,
		Header{Program: 0x20008086, Version: 1, Procedure: 60, Type: Reply, Serial: 1}, "\x00\x00\x00\x01",
	},
	{
		"keepalive ping",
		`0000001c // length
		 6b656570 // keepalive program
		 00000001 // version
		 00000001 // ping
		 00000002 // message
		 00000000 // serial
		 00000000 // ok`,
		Header{Program: 0x6b656570, Version: 1, Procedure: 1, Type: Message}, "",
	},
	{
		"stream data need no padding",
		`0000001f // length
		 20008086 // remote program
		 00000001 // version
		 000000c9 // procedure 201
		 00000003 // stream
		 00000007 // serial of the call
		 00000002 // continue
		 616263   // abc`,
		Header{Program: 0x20008086, Version: 1, Procedure: 201, Type: Stream, Serial: 7, Status: Continue}, "abc",
	},
	{
		"negative procedure",
		`0000001c 20008086 00000001 ffffffff 00000000 ffffffff 00000001`,
		Header{Program: 0x20008086, Version: 1, Procedure: -1, Serial: 1<<32 - 1, Status: Error}, "",
	},
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, tt := range vectors {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := unhex(t, tt.wire)
			packet := append(Begin(nil, tt.header), tt.payload...)
			if err := Finish(packet); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(packet, want) {
				t.Errorf("built %x, want %x", packet, want)
			}
			header, payload, err := NewReader(bytes.NewReader(want)).Next()
			if err != nil || header != tt.header || string(payload) != tt.payload {
				t.Errorf("read %+v, %q, %v", header, payload, err)
			}
		})
	}
}

// sequence is packets of many sizes, around those of the reader's buffers.
func sequence(t testing.TB) (stream []byte, sizes []int) {
	t.Helper()
	sizes = []int{0, 1, 3, firstBuffer - MinPacket, firstBuffer - MinPacket + 1, 0, keepBuffer,
		keepBuffer + 1, 5, 3*keepBuffer + 7, 2, 0}
	for i, size := range sizes {
		packet := append(Begin(nil, Header{Serial: uint32(i)}), bytes.Repeat([]byte{byte(i)}, size)...)
		if err := Finish(packet); err != nil {
			t.Fatal(err)
		}
		stream = append(stream, packet...)
	}
	return stream, sizes
}

func TestReaderTakesPacketsInAnyPieces(t *testing.T) {
	t.Parallel()
	stream, sizes := sequence(t)
	for name, source := range map[string]io.Reader{
		"at once":         bytes.NewReader(stream),
		"half":            iotest.HalfReader(bytes.NewReader(stream)),
		"byte by byte":    iotest.OneByteReader(bytes.NewReader(stream)),
		"data with error": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := NewReader(source)
			for i, size := range sizes {
				header, payload, err := r.Next()
				if err != nil {
					t.Fatalf("packet %d: %v", i, err)
				}
				if header.Serial != uint32(i) || !bytes.Equal(payload, bytes.Repeat([]byte{byte(i)}, size)) {
					t.Fatalf("packet %d: got serial %d and %d bytes, want %d bytes", i, header.Serial, len(payload), size)
				}
			}
			if _, _, err := r.Next(); err != io.EOF {
				t.Fatalf("at the end: %v, want EOF", err)
			}
			if len(r.buf) > keepBuffer {
				t.Errorf("a buffer of %d bytes was kept", len(r.buf))
			}
		})
	}
}

// Whoever takes a packet's buffer keeps its payload, and the reader loses
// nothing of what follows.
func TestReaderSwap(t *testing.T) {
	t.Parallel()
	stream, sizes := sequence(t)
	for _, recycled := range []int{0, firstBuffer, 4 * keepBuffer} {
		r := NewReader(iotest.HalfReader(bytes.NewReader(stream)))
		var kept [][]byte
		for range sizes {
			_, payload, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			r.Swap(make([]byte, recycled))
			kept = append(kept, payload)
		}
		if _, _, err := r.Next(); err != io.EOF {
			t.Fatalf("at the end: %v, want EOF", err)
		}
		for i, payload := range kept {
			if !bytes.Equal(payload, bytes.Repeat([]byte{byte(i)}, sizes[i])) {
				t.Errorf("buffers of %d bytes: packet %d was overwritten", recycled, i)
			}
		}
		if _, _, err := r.Next(); err != io.EOF || len(r.buf) > keepBuffer {
			t.Errorf("a buffer of %d bytes was kept, %v", len(r.buf), err)
		}
	}
}

func TestReaderRefusesImpossibleLengths(t *testing.T) {
	t.Parallel()
	for _, length := range []uint32{0, 4, MinPacket - 1, MaxPacket + 1, 1<<32 - 1} {
		packet := append(binary.BigEndian.AppendUint32(nil, length), make([]byte, 64)...)
		if _, _, err := NewReader(bytes.NewReader(packet)).Next(); !errors.Is(err, ErrLength) {
			t.Errorf("length %d: error %v, want ErrLength", length, err)
		}
	}
}

func TestReaderKeepsItsLimit(t *testing.T) {
	t.Parallel()
	packet := unhex(t, vectors[1].wire)
	r := NewReader(bytes.NewReader(packet))
	r.Limit(len(packet) - 1)
	if _, _, err := r.Next(); !errors.Is(err, ErrLength) {
		t.Errorf("error %v, want ErrLength", err)
	}
	r = NewReader(bytes.NewReader(packet))
	r.Limit(len(packet))
	if _, _, err := r.Next(); err != nil {
		t.Error(err)
	}
}

func TestReaderEndsInsideAPacket(t *testing.T) {
	t.Parallel()
	packet := unhex(t, vectors[1].wire)
	for n := 1; n < len(packet); n++ {
		if _, _, err := NewReader(bytes.NewReader(packet[:n])).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d bytes: %v, want ErrUnexpectedEOF", n, err)
		}
	}
}

// A length word alone must not make the reader take memory.
func TestReaderAllocatesAsDataArrives(t *testing.T) {
	t.Parallel()
	start := append(binary.BigEndian.AppendUint32(nil, MaxPacket), make([]byte, 3*firstBuffer)...)
	r := NewReader(bytes.NewReader(start))
	if _, _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("error %v", err)
	}
	if len(r.buf) > 4*firstBuffer {
		t.Errorf("%d bytes arrived, the buffer has %d", len(start), len(r.buf))
	}
}

func TestFinishRefusesLargePackets(t *testing.T) {
	t.Parallel()
	if err := Finish(make([]byte, MaxPacket)); err != nil {
		t.Errorf("a packet of the largest size: %v", err)
	}
	if err := Finish(make([]byte, MaxPacket+1)); err == nil {
		t.Error("a packet too large was finished")
	}
}

// countingWriter notes each call and fails from the failAt-th on.
type countingWriter struct {
	bytes.Buffer
	calls, failAt int
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.calls++
	if w.failAt > 0 && w.calls >= w.failAt {
		return 0, io.ErrClosedPipe
	}
	return w.Buffer.Write(p)
}

func TestWriterKeepsPacketsWhole(t *testing.T) {
	t.Parallel()
	sink := &countingWriter{}
	w := NewWriter(sink)
	var group sync.WaitGroup
	const writers, each = 8, 50
	for i := range writers {
		group.Go(func() {
			packet := append(Begin(nil, Header{Serial: uint32(i)}), bytes.Repeat([]byte{byte(i)}, 100+i)...)
			if err := Finish(packet); err != nil {
				t.Error(err)
			}
			for range each {
				if err := w.Write(packet); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if sink.calls != writers*each {
		t.Errorf("%d writes for %d packets", sink.calls, writers*each)
	}
	r := NewReader(&sink.Buffer)
	for range writers * each {
		header, payload, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(payload, bytes.Repeat([]byte{byte(header.Serial)}, 100+int(header.Serial))) {
			t.Fatalf("packet of %d is mixed up", header.Serial)
		}
	}
}

func TestWriterStopsAfterAnError(t *testing.T) {
	t.Parallel()
	sink := &countingWriter{failAt: 2}
	w := NewWriter(sink)
	for i, want := range []error{nil, io.ErrClosedPipe, io.ErrClosedPipe} {
		if err := w.Write(make([]byte, MinPacket)); !errors.Is(err, want) {
			t.Errorf("write %d: %v, want %v", i, err, want)
		}
	}
	if sink.calls != 2 {
		t.Errorf("%d writes, want none after the failure", sink.calls)
	}
}

// FuzzReader checks that any stream yields packets that are built again to the
// same bytes, or an error.
func FuzzReader(f *testing.F) {
	stream, _ := sequence(f)
	f.Add(stream[:2*firstBuffer])
	f.Add([]byte("\x00\x00\x00\x1cgarbage behind a length that fits.."))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := NewReader(iotest.HalfReader(bytes.NewReader(stream)))
		var rebuilt []byte
		for {
			header, payload, err := r.Next()
			if err != nil {
				break
			}
			packet := append(Begin(nil, header), payload...)
			if err := Finish(packet); err != nil {
				t.Fatal(err)
			}
			rebuilt = append(rebuilt, packet...)
		}
		if !bytes.HasPrefix(stream, rebuilt) {
			t.Fatalf("read %x out of %x", rebuilt, stream)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	packet := append(Begin(nil, Header{Serial: 1}), make([]byte, 36)...)
	if err := Finish(packet); err != nil {
		b.Fatal(err)
	}
	r := NewReader(&endless{packet: packet})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// endless yields one packet a Read, as a socket does whose client waits for
// each reply.
type endless struct{ packet []byte }

func (e *endless) Read(p []byte) (int, error) { return copy(p, e.packet), nil }
