package driver

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/paths"
	"virtumld/internal/proto"
	"virtumld/internal/storage"
	"virtumld/internal/storagexml"
	"virtumld/internal/virerr"
)

// fakeStorage has the pools that a test gives it and notes what is asked of
// it. Methods that it does not have must not be called.
type fakeStorage struct {
	storage.Manager
	pools   []storage.PoolView
	volumes []storage.VolumeView
	calls   []string
	tell    []func(storage.Change)
}

func (f *fakeStorage) note(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fakeStorage) find(match func(storage.PoolView) bool, what any) (storage.PoolView, error) {
	if i := slices.IndexFunc(f.pools, match); i >= 0 {
		return f.pools[i], nil
	}
	return storage.PoolView{}, virerr.In(virerr.Storage, libvirt.ErrNoStoragePool, "%v", what)
}

func (f *fakeStorage) Pools() []storage.PoolView { return f.pools }

func (f *fakeStorage) Pool(s storage.PoolSpec) (storage.PoolView, error) {
	return f.find(func(v storage.PoolView) bool { return v.UUID == s.UUID }, s.UUID)
}

func (f *fakeStorage) PoolByName(name string) (storage.PoolView, error) {
	return f.find(func(v storage.PoolView) bool { return v.Name == name }, name)
}

func (f *fakeStorage) Volumes(storage.PoolSpec) ([]storage.VolumeView, error) { return f.volumes, nil }

func (f *fakeStorage) Volume(p storage.PoolSpec, name string) (storage.VolumeView, error) {
	for _, v := range f.volumes {
		if v.Pool == p.Name && v.Name == name {
			return v, nil
		}
	}
	return storage.VolumeView{}, virerr.In(virerr.Storage, libvirt.ErrNoStorageVol, "%s", name)
}

func (f *fakeStorage) VolumeByPath(path string) (storage.VolumeView, error) {
	for _, v := range f.volumes {
		if v.Path == path || v.Path+"/" == path {
			return v, nil
		}
	}
	return storage.VolumeView{}, virerr.In(virerr.Storage, libvirt.ErrNoStorageVol, "%s", path)
}

func (f *fakeStorage) DefinePool(_ context.Context, def *storagexml.Pool) (storage.PoolView, error) {
	f.note("define %s", def.Name)
	return storage.PoolView{Pool: def}, nil
}

func (f *fakeStorage) CreatePool(_ context.Context, def *storagexml.Pool, o storage.BuildOptions) (storage.PoolView, error) {
	f.note("create %s %+v", def.Name, o)
	return storage.PoolView{Pool: def}, nil
}

func (f *fakeStorage) BuildPool(_ context.Context, p storage.PoolSpec, o storage.BuildOptions) error {
	f.note("build %s %+v", p.Name, o)
	return nil
}

func (f *fakeStorage) StartPool(_ context.Context, p storage.PoolSpec, o storage.BuildOptions) error {
	f.note("start %s %+v", p.Name, o)
	return nil
}

func (f *fakeStorage) CreateVolume(_ context.Context, p storage.PoolSpec, def *storagexml.Volume, o storage.CreateOptions) (storage.VolumeView, error) {
	f.note("create %s in %s %+v", def.Name, p.Name, o)
	return storage.VolumeView{Volume: def, Pool: p.Name}, nil
}

func (f *fakeStorage) CloneVolume(_ context.Context, p storage.PoolSpec, def *storagexml.Volume, from storage.PoolSpec, name string, o storage.CreateOptions) (storage.VolumeView, error) {
	f.note("clone %s/%s to %s/%s %+v", from.Name, name, p.Name, def.Name, o)
	return storage.VolumeView{Volume: def, Pool: p.Name}, nil
}

func (f *fakeStorage) WipeVolume(_ context.Context, p storage.PoolSpec, name string, algorithm int32) error {
	f.note("wipe %s/%s %d", p.Name, name, algorithm)
	return nil
}

func (f *fakeStorage) ResizeVolume(_ context.Context, p storage.PoolSpec, name string, capacity uint64, allocate, shrink bool) error {
	f.note("resize %s/%s %d allocate=%t shrink=%t", p.Name, name, capacity, allocate, shrink)
	return nil
}

func (f *fakeStorage) Upload(_ context.Context, p storage.PoolSpec, name string, offset, length uint64) (storage.Upload, error) {
	f.note("upload %s/%s %d+%d", p.Name, name, offset, length)
	return nil, nil
}

