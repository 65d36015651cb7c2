package guestinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// ImageFile is where an imported image says how it is meant to be run.
const ImageFile = "/.virtuml/image.json"

// maxImageFile bounds ImageFile, in bytes.
const maxImageFile = 1 << 20

// Image is what ImageFile holds, as far as an init needs it: a container
// image's own choices.
type Image struct {
	Entrypoint []string `json:"entrypoint"`
	Cmd        []string `json:"cmd"`
	Env        []string `json:"env"`
	User       string   `json:"user"`
	Workdir    string   `json:"workdir"`
}

// readImage reads ImageFile; an image without one has no choices.
func readImage(name string) (Image, error) {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Image{}, nil
	}
	if err != nil {
		return Image{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxImageFile {
		return Image{}, fmt.Errorf("%s is not a file of at most %d bytes", name, maxImageFile)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return Image{}, err
	}
	var image Image
	if err := json.Unmarshal(data, &image); err != nil {
		return Image{}, fmt.Errorf("%s: %w", name, err)
	}
	return image, nil
}

// command is what is to be executed, with everything resolved but the user.
type command struct {
	argv    []string
	env     []string
	user    string
	workdir string
}

// defaultPath is Docker's PATH of images that have none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// merge joins the specification with the image as container tools do: a new
// entrypoint drops the image's Cmd, arguments replace it.
func merge(spec Spec, image Image) command {
	c := command{user: image.User, workdir: image.Workdir}
	entrypoint, args := image.Entrypoint, image.Cmd
	if len(spec.Entrypoint) > 0 {
		entrypoint, args = spec.Entrypoint, nil
	}
	if len(spec.Args) > 0 {
		args = spec.Args
	}
	c.argv = slices.Concat(entrypoint, args)
	if len(c.argv) == 0 {
		c.argv = []string{"/bin/sh"}
	}
	if spec.User != "" {
		c.user = spec.User
	}
	if spec.Workdir != "" {
		c.workdir = spec.Workdir
	}
	if !path.IsAbs(c.workdir) {
		c.workdir = "/" + c.workdir
	}
	c.env = environment([]string{"PATH=" + defaultPath}, image.Env, spec.Env)
	return c
}

// environment joins lists of NAME=VALUE; the last of a name wins. A word
// without "=" takes the variable away.
func environment(lists ...[]string) []string {
	var out []string
	for _, word := range slices.Concat(lists...) {
		name, _, sets := strings.Cut(word, "=")
		out = slices.DeleteFunc(out, func(w string) bool { return strings.HasPrefix(w, name+"=") })
		if sets && name != "" {
			out = append(out, word)
		}
	}
	return out
}

// lookup finds the variable in env.
func lookup(env []string, name string) string {
	for _, word := range env {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return ""
}

// The exit statuses of commands that cannot be run, as of shells.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// find looks a program up as execvp(3) does, in c's PATH. The status is that
// of a failure.
func (c command) find() (name string, status int, err error) {
	program := c.argv[0]
	if strings.Contains(program, "/") {
		if !path.IsAbs(program) {
			program = path.Join(c.workdir, program)
		}
		status, err = executable(program)
		return program, status, err
	}
	status, err = exitNotFound, fmt.Errorf("%s: not found in PATH", program)
	for _, dir := range strings.Split(lookup(c.env, "PATH"), ":") {
		candidate := path.Join("/", dir, program)
		found, candidateErr := executable(candidate)
		if candidateErr == nil {
			return candidate, 0, nil
		}
		if found == exitNotExecutable {
			status, err = found, candidateErr
		}
	}
	return "", status, err
}

func executable(name string) (status int, err error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exitNotFound, fmt.Errorf("%s: no such file", name)
	case err != nil:
		return exitNotExecutable, err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return exitNotExecutable, fmt.Errorf("%s: not an executable file", name)
	default:
		return 0, nil
	}
}

// account is a user of the guest.
type account struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// resolve finds who "user" or "user:group" is, names or numbers, by the
// content of /etc/passwd and /etc/group. A number needs no entry.
func resolve(who, passwd, group string) (account, error) {
	name, groupName, hasGroup := strings.Cut(who, ":")
	a := account{home: "/"}
	if name == "" {
		name = "0"
	}
	entry := findEntry(passwd, 7, func(f []string) bool { return f[0] == name })
	number, numberErr := strconv.ParseUint(name, 10, 32)
	if entry == nil && numberErr == nil {
		entry = findEntry(passwd, 7, func(f []string) bool { return f[2] == name })
	}
	switch {
	case entry != nil:
		uid, err := strconv.ParseUint(entry[2], 10, 32)
		gid, err2 := strconv.ParseUint(entry[3], 10, 32)
		if err := errors.Join(err, err2); err != nil {
			return a, fmt.Errorf("user %q: its entry in the guest's /etc/passwd is damaged: %w", name, err)
		}
		a.uid, a.gid, a.groups = uint32(uid), uint32(gid), memberOf(group, entry[0])
		if path.IsAbs(entry[5]) {
			a.home = entry[5]
		}
	case numberErr == nil:
		a.uid = uint32(number)
		if number == 0 {
			a.home = "/root"
		}
	default:
		return a, fmt.Errorf("user %q is not in the guest's /etc/passwd", name)
	}
	if hasGroup && groupName != "" {
		gid, err := findGroup(groupName, group)
		if err != nil {
			return a, err
		}
		a.gid, a.groups = gid, nil
	}
	return a, nil
}

func findGroup(name, group string) (uint32, error) {
	if entry := findEntry(group, 3, func(f []string) bool { return f[0] == name }); entry != nil {
		name = entry[2]
	}
	gid, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("group %q is not in the guest's /etc/group", name)
	}
	return uint32(gid), nil
}

// memberOf are the groups that list user as a member.
func memberOf(group, user string) []uint32 {
	var out []uint32
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), user) {
			continue
		}
		if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			out = append(out, uint32(gid))
		}
	}
	return out
}

// findEntry finds the first line with at least fields fields that is wanted.
func findEntry(text string, fields int, wanted func([]string) bool) []string {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) >= fields && wanted(f) {
			return f
		}
	}
	return nil
}
