package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"virtumld/internal/domxml"
)

// Config is one domain's persistent side.
type Config struct {
	Def *domxml.Definition
	// Autostart says that the domain starts with the host.
	Autostart bool
}

// LoadConfigs reads every definition, in the order of the file names. parse
// may be called from several goroutines at once. A file that is no definition,
// whose domain has another name than the file, or whose uuid an earlier file
// has, is reported and left alone; so is an autostart link that leads to none
// of the definitions.
func (s *Store) LoadConfigs(ctx context.Context, parse func([]byte) (*domxml.Definition, error)) ([]Config, []Problem, error) {
	defs, problems, err := Load(ctx, s.config, func(name string, data []byte) (*domxml.Definition, error) {
		def, err := parse(data)
		if err != nil {
			return nil, err
		}
		if def.Name != name {
			return nil, fmt.Errorf("the domain in it is called %q, so it should be in %q", def.Name, def.Name+suffix)
		}
		return def, nil
	})
	if err != nil {
		return nil, nil, err
	}

	var configs []Config
	byName := make(map[string]int, len(defs))
	byUUID := make(map[uuid.UUID]string, len(defs))
	for _, def := range defs {
		if first, taken := byUUID[def.UUID]; taken {
			problems = append(problems, Problem{
				Path: s.config.Join(def.Name + suffix),
				Err:  fmt.Errorf("its uuid %s is that of domain %q; give it another, or remove the file", def.UUID, first),
			})
			continue
		}
		byUUID[def.UUID] = def.Name
		byName[def.Name] = len(configs)
		configs = append(configs, Config{Def: def})
	}

	linked, linkProblems, err := s.autostart.Links(s.config)
	if err != nil {
		return nil, nil, err
	}
	problems = append(problems, linkProblems...)
	for _, name := range linked {
		i, defined := byName[name]
		if !defined {
			problems = append(problems, Problem{
				Path: s.autostart.Join(name + suffix),
				Err:  errors.New("the autostart link leads to no domain"),
			})
			continue
		}
		configs[i].Autostart = true
	}
	return configs, problems, nil
}

// SaveConfig writes document, the inactive XML of the domain called name. It
// is durable when SaveConfig returns; on an error the old definition stays.
func (s *Store) SaveConfig(name, document string) error {
	file, err := FileName(name)
	if err != nil {
		return err
	}
	return s.config.Replace(file, []byte(notice(name)+document), Durable)
}

// RemoveConfig removes the definition and the autostart link of the domain
// called name. It is no error when there are none.
func (s *Store) RemoveConfig(name string) error {
	file, err := FileName(name)
	if err != nil {
		return err
	}
	// The link goes first: were it left over, a later domain of that name
	// would start with the host without having been asked to.
	if err := s.autostart.Remove(file, Durable); err != nil {
		return err
	}
	return s.config.Remove(file, Durable)
}

// Rename writes document as the definition of the domain called to and removes
// that of the domain called from; the autostart setting goes along. A crash in
// the middle leaves both, and LoadConfigs then takes one and reports the other.
func (s *Store) Rename(from, to, document string) error {
	oldFile, err := FileName(from)
	if err != nil {
		return err
	}
	autostart, err := s.linked(oldFile)
	if err != nil {
		return err
	}
	if err := s.SaveConfig(to, document); err != nil {
		return err
	}
	if autostart {
		if err := s.SetAutostart(to, true); err != nil {
			return errors.Join(err, s.RemoveConfig(to))
		}
	}
	if err := s.autostart.Remove(oldFile, Durable); err != nil {
		return errors.Join(err, s.RemoveConfig(to))
	}
	return s.config.Remove(oldFile, Durable)
}

// notice is the comment at the head of each definition, for whoever opens the
// file in an editor. The name is left out where XML would take it for the end
// of the comment.
func notice(name string) string {
	command := "virsh edit"
	if !strings.Contains(name, "--") && !strings.HasSuffix(name, "-") {
		command += " " + name
	}
	return "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. virtumld writes it anew with every change\n" +
		"of the domain, and what was changed here by hand is lost. To change the domain use\n  " +
		command + "\nor any other client of libvirt.\n-->\n"
}
