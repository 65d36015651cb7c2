package supervisor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/nic"
	"virtumld/internal/virerr"
)

// Interface is one network interface of a guest.
type Interface = nic.Interface

// InterfaceFacts are what a supervisor says of an interface.
type InterfaceFacts struct {
	// Unit is the N of vecN.
	Unit int
	// Name is the host's name for it, PortID its port's on the network.
	Name, PortID, MAC string
	// Dir is the folder of the network's process.
	Dir string
}

// GuestInterface is the path of an interface's socket, as the guest sees it
// below Root.
func GuestInterface(unit int) string { return GuestUMLDir + nic.Name(unit) }

// interfaceTime bounds one change of the guest's interfaces.
const interfaceTime = time.Minute

// openInterfaces makes ready what the guest's kernel will connect to.
func (g *guest) openInterfaces() error {
	user := User{UID: os.Geteuid(), GID: os.Getegid()}
	if g.spec.User != nil {
		user = *g.spec.User
	}
	g.held.nics = nic.New(nic.Options{
		Dir: g.spec.uml(), UID: user.UID, GID: user.GID,
		Networks: g.networks, Log: g.log,
	})
	for _, i := range g.spec.Interfaces {
		if err := openInterface(g.held.nics, i); err != nil {
			return err
		}
	}
	g.showInterfaces()
	return nil
}

func openInterface(nics *nic.Set, i Interface) error {
	ctx, cancel := context.WithTimeout(context.Background(), interfaceTime)
	defer cancel()
	return nics.Open(ctx, i)
}

// interfaceArgs are the kernel's arguments for its interfaces. They come first:
// what follows "--" among the others would go to the guest's init.
func (g *guest) interfaceArgs() []string {
	var args []string
	for _, i := range nic.Sorted(g.spec.Interfaces) {
		args = append(args, fmt.Sprintf("%s:%s", &i, i.Device))
	}
	return args
}

func (g *guest) showInterfaces() {
	g.state.Facts.Interfaces = nil
	for _, i := range g.spec.Interfaces {
		g.state.Facts.Interfaces = append(g.state.Facts.Interfaces, InterfaceFacts{
			Unit: i.Unit, Name: i.Port.Name, PortID: i.Port.ID, MAC: i.Port.MAC, Dir: i.Dir(),
		})
	}
}

// changeInterface carries out one of the commands for interfaces beside the
// guest's loop, which goes on meanwhile.
func (g *guest) changeInterface(c call) {
	if c.Interface == nil {
		c.answer(virerr.New(libvirt.ErrInternalError, "the command '%s' lacks an interface", c.Command), g.state.Facts)
		return
	}
	nics, i := g.held.nics, *c.Interface
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), interfaceTime)
		defer cancel()
		var err error
		switch c.Command {
		case cmdOpenInterface:
			err = nics.Open(ctx, i)
		case cmdCloseInterface:
			err = nics.Close(ctx, i.Unit)
		case cmdUpdateInterface:
			err = nics.Update(ctx, i)
		}
		select {
		case g.changed <- func() { g.interfaceChanged(c, err) }:
		case <-g.over:
		}
	}()
}

// interfaceChanged notes a change that was made, for the next boot of the
// guest's kernel and for the next daemon, and answers.
func (g *guest) interfaceChanged(c call, err error) {
	if err == nil {
		isIt := func(i Interface) bool { return i.Unit == c.Interface.Unit }
		g.spec.Interfaces = slices.DeleteFunc(slices.Clone(g.spec.Interfaces), isIt)
		if c.Command != cmdCloseInterface {
			g.spec.Interfaces = append(g.spec.Interfaces, *c.Interface)
		}
		g.showInterfaces()
		g.saveSpec()
		g.save()
	}
	c.answer(err, g.state.Facts)
}

// saveSpec writes spec.json anew.
func (g *guest) saveSpec() {
	if err := rundir.WriteJSON(g.spec.Dir, specFile, g.spec); err != nil {
		g.log("cannot write the specification: %v", err)
	}
}

// OpenInterface makes an interface ready that the guest's kernel is about to
// get. A failure leaves nothing.
func (h *Handle) OpenInterface(ctx context.Context, i Interface) error {
	return h.callInterface(ctx, cmdOpenInterface, i)
}

// CloseInterface takes away what an interface that the kernel no longer has
// was connected to.
func (h *Handle) CloseInterface(ctx context.Context, unit int) error {
	return h.callInterface(ctx, cmdCloseInterface, Interface{Unit: unit})
}

// UpdateInterface gives an interface other settings or another network, of
// which the guest's kernel notices nothing.
func (h *Handle) UpdateInterface(ctx context.Context, i Interface) error {
	return h.callInterface(ctx, cmdUpdateInterface, i)
}

// callInterface also tells the end of the guest meanwhile from success.
func (h *Handle) callInterface(ctx context.Context, c command, i Interface) error {
	if err := h.call(ctx, request{Command: c, Interface: &i}); err != nil {
		return err
	}
	if h.exited() {
		return errGone()
	}
	return nil
}
