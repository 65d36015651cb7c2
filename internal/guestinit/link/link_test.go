package link

import (
	"bytes"
	"fmt"
	"testing"
)

// record is a Handler that writes down what it gets.
type record struct {
	data  []byte
	words []string
}

func (r *record) Data(p []byte) { r.data = append(r.data, p...) }

func (r *record) Word(k Kind, value uint32) {
	r.words = append(r.words, fmt.Sprintf("%c%x@%d", k, value, len(r.data)))
}

func TestDecoder(t *testing.T) {
	for _, test := range []struct {
		name, in, data string
		words          []string
	}{
		{"plain", "hello", "hello", nil},
		{"doubled escape", "a\x10\x10b", "a\x10b", nil},
		{"only escapes", "\x10\x10\x10\x10", "\x10\x10", nil},
		{"words", "x\x10By\x10X", "xy", []string{"B0@1", "X0@2"}},
		{"digits", "\x10W001800fa!", "!", []string{"W1800fa@0"}},
		{"signal", "a\x10S0fb", "ab", []string{"Sf@1"}},
		{"bad digits", "\x10S0gb", "b", nil},
		{"unknown word", "a\x10?b", "ab", nil},
		{"escape then word", "\x10\x10\x10X", "\x10", []string{"X0@1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for chunk := 1; chunk <= len(test.in); chunk++ {
				var d Decoder
				var got record
				for p := []byte(test.in); len(p) > 0; {
					n := min(chunk, len(p))
					d.Feed(p[:n], &got)
					p = p[n:]
				}
				if string(got.data) != test.data || fmt.Sprint(got.words) != fmt.Sprint(test.words) {
					t.Errorf("in pieces of %d: %q %v, want %q %v", chunk, got.data, got.words, test.data, test.words)
				}
			}
		})
	}
}

func TestWordsComeBack(t *testing.T) {
	var out []byte
	out = AppendWord(out, Begin, 0)
	out = AppendData(out, []byte("a\x10b"))
	out = AppendWord(out, Resize, 24<<16|80)
	out = AppendWord(out, Signal, 15)
	var d Decoder
	var got record
	d.Feed(out, &got)
	if want := "[B0@0 W180050@3 Sf@3]"; string(got.data) != "a\x10b" || fmt.Sprint(got.words) != want {
		t.Errorf("%q %v, want %s", got.data, got.words, want)
	}
}

func TestWindow(t *testing.T) {
	w := NewWindow(Output, true)
	if n := w.Take(Output.Window + 1); n != Output.Window {
		t.Fatalf("took %d", n)
	}
	got := make(chan int)
	go func() { got <- w.Take(Output.Unit * 2) }()
	w.Ack()
	if n := <-got; n != Output.Unit {
		t.Errorf("took %d after one Ack", n)
	}
	go func() { got <- w.Take(7) }()
	w.Open()
	if n := <-got; n != 7 {
		t.Errorf("took %d from an open window", n)
	}
	taken := Taken{Flow: Output}
	if n := taken.Add(Output.Unit*2 + 1); n != 2 {
		t.Errorf("%d acks", n)
	}
	if n := taken.Add(Output.Unit - 1); n != 1 {
		t.Errorf("%d acks", n)
	}
}

// FuzzDecoder checks that data always comes back, however it is cut, and that
// nothing from a console makes the decoder grow.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("a\x10\x10\x10B"), 1)
	f.Add([]byte("\x10W0018"), 2)
	f.Fuzz(func(t *testing.T, p []byte, cut int) {
		var d Decoder
		var got record
		cut = min(max(cut, 0), len(p))
		encoded := AppendData(nil, p)
		d.Feed(encoded[:cut], &got)
		d.Feed(encoded[cut:], &got)
		if !bytes.Equal(got.data, p) || got.words != nil {
			t.Fatalf("%q came back as %q %v", p, got.data, got.words)
		}
		d.Feed(p, &got)
		if len(d.digits) > 8 {
			t.Fatalf("%d digits are kept", len(d.digits))
		}
	})
}
