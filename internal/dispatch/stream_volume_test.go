package dispatch

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/driver"
	"virtumld/internal/proto"
	"virtumld/internal/virerr"
	"virtumld/internal/wire"
)

var errFull = virerr.In(virerr.Storage, libvirt.ErrSystemError, "no space left on device")

// sink is a volume that takes an upload. Holes are zeros.
type sink struct {
	gate               chan struct{} // when not nil, each Write takes one
	writeErr, holeErr  error
	finishErr          error
	closed             chan struct{}
	content            bytes.Buffer
	discard            bool // keep no content
	finishes, closings int
}

func newSink() *sink { return &sink{closed: make(chan struct{})} }

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	if s.writeErr != nil {
		return 0, s.writeErr
	}
	if s.discard {
		return len(p), nil
	}
	return s.content.Write(p)
}

func (s *sink) Hole(n int64) error {
	s.content.Write(make([]byte, n))
	return s.holeErr
}

func (s *sink) Finish() error {
	s.finishes++
	return s.finishErr
}

func (s *sink) Close() error {
	if s.closings++; s.closings == 1 {
		close(s.closed)
	}
	return nil
}

func uploading(t testing.TB, sink *sink, sparse bool) *streamClient {
	t.Helper()
	backend := newBackend()
	backend.upload = driver.Upload{Upload: sink, Sparse: sparse}
	return serve(t, backend, Options{}).openStream(t, proto.StorageVolUpload, &libvirt.StorageVolUploadArgs{})
}

func (s *streamClient) sendHole(hole any) {
	s.t.Helper()
	h := s.header
	h.Type, h.Status = wire.StreamHole, wire.Continue
	s.send(h, hole)
}

// alive checks that the connection is of use still.
func (s *streamClient) alive() {
	s.t.Helper()
	s.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
}

// ended checks how an upload has ended.
func (s *sink) ended(t testing.TB, content string, finishes int) {
	t.Helper()
	receive(t, s.closed)
	if s.content.String() != content {
		t.Errorf("the volume has %d bytes, want %d: %.40q", s.content.Len(), len(content), s.content.String())
	}
	if s.finishes != finishes || s.closings != 1 {
		t.Errorf("finished %d times, closed %d times; want %d and 1", s.finishes, s.closings, finishes)
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	sink := newSink()
	s := uploading(t, sink, true)
	s.sendStatus(wire.Continue, "data")
	s.sendHole(&streamHole{Length: 3})
	s.sendStatus(wire.Continue, "") // nothing
	s.sendStatus(wire.Continue, "more")
	s.sendStatus(wire.OK, "")
	s.expect(wire.OK, "")
	sink.ended(t, "data\x00\x00\x00more", 1)
	s.sendStatus(wire.Continue, "late") // is dropped
	s.alive()
}

// Packets of any size arrive whole, however they lie in the reader's buffers,
// and calls are served in between.
func TestUploadOfManySizes(t *testing.T) {
	t.Parallel()
	sink := newSink()
	s := uploading(t, sink, false)
	var want bytes.Buffer
	for i, size := range []int{1, 5000, wire.MaxStreamPayload, wire.MaxStreamPayload, 1 << 20, 7, wire.MaxStreamPayload, 100, 3 << 20, wire.MaxStreamPayload} {
		data := bytes.Repeat([]byte{byte('a' + i)}, size)
		want.Write(data)
		s.sendStatus(wire.Continue, string(data))
		if i%3 == 0 {
			s.alive()
		}
	}
	s.sendStatus(wire.OK, "")
	s.expect(wire.OK, "")
	sink.ended(t, want.String(), 1)
}

func TestUploadIsNotFinishedUnlessTheClientSaysSo(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*streamClient){
		"aborted": func(s *streamClient) {
			s.sendStatus(wire.Error, "")
			s.expect(wire.OK, "")
			s.alive()
		},
		"vanished": func(s *streamClient) {
			if err := s.conn.Close(); err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := newSink()
			s := uploading(t, sink, false)
			s.sendStatus(wire.Continue, "half of")
			leave(s)
			receive(t, sink.closed)
			if sink.finishes != 0 || sink.closings != 1 {
				t.Errorf("finished %d times, closed %d times", sink.finishes, sink.closings)
			}
		})
	}
}

