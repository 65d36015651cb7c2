package driver

import (
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func TestBlockStats(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	const ubd0 = "wr_bytes=3072 wr_operations=5 rd_bytes=1024 rd_operations=1 wr_total_times=7000000 rd_total_times=3000000 flush_operations=8 flush_total_times=9000000"
	for path, want := range map[string]string{"ubd0": ubd0, "/root.img": ubd0} {
		for nparams, want := range map[int32]string{0: "", 8: want, 100: want, 1: "wr_bytes=3072"} {
			ret, err := c.DomainBlockStatsFlags(t.Context(), &libvirt.DomainBlockStatsFlagsArgs{Dom: on, Path: path, Nparams: nparams})
			if err != nil || strings.Join(values(ret.Params), " ") != want {
				t.Errorf("%s, %d: %+v, %v; want %q", path, nparams, ret, err, want)
			}
		}
		ret, err := c.DomainBlockStats(t.Context(), &libvirt.DomainBlockStatsArgs{Dom: on, Path: path})
		if want := (libvirt.DomainBlockStatsRet{RdReq: 1, RdBytes: 1024, WrReq: 5, WrBytes: 3072, Errs: -1}); err != nil || *ret != want {
			t.Errorf("%s: %+v, %v; want %+v", path, ret, err, want)
		}
	}
	for _, tt := range []struct {
		dom  libvirt.Domain
		path string
		code libvirt.ErrorNumber
	}{
		{on, "ubd7", libvirt.ErrInvalidArg},
		{on, "ubd1", libvirt.ErrOperationFailed}, // which the guest has not
		{on, "", libvirt.ErrOperationFailed},
		{off, "ubd0", libvirt.ErrOperationInvalid},
	} {
		if _, err := c.DomainBlockStats(t.Context(), &libvirt.DomainBlockStatsArgs{Dom: tt.dom, Path: tt.path}); !virerr.Is(err, tt.code) {
			t.Errorf("%s, %q: %v, want code %d", tt.dom.Name, tt.path, err, tt.code)
		}
	}
}

func TestDiskErrors(t *testing.T) {
	c, _, on, off := domainConn(t, nil)
	for most, want := range map[uint32]int32{0: 2, 2: 0} {
		ret, err := c.DomainGetDiskErrors(t.Context(), &libvirt.DomainGetDiskErrorsArgs{Dom: on, Maxerrors: most})
		if err != nil || ret.Nerrors != want || len(ret.Errors) != 0 {
			t.Errorf("at most %d: %+v, %v; want %d", most, ret, err, want)
		}
	}
	if _, err := c.DomainGetDiskErrors(t.Context(), &libvirt.DomainGetDiskErrorsArgs{Dom: off}); !virerr.Is(err, libvirt.ErrOperationInvalid) {
		t.Errorf("of an inactive domain: %v", err)
	}
}