func (f *fakeStorage) Download(_ context.Context, p storage.PoolSpec, name string, offset, length uint64) (storage.Download, error) {
	f.note("download %s/%s %d+%d", p.Name, name, offset, length)
	return nil, nil
}

func (f *fakeStorage) Subscribe(tell func(storage.Change)) func() {
	f.tell = append(f.tell, tell)
	return func() { f.tell = nil }
}

func fakePool(name string, active, persistent, autostart bool) storage.PoolView {
	def := &storagexml.Pool{Name: name, UUID: uuid.NewSHA1(uuid.Nil, []byte(name)), Target: "/" + name}
	return storage.PoolView{Pool: def, Inactive: def, Active: active, Persistent: persistent, Autostart: autostart}
}

// storageConn is a connection to a daemon with an active, an inactive and a
// transient pool, and two volumes in the first.
func storageConn(t *testing.T) (*Conn, *fakeStorage) {
	t.Helper()
	f := &fakeStorage{
		pools: []storage.PoolView{
			fakePool("active", true, true, true), fakePool("off", false, true, false), fakePool("transient", true, false, false),
		},
		volumes: []storage.VolumeView{
			{Volume: &storagexml.Volume{Name: "a", Path: "/active/a", Key: "/active/a", Capacity: 100, Allocation: 10, Physical: 20}, Pool: "active"},
			{Volume: &storagexml.Volume{Name: "b", Path: "/active/b", Key: "/active/b"}, Pool: "active", Type: 2},
		},
	}
	d := New(nil, nil, f, nil, HostView{}, paths.Paths{System: true}, slog.New(slog.DiscardHandler))
	return d.NewConn(Peer{}, false, nil), f
}

func (f *fakeStorage) object(name string) libvirt.StoragePool {
	v, err := f.PoolByName(name)
	if err != nil {
		panic(err)
	}
	return poolObject(specOf(v))
}

var volumeA = libvirt.StorageVol{Pool: "active", Name: "a", Key: "/active/a"}

func TestListPools(t *testing.T) {
	c, _ := storageConn(t)
	for _, tt := range []struct {
		flags libvirt.ConnectListAllStoragePoolsFlags
		want  []string
	}{
		{0, []string{"active", "off", "transient"}},
		{poolsActive, []string{"active", "transient"}},
		{poolsInactive, []string{"off"}},
		{poolsActive | poolsInactive, []string{"active", "off", "transient"}},
		{poolsPersistent, []string{"active", "off"}},
		{poolsTransient, []string{"transient"}},
		{poolsAutostart, []string{"active"}},
		{poolsNoAutostart, []string{"off", "transient"}},
		{poolsNoAutostart | poolsActive, []string{"transient"}},
		{poolsDir, []string{"active", "off", "transient"}},
		{poolsOtherTypes, nil},
		{poolsDir | libvirt.ConnectListStoragePoolsRbd | poolsInactive, []string{"off"}},
	} {
		for _, need := range []int32{0, 1} {
			got, err := c.ConnectListAllStoragePools(t.Context(), &libvirt.ConnectListAllStoragePoolsArgs{NeedResults: need, Flags: tt.flags})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range got.Pools {
				names = append(names, p.Name)
			}
			want := tt.want
			if need == 0 {
				want = nil
			}
			if int(got.Ret) != len(tt.want) || !slices.Equal(names, want) {
				t.Errorf("filters 0x%x, need_results %d: %d %q, want %q", tt.flags, need, got.Ret, names, want)
			}
		}
	}
	names, err := c.ConnectListStoragePools(t.Context(), &libvirt.ConnectListStoragePoolsArgs{Maxnames: 1})
	if err != nil || !slices.Equal(names.Names, []string{"active"}) {
		t.Errorf("one active pool: %v, %v", names, err)
	}
	defined, err := c.ConnectListDefinedStoragePools(t.Context(), &libvirt.ConnectListDefinedStoragePoolsArgs{Maxnames: 9})
	if err != nil || !slices.Equal(defined.Names, []string{"off"}) {
		t.Errorf("inactive pools: %v, %v", defined, err)
	}
}

