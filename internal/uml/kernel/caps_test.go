package kernel

import (
	"reflect"
	"strings"
	"testing"
)

// Excerpts in the form that kernels of three ages print.
const (
	helpOld = "User Mode Linux v6.1.176\n\nmem=<Amount of desired ram>\n    text noreboot in a text\n\nubd<n><flags>=<filename>[(:|,)<filename2>]\n"
	helpNew = "User Mode Linux v7.2.0\n\nncpus=<# of CPUs>\n\nseccomp=<on/auto/off>\n\nnoreboot\n    Rather than rebooting\nhostfs=<root dir>\n" +
		"ubd<n><flags>=<filename>[(:|,)<filename2>][(:|,)<serial>]\n"
)

func TestConfigured(t *testing.T) {
	tests := []struct {
		name, release, help, config string
		want                        Caps
	}{
		{
			"old", "5.2.0\n", helpOld, "CONFIG_UML=y\nCONFIG_NR_CPUS=1\n# CONFIG_MCONSOLE is not set\nCONFIG_BLK_DEV_UBD=y\nCONFIG_HOSTFS=m\n",
			Caps{Release: "5.2.0", Version: Version{5, 2, 0}, UBD: true, NrCPUs: 1},
		},
		{
			"new", "7.2.0-rc1+\n", helpNew, "CONFIG_UML=y\nCONFIG_SMP=y\nCONFIG_NR_CPUS=64\nCONFIG_MCONSOLE=y\nCONFIG_HOSTFS=y\nCONFIG_UML_NET_VECTOR=y\nCONFIG_VIRTIO_UML=y\n",
			Caps{
				Release: "7.2.0-rc1+", Version: Version{7, 2, 0}, Mconsole: true, Hostfs: true, VecNet: true, VirtioUML: true,
				SMP: true, NrCPUs: 64, SeccompOption: true, NoRebootOption: true, UBDSerial: true,
			},
		},
		{
			"processors without ncpus", "6.1.0", helpOld, "CONFIG_UML=y\nCONFIG_SMP=y\nCONFIG_NR_CPUS=8\n",
			Caps{Release: "6.1.0", Version: Version{6, 1, 0}, NrCPUs: 1},
		},
	}
	for _, tt := range tests {
		var got Caps
		if err := got.configured(tt.release, tt.help, tt.config); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", tt.name, got, err, tt.want)
		}
	}
	var caps Caps
	for _, release := range []string{"", "6", "six.one", "6.1.2.3.4", "-1.2", "6.99999999999"} {
		if err := caps.configured(release, helpNew, "CONFIG_UML=y\n"); err == nil {
			t.Errorf("release %q was taken", release)
		}
	}
	if err := caps.configured("6.1.0", helpNew, "CONFIG_KVM=y\n"); err == nil {
		t.Error("a configuration without UML was taken")
	}
}

func TestParseLibraries(t *testing.T) {
	const list = "\tlinux-vdso.so.1 (0x00007ffd)\n" +
		"\tlibvdeplug.so.2 => /lib/x86_64-linux-gnu/libvdeplug.so.2 (0x00007f)\n" +
		"\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n"
	got, err := parseLibraries(list)
	want := []string{"/lib/x86_64-linux-gnu/libvdeplug.so.2", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseLibraries("\tlibvdeplug.so.2 => not found\n"); err == nil {
		t.Error("a missing library was taken")
	}
}

func FuzzConfigured(f *testing.F) {
	f.Add("6.1.176\n", helpOld, "CONFIG_UML=y\nCONFIG_NR_CPUS=8\n")
	f.Add("7.2.0-rc1+\n", helpNew, "CONFIG_UML=y\nCONFIG_NR_CPUS=99999999999999999999\n")
	f.Fuzz(func(t *testing.T, release, help, config string) {
		var caps Caps
		if caps.configured(release, help, config) == nil && (caps.NrCPUs < 1 || caps.SMP && caps.NrCPUs == 1) {
			t.Errorf("%+v", caps)
		}
	})
}

func FuzzParseLibraries(f *testing.F) {
	f.Add("\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n\t/lib64/ld.so (0x7f)\n")
	f.Add("\tlibvdeplug.so.2 => not found\n")
	f.Fuzz(func(t *testing.T, list string) {
		libraries, err := parseLibraries(list)
		for _, library := range libraries {
			if err != nil || !strings.HasPrefix(library, "/") {
				t.Errorf("%q, %v", library, err)
			}
		}
	})
}
