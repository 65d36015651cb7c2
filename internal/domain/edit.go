package domain

import (
	"context"
	"errors"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// Target says which side of a domain an edit is for
// (virDomainModificationImpact). With neither, it is the live side of an
// active domain, else the config.
type Target struct{ Live, Config bool }

// resolve turns the target into definite sides of v, or refuses it.
func (t Target) resolve(v *View) (Target, error) {
	if !t.Live && !t.Config {
		return Target{Live: v.Active(), Config: !v.Active()}, nil
	}
	if t.Live && !v.Active() {
		return t, ErrNotRunning()
	}
	if t.Config && !v.Persistent() {
		return t, virerr.New(libvirt.ErrOperationInvalid, "transient domains do not have any persistent config")
	}
	return t, nil
}

// Pick returns the definition that a getter with this target reads.
func (t Target) Pick(v *View) (*domxml.Definition, error) {
	t, err := t.resolve(v)
	if err != nil {
		return nil, err
	}
	if t.Live {
		return v.Live, nil
	}
	return v.Config, nil
}

// Edit is one change of a domain's definition.
type Edit struct {
	// Job names the change while it runs.
	Job    string
	Target Target
	// Change makes the new definition of one side.
	Change func(*domxml.Definition) (*domxml.Definition, error)
	// Apply, when set, has the running guest follow the new live definition.
	Apply func(ctx context.Context, guest Guest, live *domxml.Definition) error
	// Tell is what clients hear of it, TellLive, when set, what they hear
	// besides when the running guest has changed.
	Tell     []Change
	TellLive func() []Change
}

// Edit carries out e on the sides that its target names: both or none.
func (d *Domain) Edit(ctx context.Context, e Edit) error {
	end, err := d.begin(ctx, e.Job)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := work(ctx, answerLimit)
	defer cancel()

	v := d.View()
	target, err := e.Target.resolve(v)
	if err != nil {
		return err
	}
	next, err := e.prepare(d, v, target)
	if err != nil {
		return err
	}
	if target.Live {
		if err := e.apply(ctx, d, next.Live); err != nil {
			return err
		}
	}
	if target.Config {
		if err := d.list.store.SaveConfig(next.Config.Name, next.Config.XML(true)); err != nil {
			if target.Live {
				err = errors.Join(err, e.apply(ctx, d, v.Live))
			}
			return err
		}
	}
	d.change(func(v *View) {
		if target.Config {
			v.Config = next.Config
		}
		if target.Live && v.ID == next.ID {
			v.Live, v.LiveXML = next.Live, next.LiveXML
		}
	}, e.told(target)...)
	if target.Live {
		d.syncStatus()
	}
	return nil
}

// told is what clients hear of the change.
func (e Edit) told(target Target) []Change {
	if !target.Live || e.TellLive == nil {
		return e.Tell
	}
	return append(slices.Clone(e.Tell), e.TellLive()...)
}

// prepare makes the definitions and the live document that v will have.
func (e Edit) prepare(d *Domain, v *View, target Target) (*View, error) {
	next := *v
	var err error
	if target.Config {
		if next.Config, err = e.Change(v.Config); err != nil {
			return nil, err
		}
	}
	if target.Live {
		if next.Live, err = e.Change(v.Live); err != nil {
			return nil, err
		}
		next.Live = d.list.named(next.Live)
		if next.LiveXML, err = next.document(); err != nil {
			return nil, err
		}
	}
	return &next, nil
}

func (e Edit) apply(ctx context.Context, d *Domain, live *domxml.Definition) error {
	guest, err := d.running()
	if err != nil || e.Apply == nil {
		return err
	}
	return asTimeout(e.Apply(ctx, guest, live), e.Job)
}
