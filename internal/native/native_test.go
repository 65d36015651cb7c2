package native

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

var update = flag.Bool("update", false, "write the golden files anew")

// madeUp are the uuids and addresses that are different each time.
var madeUp = regexp.MustCompile(`<uuid>[^<]*</uuid>`)

// TestGolden turns scripts into documents.
func TestGolden(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(script)
			if err != nil {
				t.Fatal(err)
			}
			document, err := XML(string(text))
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, strings.TrimSuffix(script, ".sh")+".xml", madeUp.ReplaceAllString(document, "<uuid/>"))
		})
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew); got:\n%s", file, got)
	}
}

// TestWords holds single words against what they mean.
func TestWords(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"mem=131072K":                  "<memory unit='KiB'>131072</memory>",
		"mem=0x8000000":                "<memory unit='KiB'>131072</memory>",
		"mem=1g":                       "<memory unit='KiB'>1048576</memory>",
		"quiet":                        "<cmdline>quiet</cmdline>",
		"'a b'":                        "<cmdline>a b</cmdline>",
		`a\ b`:                         "<cmdline>a b</cmdline>",
		`"a\b\$"`:                      `<cmdline>a\b$</cmdline>`,
		"console=tty0":                 "",
		"console=ttyS0":                "<cmdline>console=ttyS0</cmdline>",
		"root=/dev/ubda1":              "<root>/dev/ubda1</root>",
		"root=/dev/ubda":               "",
		"ro":                           "<cmdline>ro</cmdline>",
		"rw":                           "",
		"seccomp=on":                   "<cmdline>seccomp=on</cmdline>",
		"init=/bin/sh":                 "<cmdline>init=/bin/sh</cmdline>",
		"ubdb=/b,/c,SERIAL":            "<serial>SERIAL</serial>",
		"ubd15t=/b":                    "discard='ignore'",
		"ubd3=/dev/shm/x":              "<source file='/dev/shm/x'/>",
		`'"ubd1=/a b"'`:                "<source file='/a b'/>",
		"con5=port:77":                 "<source mode='bind' host='0.0.0.0' service='77'/>",
		"con1=null,fd:3 3>/x":          "<source path='/x'/>",
		"con1=fd:3 3>/dev/null":        "",
		"con1=null,fd:4 3>>/x 4>&3":    "append='on'",
		"eth0=daemon":                  "<source network='uml'/>",
		"eth0=slirp":                   "<interface type='user'>",
		"eth0=mcast":                   "<source address='239.192.168.1' port='1102'/>",
		"vec0:transport=raw,ifname=e0": "<source dev='e0' mode='bridge'/>",
		"virtio_uml.device=/s:1":       "<source type='unix' mode='client' path='/s'/>",
	} {
		document, err := XML("/linux ubd0=/root_fs " + word)
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		if !strings.Contains(document, want) {
			t.Errorf("%s: the document has no %q:\n%s", word, want, document)
		}
		if want == "" && strings.Contains(document, "<cmdline>") {
			t.Errorf("%s is kept in the document:\n%s", word, document)
		}
	}
}

// TestRefused checks what cannot be turned into a document, and that the error
// names it.
func TestRefused(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"":                      "no command",
		"# nothing":             "no command",
		"/linux 'a":             "cannot read the command line",
		"/linux $ROOT":          "the variable 'ROOT' is not set",
		"/linux ${A:-b}":        "a substitution",
		"A=b; /linux ${#A}":     "a substitution",
		"/linux $(id)":          "a substitution",
		"/linux `id`":           "a substitution",
		"/linux $((1+1))":       "a substitution",
		"/linux | cat":          "'|'",
		"/linux; halt":          `a second command ("halt")`,
		"if x; then /linux; fi": "this kind of command",
		"/linux <<E\nx\nE":      "a here-document",
		"qemu-system-x86_64":    "is no UML kernel",
		"sudo":                  "names no kernel",
		"sudo -u me /linux":     "'-u'",
		"./linux":               "'./linux' is not absolute",
		"/linux ubd0=root":      "'root' is not absolute",
		"/linux ubd0=":          "there is no path",
		"/linux ubd16=/a":       "'ubd16=/a'",
		"/linux ubdx=/a":        "'ubdx=/a'",
		"/linux ubd0q=/a":       "'ubd0q=/a'",
		"/linux ubd=sync":       "'ubd=sync'",
		"/linux mem=x":          "'mem=x'",
		"/linux mem=":           "'mem='",
		"/linux mem=99999999T":  "'mem=99999999T'",
		"/linux ncpus=0":        "'ncpus=0'",
		"/linux --showconfig":   "ends at once",
		"/linux hostfs=/":       "the host's root folder",
		"/linux con0=vt:1":      "'vt'",
		"/linux con0=fd:x":      "no number",
		"/linux con0=tty:":      "there is no path",
		"/linux ssl999=pts":     "no number",
		"/linux eth0=slip":      "'slip'",
		"/linux eth0=pcap,eth0": "'pcap'",
		"/linux eth0=tuntap,,52:54:00:00:00:01,192.168.0.1": "make the tap beforehand",
		"/linux eth0=mcast,,,x":                             "'x' is no port",
		"/linux vec0:transport=gre,dst=1.2.3.4":             "'gre'",
		"/linux vec0:transport=tap":                         "no ifname=",
		"/linux vec0:tap":                                   "no KEY=VALUE",
		"/linux vec0:transport=fd,mtu=x":                    "mtu=x",
		"/linux umid=a/b":                                   "cannot contain '/'",
		"/linux " + strings.Repeat("x", maxScript):          "at most",
		"/linux virtio_uml.device=/s:2":                     "'virtio_uml.device=/s:2'",
		"/linux 'a\nb'":                                     "one line",
	} {
		document, err := XML(script)
		if err == nil {
			t.Errorf("%q was accepted:\n%s", script, document)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %q, want it to say %q", script, err, want)
		}
		if e := virerr.From(err); e.Code == libvirt.ErrInternalError {
			t.Errorf("%q is an internal error: %v", script, err)
		}
	}
}

// FuzzXML gives any text. What comes of it is a document that can be read, and
// that means the same when it is.
func FuzzXML(f *testing.F) {
	scripts, err := filepath.Glob("testdata/*.sh")
	if err != nil {
		f.Fatal(err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("/linux $(" + strings.Repeat("(", 1000))
	f.Fuzz(func(t *testing.T, script string) {
		document, err := XML(script)
		if err != nil {
			if virerr.From(err).Code == libvirt.ErrInternalError {
				t.Fatalf("an internal error: %v", err)
			}
			return
		}
		definition, err := domxml.Parse([]byte(document))
		if err != nil {
			t.Fatalf("the document cannot be read: %v\n%s", err, document)
		}
		if again := definition.XML(true); again != document {
			t.Fatalf("the document changes when it is read:\n%s\n%s", document, again)
		}
	})
}
