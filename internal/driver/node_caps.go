package driver

import (
	"context"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/capxml"
	"virtumld/internal/hostinfo"
)

// ConnectGetCapabilities tells what the host is and what guests it can run.
func (c *Conn) ConnectGetCapabilities(ctx context.Context) (*libvirt.ConnectGetCapabilitiesRet, error) {
	host, err := c.capabilities(ctx)
	if err != nil {
		return nil, err
	}
	document, err := capxml.Capabilities(host)
	if err != nil {
		return nil, err
	}
	return &libvirt.ConnectGetCapabilitiesRet{Capabilities: document}, nil
}

// ConnectGetDomainCapabilities tells what a domain of a kernel, the client's
// "emulator", can have.
func (c *Conn) ConnectGetDomainCapabilities(ctx context.Context, a *libvirt.ConnectGetDomainCapabilitiesArgs) (*libvirt.ConnectGetDomainCapabilitiesRet, error) {
	if err := checkFlags(a.Flags, 0, "virConnectGetDomainCapabilities"); err != nil {
		return nil, err
	}
	query := capxml.Query{
		Emulator: optional(a.Emulatorbin), Arch: optional(a.Arch),
		Machine: optional(a.Machine), VirtType: strings.ToLower(optional(a.Virttype)),
	}
	host := capxml.Host{Arch: c.driver.host.Info.Arch()}
	c.addKernel(ctx, &host)
	target, err := capxml.Lookup(host, query)
	if err != nil {
		return nil, err
	}
	if target.Kernel != host.Kernel {
		kernel, err := c.driver.host.Kernel(ctx, target.Kernel)
		if err != nil {
			return nil, err
		}
		target.MaxVCPUs = uint(kernel.MaxVCPUs)
	}
	document, err := capxml.DomainCapabilities(target)
	if err != nil {
		return nil, err
	}
	return &libvirt.ConnectGetDomainCapabilitiesRet{Capabilities: document}, nil
}

// optional is an optional string's text, "" for none.
func optional(s libvirt.OptString) string { return strings.Join(s, "") }

// capabilities reads the host for its document.
func (c *Conn) capabilities(ctx context.Context) (capxml.Host, error) {
	reader := c.driver.host.Info
	info, err := reader.NodeInfo()
	if err != nil {
		return capxml.Host{}, errHost(err)
	}
	cells, err := reader.Cells()
	if err != nil {
		return capxml.Host{}, errHost(err)
	}
	host := capxml.Host{
		UUID:    reader.UUID().String(),
		Arch:    info.Arch,
		Sockets: info.Sockets, Cores: info.Cores, Threads: info.Threads,
		Cells: capCells(cells),
		Label: c.driver.host.Label,
	}
	for _, p := range cells[0].Pages {
		host.PageSizes = append(host.PageSizes, int(p.SizeKiB))
	}
	c.addKernel(ctx, &host)
	return host, nil
}

// addKernel adds the default kernel, without which no guest is offered.
func (c *Conn) addKernel(ctx context.Context, host *capxml.Host) {
	kernel, err := c.driver.host.Kernel(ctx, "")
	if err != nil {
		c.driver.log.Debug("the default kernel is not known", "error", err)
		return
	}
	host.Kernel, host.MaxVCPUs = kernel.Path, uint(kernel.MaxVCPUs)
}

func capCells(cells []hostinfo.Cell) []capxml.Cell {
	out := make([]capxml.Cell, len(cells))
	for i, cell := range cells {
		out[i] = capxml.Cell{ID: cell.ID, Memory: cell.MemoryKiB}
		for _, p := range cell.Pages {
			out[i].Pages = append(out[i].Pages, capxml.Pages{Size: int(p.SizeKiB), Count: p.Total})
		}
		for _, cpu := range cell.CPUs {
			out[i].CPUs = append(out[i].CPUs, capxml.CPU{
				ID: cpu.ID, Socket: cpu.Socket, Die: cpu.Die, Core: cpu.Core, Siblings: cpu.Siblings.String(),
			})
		}
		// The kernel's row has a distance for each cell, in their order.
		for n, distance := range cell.Distances {
			if n < len(cells) {
				out[i].Distances = append(out[i].Distances, capxml.Distance{ID: cells[n].ID, Value: distance})
			}
		}
	}
	return out
}