// What reaches the storage of calls that change something.
func TestStorageCalls(t *testing.T) {
	pool := `<pool type='dir'><name>new</name><target><path>/new</path></target></pool>`
	vol := `<volume><name>v</name><capacity>10</capacity></volume>`
	for want, call := range map[string]func(*Conn, *fakeStorage) error{
		"define new": func(c *Conn, _ *fakeStorage) error {
			_, err := c.StoragePoolDefineXML(t.Context(), &libvirt.StoragePoolDefineXMLArgs{XML: pool})
			return err
		},
		"create new {Build:true Overwrite:true NoOverwrite:false}": func(c *Conn, _ *fakeStorage) error {
			_, err := c.StoragePoolCreateXML(t.Context(), &libvirt.StoragePoolCreateXMLArgs{XML: pool, Flags: libvirt.StoragePoolCreateWithBuildOverwrite})
			return err
		},
		"start off {Build:false Overwrite:false NoOverwrite:false}": func(c *Conn, f *fakeStorage) error {
			return c.StoragePoolCreate(t.Context(), &libvirt.StoragePoolCreateArgs{Pool: f.object("off")})
		},
		"start off {Build:true Overwrite:false NoOverwrite:false}": func(c *Conn, f *fakeStorage) error {
			return c.StoragePoolCreate(t.Context(), &libvirt.StoragePoolCreateArgs{Pool: f.object("off"), Flags: libvirt.StoragePoolCreateWithBuild})
		},
		"build off {Build:true Overwrite:false NoOverwrite:true}": func(c *Conn, f *fakeStorage) error {
			return c.StoragePoolBuild(t.Context(), &libvirt.StoragePoolBuildArgs{Pool: f.object("off"), Flags: libvirt.StoragePoolBuildNoOverwrite})
		},
		"create v in active {PreallocateMetadata:true Reflink:false}": func(c *Conn, f *fakeStorage) error {
			_, err := c.StorageVolCreateXML(t.Context(), &libvirt.StorageVolCreateXMLArgs{Pool: f.object("active"), XML: vol, Flags: libvirt.StorageVolCreatePreallocMetadata})
			return err
		},
		"clone active/a to transient/v {PreallocateMetadata:false Reflink:true}": func(c *Conn, f *fakeStorage) error {
			_, err := c.StorageVolCreateXMLFrom(t.Context(), &libvirt.StorageVolCreateXMLFromArgs{
				Pool: f.object("transient"), XML: vol, Clonevol: volumeA, Flags: libvirt.StorageVolCreateReflink,
			})
			return err
		},
		"wipe active/a 0": func(c *Conn, _ *fakeStorage) error {
			return c.StorageVolWipe(t.Context(), &libvirt.StorageVolWipeArgs{Vol: volumeA})
		},
		"wipe active/a 9": func(c *Conn, _ *fakeStorage) error {
			return c.StorageVolWipePattern(t.Context(), &libvirt.StorageVolWipePatternArgs{Vol: volumeA, Algorithm: 9})
		},
		"resize active/a 7 allocate=true shrink=false":    resize(7, libvirt.StorageVolResizeAllocate),
		"resize active/a 107 allocate=false shrink=false": resize(7, libvirt.StorageVolResizeDelta),
		"resize active/a 93 allocate=false shrink=true":   resize(7, libvirt.StorageVolResizeDelta|libvirt.StorageVolResizeShrink),
		"resize active/a 0 allocate=false shrink=true":    resize(1000, libvirt.StorageVolResizeDelta|libvirt.StorageVolResizeShrink),
		"upload active/a 1+2": func(c *Conn, _ *fakeStorage) error {
			u, err := c.StorageVolUpload(t.Context(), &libvirt.StorageVolUploadArgs{Vol: volumeA, Offset: 1, Length: 2, Flags: libvirt.StorageVolUploadSparseStream})
			if !u.Sparse {
				t.Error("the upload is not sparse")
			}
			return err
		},
		"download active/a 3+4": func(c *Conn, _ *fakeStorage) error {
			d, err := c.StorageVolDownload(t.Context(), &libvirt.StorageVolDownloadArgs{Vol: volumeA, Offset: 3, Length: 4})
			if d.Sparse {
				t.Error("the download is sparse")
			}
			return err
		},
	} {
		c, f := storageConn(t)
		if err := call(c, f); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if !slices.Equal(f.calls, []string{want}) {
			t.Errorf("asked for %q, want %q", f.calls, want)
		}
	}
}

func resize(capacity uint64, flags libvirt.StorageVolResizeFlags) func(*Conn, *fakeStorage) error {
	return func(c *Conn, _ *fakeStorage) error {
		return c.StorageVolResize(context.Background(), &libvirt.StorageVolResizeArgs{Vol: volumeA, Capacity: capacity, Flags: flags})
	}
}

// strangeVolume is a document that is read only by clients who want no strict
// reading.
const strangeVolume = "<volume><name>v</name><capacity>1</capacity><colour/></volume>"

