package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"virtumld/internal/domxml"
)

// body is about as long as the XML of a domain with a few devices.
func body(name string) string {
	return strings.Replace(document(name, name), "</title>", "</title>\n"+strings.Repeat("  <!-- a device -->\n", 80), 1)
}

// fsyncRate is how many times a second the disk makes a small file durable.
func fsyncRate(b *testing.B) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "probe"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const rounds = 100
	block := make([]byte, 2048)
	start := time.Now()
	for range rounds {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return rounds / time.Since(start).Seconds()
}

// BenchmarkSaveConfig is durable defines, one after the other as from one
// client; fsyncs/s is what the same disk does in the same run.
func BenchmarkSaveConfig(b *testing.B) {
	s := open(b)
	rate := fsyncRate(b)
	b.ResetTimer()
	for i := range b.N {
		name := fmt.Sprintf("vm%d", i)
		if err := s.SaveConfig(name, body(name)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "defines/s")
	b.ReportMetric(rate, "fsyncs/s")
}

// BenchmarkSaveConfigParallel is the same from 16 clients at once.
func BenchmarkSaveConfigParallel(b *testing.B) {
	s := open(b)
	rate := fsyncRate(b)
	var n atomic.Int64
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			name := fmt.Sprintf("vm%d", n.Add(1))
			if err := s.SaveConfig(name, body(name)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "defines/s")
	b.ReportMetric(rate, "fsyncs/s")
}

// BenchmarkLoadConfigs reads 10,000 definitions of the README's guest with the
// daemon's own parser.
func BenchmarkLoadConfigs(b *testing.B) {
	const domains = 10_000
	example, err := os.ReadFile("../../examples/demo.xml")
	if err != nil {
		b.Fatal(err)
	}
	s := open(b)
	for i := range domains {
		name := fmt.Sprintf("vm%d", i)
		def, err := domxml.Parse(bytes.Replace(example, []byte("<name>demo<"), []byte("<name>"+name+"<"), 1))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.config.Replace(name+suffix, []byte(notice(name)+def.XML(true)), Volatile); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		configs, problems, err := s.LoadConfigs(b.Context(), domxml.Parse)
		if err != nil || len(problems) != 0 || len(configs) != domains {
			b.Fatal(len(configs), problems, err)
		}
	}
}

// BenchmarkSaveStatus is what every change of a running domain costs.
func BenchmarkSaveStatus(b *testing.B) {
	s := open(b)
	for b.Loop() {
		if err := s.SaveStatus(sample); err != nil {
			b.Fatal(err)
		}
	}
}
