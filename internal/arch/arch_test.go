// Package arch holds the rules that the layout must keep; it is all tests.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "virtumld/"

// layers are the packages that carry data from a socket to a guest, outermost
// first: one may import those below it only.
var layers = []string{
	"cmd/virtumld",
	"internal/daemon",
	"internal/dispatch",
	"internal/driver",
	"internal/uml",
	"internal/domain",
	"internal/storage",
	"internal/network",
	"internal/store",
	"internal/supervisor",
	"internal/domxml",
}

// leaves import nothing of the project but what is named here.
var leaves = map[string][]string{
	"internal/virerr":             nil,
	"internal/paths":              nil,
	"internal/cow":                {"internal/filelock"},
	"internal/filelock":           nil,
	"internal/imgformat":          {"internal/cow", "internal/virerr"},
	"internal/storagexml":         {"internal/imgformat", "internal/virerr", "internal/virxml"},
	"internal/networkxml":         {"internal/domxml", "internal/virerr"},
	"internal/xdr":                nil,
	"internal/mconsole":           nil,
	"internal/guestproc":          nil,
	"internal/hostinfo":           nil,
	"internal/config":             nil,
	"internal/sock":               nil,
	"internal/rundir":             nil,
	"internal/supervisor/process": nil,
	"internal/domxml":             {"internal/virerr", "internal/virxml"},
	"internal/virxml":             nil,
	"internal/wire":               {"internal/xdr"},
	"internal/proto":              {"internal/xdr", "internal/virerr"},
	"internal/store":              {"internal/domxml", "internal/virerr"},
}

type goPackage struct {
	ImportPath string
	Doc        string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,GoFiles", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func own(imports []string) []string {
	var out []string
	for _, i := range imports {
		if path, ours := strings.CutPrefix(i, module); ours {
			out = append(out, path)
		}
	}
	return out
}

func TestImportsGoDown(t *testing.T) {
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		at := slices.Index(layers, path)
		for _, i := range own(p.Imports) {
			if below := slices.Index(layers, i); at >= 0 && below >= 0 && below <= at {
				t.Errorf("%s imports %s, which is above it", path, i)
			}
			if strings.HasPrefix(i, "internal/testkit") && !strings.Contains(path, "test") {
				t.Errorf("%s imports %s, which is for tests", path, i)
			}
			if allowed, leaf := leaves[path]; leaf && !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s", path, i)
			}
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestArchitectureIsTrue checks that every package and file that
// ARCHITECTURE.md names is there, and that it names every package.
func TestArchitectureIsTrue(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`((?:internal|cmd)/[a-z_/]+(?:\\.go)?)`").FindAllSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(root, string(m[1]))); err != nil {
			t.Errorf("ARCHITECTURE.md: %v", err)
		}
	}
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		isTest := strings.Contains(path, "test") || strings.HasPrefix(path, "internal/arch") || strings.HasSuffix(path, "/gen")
		if !isTest && !strings.Contains(string(text), "`"+path+"`") {
			t.Errorf("ARCHITECTURE.md does not name %s", path)
		}
	}
}