// What is refused before the storage hears of it.
func TestStorageRefuses(t *testing.T) {
	wipe := func(algorithm uint32) func(*Conn, *fakeStorage) error {
		return func(c *Conn, _ *fakeStorage) error {
			return c.StorageVolWipePattern(t.Context(), &libvirt.StorageVolWipePatternArgs{Vol: volumeA, Algorithm: algorithm})
		}
	}
	find := func(kind string) func(*Conn, *fakeStorage) error {
		return func(c *Conn, _ *fakeStorage) error {
			_, err := c.ConnectFindStoragePoolSources(t.Context(), &libvirt.ConnectFindStoragePoolSourcesArgs{Type: kind})
			return err
		}
	}
	for _, tt := range []struct {
		call func(*Conn, *fakeStorage) error
		want string
	}{
		{func(c *Conn, f *fakeStorage) error {
			return c.StoragePoolDelete(t.Context(), &libvirt.StoragePoolDeleteArgs{Pool: f.object("off"), Flags: libvirt.StoragePoolDeleteZeroed})
		}, "invalid argument: unsupported flags (0x1) in function virStoragePoolDelete"},
		{func(c *Conn, f *fakeStorage) error {
			return c.StoragePoolBuild(t.Context(), &libvirt.StoragePoolBuildArgs{Pool: f.object("off"), Flags: libvirt.StoragePoolBuildResize})
		}, "invalid argument: unsupported flags (0x2) in function virStoragePoolBuild"},
		{func(c *Conn, f *fakeStorage) error {
			_, err := c.StorageVolCreateXML(t.Context(), &libvirt.StorageVolCreateXMLArgs{Pool: f.object("off"), XML: "not looked at"})
			return err
		}, "Requested operation is not valid: storage pool 'off' is not active"},
		{func(c *Conn, f *fakeStorage) error {
			_, err := c.StorageVolCreateXML(t.Context(), &libvirt.StorageVolCreateXMLArgs{Pool: f.object("active"), Flags: libvirt.StorageVolCreateReflink})
			return err
		}, "invalid argument: unsupported flags (0x2) in function virStorageVolCreateXML"},
		{func(c *Conn, _ *fakeStorage) error {
			_, err := c.StoragePoolDefineXML(t.Context(), &libvirt.StoragePoolDefineXMLArgs{
				XML: "<pool type='dir'><name>n</name><colour/><target><path>/n</path></target></pool>", Flags: uint32(libvirt.StoragePoolDefineValidate),
			})
			return err
		}, "XML document failed to validate against schema: './colour' is not part of a pool's definition"},
		{func(c *Conn, f *fakeStorage) error {
			_, err := c.StorageVolCreateXML(t.Context(), &libvirt.StorageVolCreateXMLArgs{
				Pool: f.object("active"), XML: strangeVolume, Flags: libvirt.StorageVolCreateValidate,
			})
			return err
		}, "XML document failed to validate against schema: './colour' is not part of a volume's definition"},
		{func(c *Conn, f *fakeStorage) error {
			_, err := c.StorageVolCreateXMLFrom(t.Context(), &libvirt.StorageVolCreateXMLFromArgs{
				Pool: f.object("active"), XML: strangeVolume, Clonevol: volumeA, Flags: libvirt.StorageVolCreateValidate,
			})
			return err
		}, "XML document failed to validate against schema: './colour' is not part of a volume's definition"},
		{wipe(10), "invalid argument: wiping algorithm 10 not supported"},
		{wipe(1<<32 - 1), "invalid argument: wiping algorithm -1 not supported"},
		{resize(0, 0), "invalid argument: capacity in virStorageVolResize cannot be zero without 'delta' or 'shrink' flags set"},
		{resize(1<<64-50, libvirt.StorageVolResizeDelta), "numerical overflow: a volume of 100 bytes cannot grow by 18446744073709551566 bytes"},
		{find("dir"), "this function is not supported by the connection driver: pool type 'dir' does not support source discovery"},
		{find("logical"), "internal error: missing backend for pool type 3 (logical)"},
		{find("tape"), "internal error: unknown storage pool type tape"},
		{func(c *Conn, _ *fakeStorage) error {
			_, err := c.StorageVolLookupByKey(t.Context(), &libvirt.StorageVolLookupByKeyArgs{Key: "/active/a/"})
			return err
		}, "Storage volume not found: no storage vol with matching key /active/a/"},
		{func(c *Conn, _ *fakeStorage) error {
			_, err := c.ConnectStoragePoolEventRegisterAny(t.Context(), &libvirt.ConnectStoragePoolEventRegisterAnyArgs{EventID: 2})
			return err
		}, "internal error: unsupported storage pool event ID 2"},
		{func(c *Conn, _ *fakeStorage) error {
			return c.ConnectStoragePoolEventDeregisterAny(t.Context(), &libvirt.ConnectStoragePoolEventDeregisterAnyArgs{CallbackID: 1})
		}, "internal error: storage pool event callback 1 not registered"},
	} {
		c, f := storageConn(t)
		if err := tt.call(c, f); err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %s", err, tt.want)
		}
		if len(f.calls) > 0 {
			t.Errorf("%s: but the storage was asked to %q", tt.want, f.calls)
		}
	}
}

