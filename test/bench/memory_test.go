package bench

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"virtumld/internal/testkit"
	"virtumld/internal/testkit/initrd"
)

// settle is how long a process is left alone before its memory is looked at.
// Nothing tells that a garbage collector has done all it will do.
const settle = 3 * time.Second

// BenchmarkIdleMemory starts a daemon without domains.
func BenchmarkIdleMemory(b *testing.B) {
	d := start(b)
	time.Sleep(settle)
	m := memoryOf(b, d.PID)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(m["VmRSS"], "KiB-resident")
	b.ReportMetric(m["RssAnon"], "KiB-anonymous")
}

// BenchmarkGuestMemory starts guests that idle, one a round, and tells what
// each costs in the daemon and in its supervisor. Resident memory counts the
// binary's pages in every process, the proportional set only once.
func BenchmarkGuestMemory(b *testing.B) {
	d := start(b)
	image := d.File("initrd", readFile(b, initrd.Build(b, "while :; do sleep 1000; done")))
	must(b, os.Chmod(image, 0o644)) // the guests of root are another user's
	boot := func(name string) int {
		d.Define(idleDocument(b, name, image))
		d.OK("start", name)
		d.DestroyLater(name)
		return supervisorOf(b, d.PID, d.OK("domuuid", name))
	}
	boot("first") // unmeasured: code is paged in
	churn(b, d)
	before := memoryOf(b, d.PID)
	var supervisors []int
	for b.Loop() {
		supervisors = append(supervisors, boot(fmt.Sprint("guest", len(supervisors))))
	}
	churn(b, d)
	after := memoryOf(b, d.PID)

	guests := float64(len(supervisors))
	b.ReportMetric(0, "ns/op")
	b.ReportMetric((after["VmRSS"]-before["VmRSS"])/guests, "KiB-daemon-resident/guest")
	b.ReportMetric((after["RssAnon"]-before["RssAnon"])/guests, "KiB-daemon-anonymous/guest")
	var rss, pss, anonymous, most float64
	for _, pid := range supervisors {
		m := memoryOf(b, pid)
		rss, pss, anonymous = rss+m["VmRSS"], pss+m["Pss"], anonymous+m["RssAnon"]
		most = max(most, m["VmRSS"])
	}
	b.ReportMetric(rss/guests, "KiB-supervisor-resident")
	b.ReportMetric(most, "KiB-supervisor-resident-most")
	b.ReportMetric(anonymous/guests, "KiB-supervisor-anonymous")
	b.ReportMetric(pss/guests, "KiB-supervisor-proportional")
}

// churn has the daemon make several times more garbage than its smallest heap
// holds, so that what it keeps free for itself is in both measurements.
func churn(b *testing.B, d *testkit.Daemon) {
	b.Helper()
	client := connect(b, d.Socket, uri())
	for range 50_000 {
		_, err := client.DomainLookupByName("first")
		must(b, err)
	}
	time.Sleep(settle)
}

// idleDocument is a small guest. In much less memory the kernel allows so few
// threads that a boot on a busy host may run out of them.
func idleDocument(b *testing.B, name, image string) string {
	b.Helper()
	return fmt.Sprintf(`<domain type='uml'>
  <name>%s</name>
  <memory unit='MiB'>128</memory>
  <os><type>uml</type><kernel>%s</kernel><initrd>%s</initrd></os>
  <devices><console type='pty'><target port='0'/></console></devices>
</domain>`, name, testkit.Kernel(b), image)
}

func readFile(b *testing.B, path string) string {
	b.Helper()
	text, err := os.ReadFile(path)
	must(b, err)
	return string(text)
}

// supervisorOf finds the daemon's child that has the guest's uuid in its
// command line.
func supervisorOf(b *testing.B, daemon int, uuid string) int {
	b.Helper()
	children := readFile(b, fmt.Sprintf("/proc/%d/task/%d/children", daemon, daemon))
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", daemon))
	must(b, err)
	for _, task := range tasks {
		children += " " + readFile(b, fmt.Sprintf("/proc/%d/task/%s/children", daemon, task.Name()))
	}
	for _, child := range strings.Fields(children) {
		if strings.Contains(readFile(b, "/proc/"+child+"/cmdline"), uuid) {
			pid, err := strconv.Atoi(child)
			must(b, err)
			return pid
		}
	}
	b.Fatalf("the daemon %d has no supervisor of %s", daemon, uuid)
	return 0
}

// memoryOf are the sizes in KiB of /proc/PID/status and smaps_rollup
// (proc_pid_status(5), proc_pid_smaps(5)).
func memoryOf(b *testing.B, pid int) map[string]float64 {
	b.Helper()
	sizes := map[string]float64{}
	for _, name := range []string{"smaps_rollup", "status"} {
		text := readFile(b, fmt.Sprintf("/proc/%d/%s", pid, name))
		for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
			key, value, _ := strings.Cut(lines.Text(), ":")
			if size, isSize := strings.CutSuffix(strings.TrimSpace(value), " kB"); isSize {
				number, err := strconv.ParseFloat(size, 64)
				must(b, err)
				sizes[key] = number
			}
		}
	}
	return sizes
}
