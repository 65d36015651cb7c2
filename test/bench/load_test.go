package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// loaded is how many domains a daemon finds when it starts.
const loaded = 10_000

// BenchmarkLoad starts a daemon that has 10,000 domains, from its execution to
// its first complete list of them.
func BenchmarkLoad(b *testing.B) {
	d := start(b)
	must(b, define(connect(b, d.Socket, uri()), []string{document("uml", "uml", 0)}))
	d.Stop()
	multiply(b, configFile(b, d.Dir, "domain0"))

	var ready, listed samples
	var resident float64
	for b.Loop() {
		begin := time.Now()
		d.Start()
		ready = append(ready, time.Since(begin))
		client := connect(b, d.Socket, uri())
		domains, _, err := client.ConnectListAllDomains(1, 0)
		must(b, err)
		listed = append(listed, time.Since(begin))
		if len(domains) != loaded {
			b.Fatalf("%d domains, want %d", len(domains), loaded)
		}
		resident = memoryOf(b, d.PID)["VmRSS"]
		d.Stop()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(millis(ready.median(1)), "ms-to-ready")
	b.ReportMetric(millis(listed.median(1)), "ms-to-list")
	b.ReportMetric(resident, "KiB-resident")
}

// multiply makes the definition of one domain, domain0, that of many. They
// need not be durable.
func multiply(b *testing.B, path string) {
	b.Helper()
	model := readFile(b, path)
	first := uuid.NewSHA1(uuid.Nil, []byte("uml 0")).String()
	for i := 1; i < loaded; i++ {
		name := fmt.Sprint("domain", i)
		text := strings.NewReplacer("domain0", name, first, uuid.NewString()).Replace(model)
		must(b, os.WriteFile(filepath.Join(filepath.Dir(path), name+".xml"), []byte(text), 0o600))
	}
}
