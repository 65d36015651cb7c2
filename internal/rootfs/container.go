package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// container is an image of layers.
type container struct {
	image v1.Image
	meta  Metadata
	o     Options
}

func openRegistry(ctx context.Context, reference string, o Options) (Source, error) {
	var options []name.Option
	if o.Insecure {
		options = append(options, name.Insecure)
	}
	ref, err := name.ParseReference(reference, options...)
	if err != nil {
		return nil, fmt.Errorf("%q is no file, and no name of an image in a registry: %w", reference, err)
	}
	image, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: o.architecture()}))
	if err != nil {
		return nil, fmt.Errorf("image %s in the registry %s: %w", ref, ref.Context().RegistryStr(), err)
	}
	return newContainer(image, o)
}

func openLayout(path string, o Options) (Source, error) {
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("OCI layout %s: %w", path, err)
	}
	images, err := imagesFor(index, o.architecture(), 0)
	if err != nil {
		return nil, fmt.Errorf("OCI layout %s: %w", path, err)
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("OCI layout %s has %d images for linux/%s; it must be one", path, len(images), o.architecture())
	}
	return newContainer(images[0], o)
}

// maxNesting bounds indexes within indexes, which a layout may have in a
// circle.
const maxNesting = 3

// imagesFor finds the images for Linux on an architecture; those that name no
// platform are taken too.
func imagesFor(index v1.ImageIndex, architecture string, depth int) ([]v1.Image, error) {
	if depth > maxNesting {
		return nil, errors.New("its indexes are nested too deeply")
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Image
	for _, d := range manifest.Manifests {
		switch p := d.Platform; {
		case d.MediaType.IsIndex():
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			more, err := imagesFor(inner, architecture, depth+1)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		case d.MediaType.IsImage() && (p == nil || p.OS == "linux" && p.Architecture == architecture):
			image, err := index.Image(d.Digest)
			if err != nil {
				return nil, err
			}
			found = append(found, image)
		}
	}
	return found, nil
}

func openArchive(path string, o Options) (Source, error) {
	open := func() (io.ReadCloser, error) { return openDecompressed(path) }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("docker archive %s: %w; unpack an OCI archive into a folder first", path, err)
	}
	if len(manifest) != 1 {
		return nil, fmt.Errorf("docker archive %s has %d images; it must be one", path, len(manifest))
	}
	image, err := tarball.Image(open, nil)
	if err != nil {
		return nil, fmt.Errorf("docker archive %s: %w", path, err)
	}
	return newContainer(image, o)
}

// openDecompressed opens a file as decompress reads it.
func openDecompressed(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	start := make([]byte, 8)
	if n, _ := f.ReadAt(start, 0); !isCompressed(start[:n]) {
		return f, nil // which can seek
	}
	r, err := decompress(f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return both{r, f}, nil
}

// both is a reader over a file, closed with it.
type both struct {
	io.ReadCloser
	file *os.File
}

func (b both) Close() error { return errors.Join(b.ReadCloser.Close(), b.file.Close()) }

func newContainer(image v1.Image, o Options) (Source, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("configuration of the image: %w", err)
	}
	if config.Architecture != "" && config.Architecture != o.architecture() {
		return nil, fmt.Errorf("the image is for %s, not for %s", config.Architecture, o.architecture())
	}
	c := config.Config
	return &container{image, Metadata{Cmd: c.Cmd, Entrypoint: c.Entrypoint, Env: c.Env, User: c.User, Workdir: c.WorkingDir}, o}, nil
}

func (c *container) Metadata() Metadata { return c.meta }
func (c *container) Close() error       { return nil }

// Copy copies the layers, lowest first.
func (c *container) Copy(ctx context.Context, to Sink) error {
	layers, err := c.image.Layers()
	if err != nil {
		return fmt.Errorf("layers of the image: %w", err)
	}
	var before int64
	for i, layer := range layers {
		if i > 0 {
			to.NextLayer()
		}
		read, err := c.copyLayer(ctx, layer, to, before)
		if err != nil {
			return fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
		before += read
	}
	return nil
}

func (c *container) copyLayer(ctx context.Context, layer v1.Layer, to Sink, before int64) (read int64, err error) {
	r, err := layer.Uncompressed()
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	o := c.o
	if tell := c.o.Progress; tell != nil {
		o.Progress = func(done, _ int64) { read = done; tell(before+done, 0) }
	}
	in := o.counted(r, 0)
	if err := copyTar(ctx, in, to, true); err != nil {
		return read, err
	}
	// The checksum is compared at the end only.
	_, err = io.Copy(io.Discard, reader{ctx, in})
	return read, err
}