// A volume that is slow slows the client down, and nothing is lost.
func TestSlowVolumeThrottlesTheClient(t *testing.T) {
	t.Parallel()
	sink := newSink()
	sink.gate = make(chan struct{})
	s := uploading(t, sink, false)
	const packets = 60
	var want []byte
	for i := range packets {
		want = append(want, bytes.Repeat([]byte{byte(i)}, 100<<10)...)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		for piece := range slices.Chunk(want, 100<<10) {
			h := s.header
			h.Status = wire.Continue
			packet := append(wire.Begin(nil, h), piece...)
			if err := errors.Join(wire.Finish(packet), s.writer.Write(packet)); err != nil {
				t.Error(err)
			}
		}
	})
	for range packets {
		sink.gate <- struct{}{}
	}
	sending.Wait()
	s.sendStatus(wire.OK, "")
	s.expect(wire.OK, "")
	sink.ended(t, string(want), 1)
}

func TestUploadFailure(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sink *sink
		send func(*streamClient)
		code libvirt.ErrorNumber
	}{
		"write":           {&sink{writeErr: errFull}, func(s *streamClient) { s.sendStatus(wire.Continue, "x") }, libvirt.ErrSystemError},
		"hole":            {&sink{holeErr: errFull}, func(s *streamClient) { s.sendHole(&streamHole{Length: 1}) }, libvirt.ErrSystemError},
		"empty hole":      {&sink{}, func(s *streamClient) { s.sendHole(&streamHole{}) }, libvirt.ErrInvalidArg},
		"negative hole":   {&sink{}, func(s *streamClient) { s.sendHole(&streamHole{Length: -1}) }, libvirt.ErrInvalidArg},
		"hole with flags": {&sink{}, func(s *streamClient) { s.sendHole(&streamHole{Length: 1, Flags: 1}) }, libvirt.ErrInvalidArg},
		"finish":          {&sink{finishErr: errFull}, func(s *streamClient) { s.sendStatus(wire.OK, "") }, libvirt.ErrSystemError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.sink.closed = make(chan struct{})
			s := uploading(t, tt.sink, true)
			tt.send(s)
			s.expectError(tt.code)
			receive(t, tt.sink.closed)
			for range 5 {
				s.sendStatus(wire.Continue, "crosses the failure")
			}
			s.sendStatus(wire.OK, "")
			s.alive()
		})
	}
}

// A client that sends what its stream cannot carry is out of step.
func TestHoleThatEndsTheConnection(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sparse bool
		hole   any
	}{
		"not sparse": {false, &streamHole{Length: 1}},
		"malformed":  {true, []byte("short")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := newSink()
			s := uploading(t, sink, tt.sparse)
			s.sendHole(tt.hole)
			s.rawClient.ended()
			sink.ended(t, "", 0)
		})
	}
}

// source is a volume that is downloaded: its extents are data, or with "" a
// hole of holeSize bytes.
type source struct {
	extents []string
	failure error // instead of the end
	closed  chan struct{}
	endless bool
}

const holeSize = 1 << 20

func newSource(extents ...string) *source {
	return &source{extents: extents, closed: make(chan struct{})}
}

func (s *source) Read(p []byte) (int, error) {
	switch {
	case s.endless:
		return len(p), nil
	case len(s.extents) == 0 && s.failure != nil:
		return 0, s.failure
	case len(s.extents) == 0:
		return 0, io.EOF
	}
	n := copy(p, s.extents[0])
	if s.extents[0] = s.extents[0][n:]; s.extents[0] == "" {
		s.extents = s.extents[1:]
	}
	return n, nil
}

func (s *source) NextExtent() (data bool, length int64, err error) {
	switch {
	case len(s.extents) == 0:
		return false, 0, s.failure
	case s.extents[0] == "":
		return false, holeSize, nil
	default:
		return true, int64(len(s.extents[0])), nil
	}
}

func (s *source) SkipHole(int64) error {
	s.extents = s.extents[1:]
	return nil
}

func (s *source) Close() error {
	close(s.closed)
	return nil
}

func downloading(t testing.TB, source *source, sparse bool) *streamClient {
	t.Helper()
	backend := newBackend()
	backend.download = driver.Download{Download: source, Sparse: sparse}
	return serve(t, backend, Options{}).openStream(t, proto.StorageVolDownload, &libvirt.StorageVolDownloadArgs{})
}

