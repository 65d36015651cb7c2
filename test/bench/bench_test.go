package bench

import (
	"os"
	"slices"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// start runs a daemon of whoever runs the benchmarks, as it is released.
func start(b *testing.B) *testkit.Daemon {
	b.Helper()
	if os.Getenv("VIRTUMLD_BINARY") == "" {
		b.Fatal("VIRTUMLD_BINARY does not name a virtumld; run 'make bench', which builds one without the race detector")
	}
	if os.Geteuid() == 0 {
		return testkit.Start(b, testkit.Root)
	}
	return testkit.Start(b, testkit.User)
}

// samples are the times of one kind of work.
type samples []time.Duration

// take adds the time that work took.
func (s *samples) take(work func()) {
	begin := time.Now()
	work()
	*s = append(*s, time.Since(begin))
}

// median is the time in the middle, divided by the steps of each sample.
func (s samples) median(steps int) time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[len(sorted)/2] / time.Duration(steps)
}

// fastest is the shortest time, divided by the steps of each sample: on a busy
// machine the one that others have disturbed least.
func (s samples) fastest(steps int) time.Duration {
	return slices.Min(s) / time.Duration(steps)
}

// inTurns runs the work of both sides once, beginning with another one in each
// round, so that neither always finds the machine as the other has left it.
func inTurns(round int, a, b func()) {
	if round%2 == 1 {
		a, b = b, a
	}
	a()
	b()
}

// comparison are the times of the same work done by two sides.
type comparison struct {
	round        int
	ours, theirs samples
}

// run does the work of both once more.
func (c *comparison) run(ours, theirs func()) {
	inTurns(c.round, func() { c.ours.take(ours) }, func() { c.theirs.take(theirs) })
	c.round++
}

// report tells the medians of a step, their ratio and that of the fastest;
// below 1 virtumld is the faster one.
func (c *comparison) report(b *testing.B, steps int, theirs string) {
	x, y := c.ours.median(steps), c.theirs.median(steps)
	b.ReportMetric(0, "ns/op") // times both sides together: hidden
	b.ReportMetric(micros(x), "us-virtumld")
	b.ReportMetric(micros(y), "us-"+theirs)
	b.ReportMetric(float64(x)/float64(y), "ratio")
	b.ReportMetric(float64(c.ours.fastest(steps))/float64(c.theirs.fastest(steps)), "ratio-fastest")
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// must ends the benchmark on an error.
func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
