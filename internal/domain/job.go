package domain

import (
	"context"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// How long a call waits for another job on the same domain, and how long the
// work of a job may take. libvirt's QEMU driver waits 30 s for a job too.
const (
	jobWait     = 30 * time.Second
	startLimit  = 2 * time.Minute
	killLimit   = 30 * time.Second
	answerLimit = 20 * time.Second
)

// begin waits for the right to change d and names the job that holds it. The
// returned function ends the job. A client that has gone meanwhile cannot wait
// any more, but what needs no wait is done for it all the same.
func (d *Domain) begin(ctx context.Context, name string) (end func(), err error) {
	select {
	case d.job <- struct{}{}:
		d.jobName.Store(&name)
		return d.endJob, nil
	default:
	}
	wait, cancel := context.WithTimeout(ctx, jobWait)
	defer cancel()
	select {
	case d.job <- struct{}{}:
		d.jobName.Store(&name)
		return d.endJob, nil
	case <-wait.Done():
		return nil, virerr.New(libvirt.ErrOperationTimeout,
			"cannot acquire state change lock of domain '%s' (held by %s)", d.View().Name, d.Job())
	}
}

// endJob lets the next job in. A domain of which the job has left nothing goes.
func (d *Domain) endJob() {
	d.jobName.Store(nil)
	<-d.job
	d.list.release(d)
}

// Job names the job that runs on d, "" when there is none.
func (d *Domain) Job() string {
	if name := d.jobName.Load(); name != nil {
		return *name
	}
	return ""
}

// work is a context for what must be carried to its end even when the client
// that asked for it goes away: half a start or half a destroy helps nobody.
func work(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
