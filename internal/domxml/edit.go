package domxml

import (
	"github.com/google/uuid"
)

// edit returns the definition that d's document becomes by change. What
// change does not touch stays byte for byte.
func (d *Definition) edit(change func(*document) error) (*Definition, error) {
	doc, err := decode([]byte(d.text))
	if err != nil {
		return nil, err
	}
	if err := change(doc); err != nil {
		return nil, err
	}
	// What was changed came from outside: it is read like any document.
	if err := checkTexts(doc); err != nil {
		return nil, err
	}
	text, err := marshal(doc)
	if err != nil {
		return nil, err
	}
	next, err := Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	next.keepPorts(d)
	return next, nil
}

// checkTexts refuses characters that XML has no way to write.
func checkTexts(doc *document) error {
	for _, text := range []string{doc.Name, doc.Title, doc.Description} {
		if err := checkCharacters([]byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// WithName returns d under another name.
func (d *Definition) WithName(name string) (*Definition, error) {
	return d.edit(func(doc *document) error { doc.Name = name; return nil })
}

// WithUUID returns d with another uuid.
func (d *Definition) WithUUID(id uuid.UUID) (*Definition, error) {
	return d.edit(func(doc *document) error { doc.UUID = id.String(); return nil })
}

// WithMemory returns d with kib KiB as <currentMemory>, rounded up to a page;
// more than <memory> is an error.
func (d *Definition) WithMemory(kib uint64) (*Definition, error) {
	return d.edit(func(doc *document) error {
		if kib == 0 {
			return invalidArgument("memory cannot be 0")
		}
		if kib > d.MaxMemory {
			return invalidArgument("cannot set memory higher than max memory")
		}
		doc.CurrentMemory.Value = uint(kib)
		return nil
	})
}

// WithMaxMemory returns d with kib KiB as <memory>, rounded up to a page;
// <currentMemory> is lowered to it.
func (d *Definition) WithMaxMemory(kib uint64) (*Definition, error) {
	return d.edit(func(doc *document) error {
		if kib == 0 {
			return invalidArgument("max memory cannot be 0")
		}
		doc.Memory.Value = uint(kib)
		return nil
	})
}

// WithVCPUs returns d with another maximum and current number of vCPUs.
func (d *Definition) WithVCPUs(maximum, current uint) (*Definition, error) {
	return d.edit(func(doc *document) error {
		doc.VCPU.Value, doc.VCPU.Current = maximum, current
		if current == maximum {
			doc.VCPU.Current = 0
		}
		return nil
	})
}

// WithActions returns d with other lifecycle actions.
func (d *Definition) WithActions(onPoweroff, onReboot, onCrash Action) (*Definition, error) {
	return d.edit(func(doc *document) error {
		doc.OnPoweroff, doc.OnReboot, doc.OnCrash = string(onPoweroff), string(onReboot), string(onCrash)
		return nil
	})
}