func TestDownload(t *testing.T) {
	t.Parallel()
	big := string(bytes.Repeat([]byte("0123456789"), wire.MaxStreamPayload/10))
	source := newSource(big + "tail")
	s := downloading(t, source, false)
	s.expect(wire.Continue, big)
	s.expect(wire.Continue, "tail")
	s.expect(wire.Continue, "") // the end of the data
	select {
	case <-source.closed:
	default:
		t.Error("the client hears of the end while its volume is still read")
	}
	s.sendStatus(wire.OK, "")
	s.expect(wire.OK, "")
	receive(t, source.closed)
	s.alive()
}

func TestSparseDownload(t *testing.T) {
	t.Parallel()
	big := string(bytes.Repeat([]byte("0123456789"), wire.MaxStreamPayload/10))
	source := newSource("", "abc", "", big+"tail", "")
	s := downloading(t, source, true)
	hole := func() {
		t.Helper()
		want := s.header
		want.Type, want.Status = wire.StreamHole, wire.Continue
		if h, payload := s.next(); h != want || string(payload) != "\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00" {
			t.Fatalf("got %+v %x, want a hole of %d bytes", h, payload, holeSize)
		}
	}
	hole()
	s.expect(wire.Continue, "abc")
	hole()
	s.expect(wire.Continue, big)
	s.expect(wire.Continue, "tail")
	hole()
	s.expect(wire.Continue, "")
	s.sendStatus(wire.OK, "")
	s.expect(wire.OK, "")
	receive(t, source.closed)
}

func TestDownloadFailure(t *testing.T) {
	t.Parallel()
	for name, sparse := range map[string]bool{"plain": false, "sparse": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := newSource("abc")
			source.failure = errFull
			s := downloading(t, source, sparse)
			s.expect(wire.Continue, "abc")
			s.expectError(libvirt.ErrSystemError)
			receive(t, source.closed)
			s.sendStatus(wire.Error, "") // crosses the failure
			s.alive()
		})
	}
}

// A client may end a download at any time.
func TestDownloadEndedByTheClient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end  func(*streamClient)
		code libvirt.ErrorNumber // 0: confirmed
	}{
		"finish": {func(s *streamClient) { s.sendStatus(wire.OK, "") }, 0},
		"abort":  {func(s *streamClient) { s.sendStatus(wire.Error, "") }, 0},
		"data":   {func(s *streamClient) { s.sendStatus(wire.Continue, "no") }, libvirt.ErrOperationInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := newSource()
			source.endless = true
			s := downloading(t, source, false)
			s.next()
			tt.end(s)
			for {
				h, payload := s.next()
				if h.Status == wire.Continue {
					continue
				}
				if tt.code == 0 && h.Status != wire.OK || tt.code != 0 && decodeError(t, payload).Code != int32(tt.code) {
					t.Errorf("the stream ended with %+v %q", h, payload)
				}
				break
			}
			receive(t, source.closed)
			s.alive()
		})
	}
}

func TestDownloadOfAClientThatVanishes(t *testing.T) {
	t.Parallel()
	source := newSource()
	source.endless = true
	s := downloading(t, source, false)
	s.next()
	if err := s.conn.Close(); err != nil {
		t.Fatal(err)
	}
	receive(t, source.closed)
}

func BenchmarkUpload(b *testing.B) {
	sink := newSink()
	sink.discard = true
	s := uploading(b, sink, false)
	h := s.header
	h.Status = wire.Continue
	packet := append(wire.Begin(nil, h), make([]byte, wire.MaxStreamPayload)...)
	if err := wire.Finish(packet); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(packet)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.writer.Write(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDownload(b *testing.B) {
	source := newSource()
	source.endless = true
	s := downloading(b, source, false)
	b.SetBytes(wire.MaxStreamPayload)
	b.ReportAllocs()
	buffer := make([]byte, wire.MinPacket+wire.MaxStreamPayload)
	for b.Loop() {
		if _, _, err := s.reader.Next(); err != nil {
			b.Fatal(err)
		}
		buffer = s.reader.Swap(buffer)
	}
}
