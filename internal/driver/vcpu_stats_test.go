package driver

import (
	"slices"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func TestCPUStats(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	get := func(dom libvirt.Domain, nparams uint32, start int32, ncpus uint32) (string, int32, error) {
		ret, err := c.DomainGetCPUStats(t.Context(), &libvirt.DomainGetCPUStatsArgs{Dom: dom, Nparams: nparams, StartCPU: start, Ncpus: ncpus})
		if err != nil {
			return "", 0, err
		}
		return strings.Join(values(ret.Params), " "), ret.Nparams, nil
	}
	for _, tt := range []struct {
		nparams uint32
		start   int32
		ncpus   uint32
		want    string
		count   int32
	}{
		{0, -1, 1, "", 3},
		{3, -1, 1, "cpu_time=77 user_time=70 system_time=7", 3},
		{1, -1, 1, "cpu_time=77", 1},
		{1 << 31, -1, 1, "cpu_time=77 user_time=70 system_time=7", 3},
		{0, 0, 1, "", 0},
		{4, 1, 2, "", 0},
	} {
		if got, count, err := get(on, tt.nparams, tt.start, tt.ncpus); err != nil || got != tt.want || count != tt.count {
			t.Errorf("%d of %d from %d: %q, %d, %v; want %q, %d", tt.nparams, tt.ncpus, tt.start, got, count, err, tt.want, tt.count)
		}
	}
	if _, _, err := get(on, 1, -1, 2); !virerr.Is(err, libvirt.ErrInvalidArg) {
		t.Errorf("totals of two: %v", err)
	}
	if _, _, err := get(off, 1, -1, 1); !virerr.Is(err, libvirt.ErrOperationInvalid) {
		t.Errorf("of an inactive domain: %v", err)
	}
}

func TestVcpus(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	ret, err := c.DomainGetVcpus(t.Context(), &libvirt.DomainGetVcpusArgs{Dom: on, Maxinfo: 4, Maplen: 2})
	want := []libvirt.VcpuInfo{{State: 1, CPUTime: 77, CPU: 1}}
	if err != nil || !slices.Equal(ret.Info, want) || !slices.Equal(ret.Cpumaps, []byte{5, 0}) {
		t.Errorf("%+v, %v; want %+v", ret, err, want)
	}
	if ret, err := c.DomainGetVcpus(t.Context(), &libvirt.DomainGetVcpusArgs{Dom: on}); err != nil || len(ret.Info) != 0 {
		t.Errorf("of none: %+v, %v", ret, err)
	}
	for args, code := range map[libvirt.DomainGetVcpusArgs]libvirt.ErrorNumber{
		{Dom: on, Maxinfo: -1}:             libvirt.ErrInvalidArg,
		{Dom: on, Maxinfo: 1, Maplen: -1}:  libvirt.ErrInvalidArg,
		{Dom: on, Maxinfo: 16385}:          libvirt.ErrInternalError,
		{Dom: on, Maxinfo: 2, Maplen: 1e9}: libvirt.ErrInternalError,
		{Dom: off, Maxinfo: 1, Maplen: 1}:  libvirt.ErrOperationInvalid,
	} {
		if _, err := c.DomainGetVcpus(t.Context(), &args); !virerr.Is(err, code) {
			t.Errorf("%+v: %v, want code %d", args, err, code)
		}
	}
}