func TestVolumeInfo(t *testing.T) {
	c, f := storageConn(t)
	info, err := c.StorageVolGetInfo(t.Context(), &libvirt.StorageVolGetInfoArgs{Vol: volumeA})
	if want := (&libvirt.StorageVolGetInfoRet{Capacity: 100, Allocation: 10}); err != nil || !reflect.DeepEqual(info, want) {
		t.Errorf("info %+v, %v; want %+v", info, err, want)
	}
	for flags, want := range map[uint32]uint64{0: 10, 1: 20} {
		info, err := c.StorageVolGetInfoFlags(t.Context(), &libvirt.StorageVolGetInfoFlagsArgs{Vol: volumeA, Flags: flags})
		if err != nil || info.Allocation != want {
			t.Errorf("flags %d: %+v, %v; want allocation %d", flags, info, err, want)
		}
	}
	all, err := c.StoragePoolListAllVolumes(t.Context(), &libvirt.StoragePoolListAllVolumesArgs{Pool: f.object("active"), NeedResults: 1})
	if err != nil || all.Ret != 2 || all.Vols[0] != volumeA {
		t.Errorf("volumes %+v, %v", all, err)
	}
}

// heard notes what a client is told.
type heard []string

func (h *heard) Notify(procedure int32, message any) {
	*h = append(*h, fmt.Sprintf("%s %+v", proto.Find(proto.ProgramRemote, procedure).Name, message))
}

func TestPoolEvents(t *testing.T) {
	_, f := storageConn(t)
	var got heard
	d := New(nil, nil, f, nil, HostView{}, paths.Paths{}, slog.New(slog.DiscardHandler))
	c := d.NewConn(Peer{}, true, &got)
	register := func(event int32, pool libvirt.OptStoragePool) {
		t.Helper()
		if _, err := c.ConnectStoragePoolEventRegisterAny(t.Context(), &libvirt.ConnectStoragePoolEventRegisterAnyArgs{EventID: event, Pool: pool}); err != nil {
			t.Fatal(err)
		}
	}
	register(0, nil)                                           // 1
	register(1, nil)                                           // 2
	register(0, libvirt.OptStoragePool{f.object("transient")}) // 3
	if len(f.tell) != 1 {
		t.Fatalf("subscribed %d times", len(f.tell))
	}
	pool := func(name string) storage.PoolSpec { return poolSpec(f.object(name)) }
	tell := func(change storage.Change, want ...string) {
		t.Helper()
		got = nil
		f.tell[0](change)
		slices.Sort(got)
		for i := range want {
			want[i] = fmt.Sprintf(want[i], libvirt.UUID(change.Pool.UUID))
		}
		if !slices.Equal(got, want) {
			t.Errorf("the client heard %q, want %q", got, want)
		}
	}
	stopped := int32(libvirt.StoragePoolEventStopped)
	const message = "StoragePoolEventLifecycle &{CallbackID:%d Pool:{Name:%s UUID:%%v} Event:3 Detail:0}"
	tell(storage.Change{Pool: pool("off"), Lifecycle: &stopped}, fmt.Sprintf(message, 1, "off"))
	tell(storage.Change{Pool: pool("transient"), Lifecycle: &stopped}, fmt.Sprintf(message, 1, "transient"), fmt.Sprintf(message, 3, "transient"))
	tell(storage.Change{Pool: pool("off"), Refreshed: true}, "StoragePoolEventRefresh &{CallbackID:2 Pool:{Name:off UUID:%v}}")
	if err := c.ConnectStoragePoolEventDeregisterAny(t.Context(), &libvirt.ConnectStoragePoolEventDeregisterAnyArgs{CallbackID: 2}); err != nil {
		t.Fatal(err)
	}
	tell(storage.Change{Pool: pool("off"), Refreshed: true})
	c.poolEvents.drop()
	if len(f.tell) != 0 {
		t.Error("the subscription outlives the client")
	}
}
