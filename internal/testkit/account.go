package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// Identity is as whom a daemon and its clients run.
type Identity string

// The identities. Root gets the system instance, an ordinary user the session.
const (
	Root Identity = "root"
	User Identity = "user"
)

// Identities are all of them.
var Identities = []Identity{Root, User}

// account is a user of the machine.
type account struct {
	name     string
	uid, gid int
}

// credential is for processes that run as the account, nil when that is what
// this process is.
func (a account) credential() *syscall.Credential {
	if a.uid == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// need returns the account of id, or skips the test where it cannot be had.
func (id Identity) need(t testing.TB) account {
	t.Helper()
	switch {
	case id == Root && os.Geteuid() != 0:
		skipTier(t, string(Root), "these tests need root")
		return account{}
	case id == User && os.Geteuid() == 0:
		return ordinaryAccount(t)
	}
	current, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return newAccount(t, current)
}

// ordinary is the user that root's tests make for the tests of ordinary users.
var ordinary struct {
	sync.Mutex
	made bool
	account
}

func ordinaryAccount(t testing.TB) account {
	t.Helper()
	ordinary.Lock()
	defer ordinary.Unlock()
	if ordinary.made {
		return ordinary.account
	}
	name := fmt.Sprintf("vumlt%d", os.Getpid())
	if out, err := exec.Command("useradd", "--no-create-home", "--user-group", name).CombinedOutput(); err != nil {
		t.Fatalf("cannot make an ordinary user: %v: %s", err, out)
	}
	ordinary.made = true
	found, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	ordinary.account = newAccount(t, found)
	return ordinary.account
}

func removeAccount() error {
	ordinary.Lock()
	defer ordinary.Unlock()
	if !ordinary.made {
		return nil
	}
	if out, err := exec.Command("userdel", ordinary.name).CombinedOutput(); err != nil {
		return fmt.Errorf("userdel %s: %w: %s", ordinary.name, err, out)
	}
	return nil
}

func newAccount(t testing.TB, u *user.User) account {
	t.Helper()
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return account{name: u.Username, uid: uid, gid: gid}
}
