package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
)

const (
	// definitions is how many domains each client defines in a round.
	definitions = 25
	// definers is how many clients define at the same time.
	definers = 4
)

// BenchmarkDefine tells how many domains are durably defined in a second, and
// beside it how often the disk can do no more than what that needs: writing a
// new file of the same size and fsync, and the same with a rename and the
// folder's fsync.
func BenchmarkDefine(b *testing.B) {
	d := start(b)
	var clients []*libvirt.Libvirt
	for range definers {
		clients = append(clients, connect(b, d.Socket, uri()))
	}
	number := 0
	next := func() []string {
		var documents []string
		for range definitions {
			number++
			documents = append(documents, document("uml", "uml", number))
		}
		return documents
	}
	must(b, define(clients[0], next()))
	stored := readFile(b, configFile(b, d.Dir, "domain1"))
	disk := filepath.Join(d.Dir, "disk")
	must(b, os.Mkdir(disk, 0o700))

	var plain, replaced, one, many samples
	for b.Loop() {
		plain.take(func() { must(b, writeFiles(disk, stored)) })
		replaced.take(func() { must(b, replaceFiles(disk, stored)) })
		documents := next()
		one.take(func() { must(b, define(clients[0], documents)) })
		var batches [][]string
		for range clients {
			batches = append(batches, next())
		}
		many.take(func() { must(b, defineTogether(clients, batches)) })
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(perSecond(one, definitions), "defines/s-1-client")
	b.ReportMetric(perSecond(many, definitions*definers), fmt.Sprintf("defines/s-%d-clients", definers))
	b.ReportMetric(perSecond(plain, definitions), "disk-fsyncs/s")
	b.ReportMetric(perSecond(replaced, definitions), "disk-replaces/s")
	b.ReportMetric(float64(len(stored)), "bytes")
}

func perSecond(s samples, steps int) float64 {
	return float64(time.Second) / float64(s.median(steps))
}

func define(client *libvirt.Libvirt, documents []string) error {
	for _, document := range documents {
		if _, err := client.DomainDefineXML(document); err != nil {
			return err
		}
	}
	return nil
}

// defineTogether has each client define a batch of its own.
func defineTogether(clients []*libvirt.Libvirt, batches [][]string) error {
	errs := make([]error, len(clients))
	var group sync.WaitGroup
	for i, client := range clients {
		group.Go(func() { errs[i] = define(client, batches[i]) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// writeFiles makes new files, each of them durable.
func writeFiles(dir, content string) error {
	for i := range definitions {
		if err := writeDurably(filepath.Join(dir, fmt.Sprint("plain", i)), content); err != nil {
			return err
		}
	}
	return nil
}

func writeDurably(path, content string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// replaceFiles makes new files under another name and gives each its own,
// durably: what a definition on disk needs at least.
func replaceFiles(dir, content string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	for i := range definitions {
		path := filepath.Join(dir, fmt.Sprint("replaced", i))
		if err := writeDurably(path+".new", content); err != nil {
			return err
		}
		if err := errors.Join(os.Rename(path+".new", path), folder.Sync()); err != nil {
			return err
		}
	}
	return nil
}

// configFile finds the definition of a domain below dir.
func configFile(b *testing.B, dir, name string) string {
	b.Helper()
	found := ""
	must(b, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && entry.Name() == name+".xml" {
			found = path
		}
		return err
	}))
	if found == "" {
		b.Fatalf("no definition of %s below %s", name, dir)
	}
	return found
}
