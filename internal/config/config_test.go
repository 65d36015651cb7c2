package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestParse(t *testing.T) {
	id := "8a1f0a3e-66f2-4b0c-9d5a-3f6f0c7b2e11"
	got, warnings, err := Parse(`
		# a comment
		unix_sock_group = "adm"   # another
		unix_sock_ro_perms='0666'
		unix_sock_rw_perms = """0660"""
		unix_sock_dir = "/run/x/"
		max_clients = 7
		max_client_requests = +9
		keepalive_interval = -1
		keepalive_count = 2
		log_level = 1
		host_uuid = "` + id + `"
		host_uuid_source = "machine-id"
		user = "+1000"
		group = "kvm"
		dynamic_ownership = 0
		kernel = "/opt/a b/linux"
		contain = "off"
		access_drivers = [ "polkit", # why
			'nop', ]
		tls_port = 16514`)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		SocketGroup: "adm", ReadOnlyPerms: 0o666, ReadWritePerms: 0o660, SocketDir: "/run/x",
		MaxClients: 7, MaxClientRequests: 9, KeepaliveInterval: -1, KeepaliveCount: 2,
		LogLevel: slog.LevelDebug, HostUUID: uuid.MustParse(id), HostUUIDFromMachineID: true,
		User: "+1000", Group: "kvm", DynamicOwnership: false,
		Kernel: "/opt/a b/linux", Contain: ContainOff,
	}
	if got != want {
		t.Errorf("Parse = %+v\nwant    %+v", got, want)
	}
	wantWarnings := []string{
		"line 19: access_drivers is no setting of virtumld and has no effect",
		"line 21: tls_port is no setting of virtumld and has no effect",
	}
	if !slices.Equal(warnings, wantWarnings) {
		t.Errorf("warnings %q, want %q", warnings, wantWarnings)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"\nmax_clients", "line 2: expected = after max_clients"},
		{"= 3", `line 1: expected a key, found "= 3"`},
		{"max_clients = ", "line 1: expected a value"},
		{"max_clients = -", "line 1: expected a value"},
		{"max_clients = many", "line 1: expected a value"},
		{"max_clients = 3 4", `line 1: unexpected "4" after the value of max_clients`},
		{"max_clients = 99999999999999999999", "line 1: the number is too large"},
		{"max_clients = 0", "line 1: max_clients: 0 is not between 1 and 1048576"},
		{"max_clients = \"3\"", "line 1: max_clients needs a number, not a string in quotes"},
		{"user = [\"a\"]", "line 1: user needs a string in quotes, not a list"},
		{"user = \"a\nb\"", `line 1: the string has no closing "`},
		{"user = \"\"\"a\n\"", `line 1: the string has no closing """`},
		{"user = \"a\x00b\"", "line 1: the string has a zero byte in it"},
		{"x = [ \"a\"\n\"b\" ]", "line 2: expected , or ] in the list"},
		{"x = [ 1 ]", "line 1: expected a string in quotes or ]"},
		{"x = [ \"a\",", "line 1: expected a string in quotes or ]"},
		{"user = \"a\"\nuser = \"b\"", "line 2: user is set twice, first on line 1"},
		{"unix_sock_rw_perms = \"0888\"", `unix_sock_rw_perms: "0888" is not a mode`},
		{"unix_sock_rw_perms = \"4755\"", `"4755" is not a mode`},
		{"kernel = \"linux\"", `kernel: "linux" is not an absolute path`},
		{"log_level = 5", `log_level: "5" is not a log level`},
		{"host_uuid = \"x\"", `host_uuid: "x" is not a uuid`},
		{"host_uuid = \"00000000-0000-0000-0000-000000000000\"", "is no identity"},
		{"host_uuid_source = \"tpm\"", `host_uuid_source: "tpm" is neither`},
		{"dynamic_ownership = 2", "dynamic_ownership: 2 is neither 0 nor 1"},
		{"contain = \"maybe\"", `contain: "maybe" is neither`},
	} {
		_, _, err := Parse(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "virtumld.conf")
	if err := os.WriteFile(path, []byte("listen_tcp = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := Load(path)
	if err != nil || c != Default() || len(warnings) != 1 || !strings.HasPrefix(warnings[0], path+": line 1: ") {
		t.Errorf("Load = %+v, %q, %v", c, warnings, err)
	}
	if _, _, err := Load(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of no file = %v", err)
	}
}

// TestExample: the example shows every setting, at its default.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../../init/virtumld.conf")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^#(\w+ = .*)$`).FindAllStringSubmatch(string(data), -1)
	var names, lines []string
	for _, line := range shown {
		name, _, _ := strings.Cut(line[1], " ")
		names, lines = append(names, name), append(lines, line[1])
	}
	if !slices.Equal(names, Keys()) {
		t.Errorf("the example shows %q, the settings are %q", names, Keys())
	}
	if c, warnings, err := Parse(string(data)); err != nil || len(warnings) > 0 || c != Default() {
		t.Errorf("the example as it is: %+v, %q, %v", c, warnings, err)
	}
	c, warnings, err := Parse(strings.Join(lines, "\n"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("the example with every line in effect: %q, %v", warnings, err)
	}
	// These have no fixed default: what is shown is an example.
	c.HostUUID, c.SocketGroup, c.SocketDir, c.User, c.Group, c.Kernel = uuid.Nil, "", "", "", "", ""
	if c != Default() {
		t.Errorf("the example shows %+v, the defaults are %+v", c, Default())
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"a = 1", "a = [ 'x', \"y\" ] # c\n", "user = \"\"\"a\nb\"\"\"", "=", "a=-", "a = [", "\x00", "a = \"", "#",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parse(text)
		if err != nil {
			return
		}
		last := 0
		for _, s := range settings {
			if s.key == "" || s.line < last || s.line > strings.Count(text, "\n")+1 {
				t.Errorf("%q gives setting %+v after line %d", text, s, last)
			}
			last = s.line
		}
	})
}
