package mconsole_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/mconsole"
	"virtumld/internal/mconsole/mconsoletest"
	"virtumld/internal/uml/kernel/kerneltest"
)

func TestRelay(t *testing.T) {
	t.Parallel()
	client, guest := fake(t, (&mconsoletest.Kernel{}).Handle)
	path := filepath.Join(kerneltest.ShortDir(t), "relay")
	relay, err := mconsole.Serve(path, client)
	if err != nil {
		t.Fatal(err)
	}
	relayed := mconsole.New(path)
	acceptance(t, relayed)

	guest.Stop()
	var refusal *mconsole.Error
	if _, err := relayed.Version(t.Context()); !errors.As(err, &refusal) || !strings.Contains(refusal.Text, "no guest") {
		t.Errorf("without a guest: %v", err)
	}
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
	if err := relay.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// Close does not wait for a guest that is silent.
func TestRelayClosesInTheMiddle(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	client, _ := fake(t, func(string) mconsoletest.Reply {
		close(arrived)
		return mconsoletest.Reply{Silent: true}
	})
	path := filepath.Join(kerneltest.ShortDir(t), "relay")
	relay, err := mconsole.Serve(path, client)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() { asked <- mconsole.New(path).Go(t.Context()) }()
	<-arrived
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
	if err := <-asked; err == nil {
		t.Error("an answer from a silent guest")
	}
}
