package storagexml

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/imgformat"
	"virtumld/internal/virerr"
)

// pool makes a complete document of what is special about it.
func pool(inner string) string {
	if !strings.Contains(inner, "<name") {
		inner += "<name>p</name>"
	}
	if !strings.Contains(inner, "<target") {
		inner += "<target><path>/p</path></target>"
	}
	return "<pool type='dir'>" + inner + "</pool>"
}

func volume(inner string) string {
	if !strings.Contains(inner, "<name") {
		inner += "<name>v</name>"
	}
	if !strings.Contains(inner, "<capacity") {
		inner += "<capacity>1</capacity>"
	}
	return "<volume>" + inner + "</volume>"
}

func perms(inner string) string {
	return volume("<target><permissions>" + inner + "</permissions></target>")
}

// refusal is a document and the error that it must give.
type refusal struct {
	name   string
	doc    string
	code   libvirt.ErrorNumber
	domain virerr.Domain
	text   string // part of the message
}

func checkRefusals(t *testing.T, tests []refusal, parse func(string) error) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got *virerr.Error
			if err := parse(test.doc); !errors.As(err, &got) {
				t.Fatalf("the parser returned %v", err)
			}
			if got.Code != test.code || got.Domain != test.domain || !strings.Contains(got.Error(), test.text) {
				t.Errorf("got  %d/%d %s\nwant %d/%d ...%s...", got.Code, got.Domain, got, test.code, test.domain, test.text)
			}
		})
	}
}

func TestParsePoolRefuses(t *testing.T) {
	entities := `<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>`
	checkRefusals(t, []refusal{
		{"empty", "", 35, 18, "(storage_pool_definition):1: Document is empty"},
		{"unclosed", "<pool type='dir'>", 35, 18, "(storage_pool_definition):1: unexpected EOF"},
		{"text", "\nhello", 35, 18, "'<' not found"},
		{"junk after", pool("") + "junk", 35, 18, "Extra content at the end of the document"},
		{"second root", pool("") + "<pool/>", 35, 18, "Extra content"},
		{"broken after", pool("") + "<a", 35, 18, "unexpected EOF"},
		{"wrong root", "<volume/>", 27, 5, "expecting root element of 'pool', not 'volume'"},
		{"entity bomb", entities + pool("<name>&b;</name>"), 35, 18, "document type declaration"},
		{"unknown entity", pool("<name>&b;</name>"), 35, 18, "entity"},
		{"too long", pool("<!--" + strings.Repeat("a", maxDocument) + "-->"), 35, 18, "at most 262144"},
		{"deep", strings.Repeat("<pool>", 20000), 35, 18, "unexpected EOF"},
		{"not UTF-8", pool("<name>\xff</name>"), 35, 18, "UTF-8"},
		{"control character", pool("<name>\x01</name>"), 35, 18, "illegal character"},
		{"encoding", "<?xml version='1.0' encoding='latin1'?>" + pool(""), 35, 18, "use UTF-8"},
		{"number", pool("<capacity>x</capacity>"), 27, 18, "'x' where a number belongs"},

		{"no type", "<pool><name>p</name></pool>", 27, 5, "Missing required attribute 'type' in element 'pool'"},
		{"unknown type", "<pool type='x'/>", 27, 5, "Invalid value for attribute 'type' in element 'pool': 'x'."},
		{"fs", "<pool type='fs'/>", 1, 18, "missing backend for pool type 1 (fs): mount the file system and give its folder as a pool of type 'dir'"},
		{"logical", "<pool type='logical'/>", 1, 18, "missing backend for pool type 3 (logical)"},
		{"vstorage", "<pool type='vstorage'/>", 1, 18, "missing backend for pool type 13 (vstorage)"},

		{"no name", "<pool type='dir'><target><path>/p</path></target></pool>", 27, 18, "missing pool source name element"},
		{"empty name", pool("<name/>"), 27, 18, "missing pool source name element"},
		{"slash", pool("<name>../x</name>"), 27, 18, "name ../x cannot contain '/'"},
		{"dot", pool("<name>.</name>"), 27, 18, "pool name '.'"},
		{"dot dot", pool("<name>..</name>"), 27, 18, "pool name '..'"},
		{"newline", pool("<name>a\nb</name>"), 35, 5, `invalid char in name: "a\nb"`},
		{"long name", pool("<name>" + strings.Repeat("n", 252) + "</name>"), 27, 18, "252 bytes long, at most 251"},

		{"short uuid", pool("<uuid>1234</uuid>"), 27, 18, "malformed uuid element"},
		{"uuid of letters", pool("<uuid>70a7eb15-6c34-ee9c-bf57-69e8e5ff3fbx</uuid>"), 27, 18, "malformed uuid element"},

		{"no target", "<pool type='dir'><name>p</name></pool>", 27, 18, "missing storage pool target path"},
		{"no path", pool("<target/>"), 27, 18, "missing storage pool target path"},
		{"relative path", pool("<target><path>p</path></target>"), 27, 18, "'p' is not absolute"},
		{"long path", pool("<target><path>/" + strings.Repeat("p", 4095) + "</path></target>"), 27, 18, "4096 bytes long"},
		{"mode", pool("<target><path>/p</path><permissions><mode>1777</mode></permissions></target>"), 27, 18, "malformed octal mode"},
		{"pool encryption", pool("<target><path>/p</path><encryption format='luks'/></target>"), 67, 18, "<encryption>"},
		{"cow no", pool("<features><cow state='no'/></features>"), 67, 18, "chattr +C"},
		{"cow word", pool("<features><cow state='x'/></features>"), 27, 5, "'state' in element 'cow': 'x'"},
		{"refresh", pool("<refresh><volume allocation='capacity'/></refresh>"), 67, 18, "allocation='capacity'"},
		{"refresh word", pool("<refresh><volume allocation='x'/></refresh>"), 67, 18, "unknown storage pool volume refresh allocation type x"},
	}, func(doc string) error {
		_, err := ParsePool(doc)
		return err
	})
}

func TestParseVolumeRefuses(t *testing.T) {
	checkRefusals(t, []refusal{
		{"empty", "", 35, 18, "(storage_volume_definition):1: Document is empty"},
		{"wrong root", "<pool/>", 27, 5, "expecting root element of 'volume', not 'pool'"},
		{"too long", strings.Repeat(" ", maxDocument+1), 35, 18, "at most 262144"},
		{"number", volume("<physical>-1</physical>"), 27, 18, "'-1' where a number belongs"},

		{"no name", "<volume><capacity>1</capacity></volume>", 27, 18, "missing volume name element"},
		{"slash", volume("<name>a/b</name>"), 55, 18, "volume name 'a/b' cannot contain '/'"},
		{"dot", volume("<name>.</name>"), 27, 18, "volume name '.'"},
		{"dot dot", volume("<name>..</name>"), 27, 18, "volume name '..'"},
		{"newline", volume("<name>a\n</name>"), 35, 5, "invalid char in name"},
		{"zero byte", volume("<name>a&#0;</name>"), 35, 18, "illegal character"},
		{"delete", volume("<name>a\x7f</name>"), 35, 5, "invalid char in name"},
		{"long name", volume("<name>" + strings.Repeat("ü", 128) + "</name>"), 27, 18, "256 bytes long, at most 255"},
		{"type", "<volume type='x'><name>v</name><capacity>1</capacity></volume>", 67, 18, "unknown volume type 'x'"},

		{"no capacity", "<volume><name>v</name></volume>", 27, 18, "missing capacity element"},
		{"empty capacity", volume("<capacity/>"), 27, 18, "missing capacity element"},
		{"blank capacity", volume("<capacity> </capacity>"), 27, 18, "malformed capacity element"},
		{"word", volume("<capacity>x</capacity>"), 27, 18, "malformed capacity element"},
		{"negative", volume("<capacity>-1</capacity>"), 27, 18, "malformed capacity element"},
		{"fraction", volume("<capacity>1.5</capacity>"), 27, 18, "malformed capacity element"},
		{"16 EiB in bytes", volume("<capacity>18446744073709551616</capacity>"), 27, 18, "malformed capacity element"},
		{"one byte less", volume("<capacity>18446744073709551615</capacity>"), 82, 0, "value too large: 18446744073709551615"},
		{"16 EiB", volume("<capacity unit='EiB'>16</capacity>"), 82, 0, "value too large: 16EiB"},
		{"8 EiB", volume("<capacity unit='E'>8</capacity>"), 82, 0, "value too large: 8E"},
		{"unit", volume("<capacity unit='furlong'>1</capacity>"), 8, 0, "unknown suffix 'furlong'"},
		{"unit letter", volume("<capacity unit='x'>1</capacity>"), 8, 0, "unknown suffix 'x'"},
		{"unit spelling", volume("<capacity unit='kib '>1</capacity>"), 8, 0, "unknown suffix 'kib '"},
		{"allocation", volume("<allocation>-1</allocation>"), 27, 18, "malformed capacity element"},
		{"large allocation", volume("<allocation unit='E'>9</allocation>"), 82, 0, "value too large: 9E"},

		{"format", volume("<target><format type='x'/></target>"), 67, 18, "unknown volume format type x"},
		{"format none", volume("<target><format type='none'/></target>"), 67, 18, "unknown volume format type none"},
		{"encryption", volume("<target><encryption format='luks'/></target>"), 67, 18, "encrypted volumes are not available"},
		{"compat", volume("<target><compat>1</compat></target>"), 27, 18, "forbidden characters in 'compat' attribute"},
		{"compat letters", volume("<target><compat>1.x</compat></target>"), 27, 18, "forbidden characters in 'compat' attribute"},
		{"backing format", volume("<backingStore><path>/b</path><format type='x'/></backingStore>"), 67, 18, "unknown volume format type x"},
		{"backing mode", volume("<backingStore><path>/b</path><permissions><mode>x</mode></permissions></backingStore>"), 27, 18, "malformed octal mode"},
		{"backing path", volume("<backingStore><path>" + strings.Repeat("b", 4096) + "</path></backingStore>"), 27, 18, "4096 bytes long"},

		{"mode digits", perms("<mode>8</mode>"), 27, 18, "malformed octal mode"},
		{"mode bits", perms("<mode>1000</mode>"), 27, 18, "malformed octal mode"},
		{"mode sign", perms("<mode>-1</mode>"), 27, 18, "malformed octal mode"},
		{"owner", perms("<owner>root</owner>"), 27, 18, "malformed owner element"},
		{"owner -2", perms("<owner>-2</owner>"), 27, 18, "malformed owner element"},
		{"group", perms("<group>4294967296</group>"), 27, 18, "malformed group element"},
	}, func(doc string) error {
		_, err := ParseVolume(doc)
		return err
	})
}

func TestParsePool(t *testing.T) {
	got, err := ParsePool(inputs(t, "pool-")["pool-full"])
	if err != nil {
		t.Fatal(err)
	}
	want := &Pool{
		Name:   `images & "more"`,
		UUID:   uuid.MustParse("70a7eb15-6c34-ee9c-bf57-69e8e5ff3fb2"),
		Target: "/srv/a'b/d",
		Perms:  Permissions{Mode: ptr(uint32(0o711)), Owner: ptr(1000), Label: "some_label_t"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParsePoolMakesUUID(t *testing.T) {
	a, errA := ParsePool(pool(""))
	b, errB := ParsePool("\ufeff" + pool("") + "\n<!-- end -->\n")
	if errA != nil || errB != nil || a.UUID == b.UUID || a.UUID == uuid.Nil {
		t.Errorf("%+v, %v; %+v, %v", a, errA, b, errB)
	}
}

func TestLongestNames(t *testing.T) {
	if _, err := ParsePool(pool("<name>" + strings.Repeat("n", 251) + "</name>")); err != nil {
		t.Error(err)
	}
	if _, err := ParseVolume(volume("<name>" + strings.Repeat("n", 255) + "</name>")); err != nil {
		t.Error(err)
	}
}

func TestParseVolume(t *testing.T) {
	const backing = "<backingStore><path>/b</path></backingStore>"
	backed := &Backing{Path: "/b", Format: imgformat.Raw}
	tests := []struct {
		name string
		doc  string
		want Volume
	}{
		{"minimal", volume(""), Volume{Capacity: 1, HasCapacity: true, Allocation: 1}},
		{"capacity 0", volume("<capacity>0</capacity>"), Volume{HasCapacity: true}},
		{"white space", volume("<capacity>\n 5 </capacity>"), Volume{Capacity: 5, HasCapacity: true, Allocation: 5}},
		{"largest", volume("<capacity>9223372036854775807</capacity>"), Volume{Capacity: 1<<63 - 1, HasCapacity: true, Allocation: 1<<63 - 1}},
		{"allocation", volume("<allocation unit='KiB'>2</allocation>"), Volume{Capacity: 1, HasCapacity: true, Allocation: 2048, HasAllocation: true}},
		{"no allocation", volume("<allocation>0</allocation>"), Volume{Capacity: 1, HasCapacity: true, HasAllocation: true}},
		{"backing", volume(backing), Volume{Capacity: 1, HasCapacity: true, Allocation: 1, Backing: backed}},
		{"backing's capacity", "<volume><name>v</name>" + backing + "</volume>", Volume{Backing: backed}},
		{"backing and 0", volume("<capacity>0</capacity>" + backing), Volume{Backing: backed}},
		{"empty backing", volume("<backingStore/>"), Volume{Capacity: 1, HasCapacity: true, Allocation: 1}},
		{"permissions", perms("<mode>640</mode><owner>0</owner><group>4294967295</group>"),
			Volume{Capacity: 1, HasCapacity: true, Allocation: 1, Perms: Permissions{Mode: ptr(uint32(0o640)), Owner: ptr(0)}}},
		{"its path", volume("<key>/k</key><target><path>/p</path></target>"), Volume{Capacity: 1, HasCapacity: true, Allocation: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.want.Name, test.want.Format = "v", imgformat.Raw
			got, err := ParseVolume(test.doc)
			if err != nil || !reflect.DeepEqual(got, &test.want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, test.want)
			}
		})
	}
}

// TestParseClone checks what differs from ParseVolume.
func TestParseClone(t *testing.T) {
	got, err := ParseClone("<volume><name>v</name></volume>")
	if want := (&Volume{Name: "v", Format: imgformat.Raw}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestUnits(t *testing.T) {
	for unit, want := range map[string]uint64{
		"": 1, "b": 1, "byte": 1, "Bytes": 1, "k": 1 << 10, "K": 1 << 10, "KiB": 1 << 10, "kb": 1000, "KB": 1000,
		"M": 1 << 20, "MiB": 1 << 20, "MB": 1e6, "G": 1 << 30, "GB": 1e9, "T": 1 << 40, "TB": 1e12,
		"P": 1 << 50, "PB": 1e15, "E": 1 << 60, "EiB": 1 << 60, "EB": 1e18,
	} {
		if got, err := unitFactor(unit); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", unit, got, err, want)
		}
	}
}

func FuzzParsePool(f *testing.F) {
	for _, doc := range inputs(f, "pool-") {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		pool, err := ParsePool(doc)
		if err != nil {
			checkTyped(t, err)
			return
		}
		text, err := pool.XML(PoolStats{})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParsePool(text); err != nil || !reflect.DeepEqual(again, pool) {
			t.Errorf("%+v became %+v, %v", pool, again, err)
		}
	})
}

func FuzzParseVolume(f *testing.F) {
	for _, doc := range inputs(f, "volume-") {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		volume, err := ParseVolume(doc)
		if err != nil {
			checkTyped(t, err)
			return
		}
		text, err := volume.XML()
		if err != nil {
			t.Fatal(err)
		}
		volume.HasAllocation = true // XML writes it in any case
		if again, err := ParseVolume(text); err != nil || !reflect.DeepEqual(again, volume) {
			t.Errorf("%+v became %+v, %v", volume, again, err)
		}
	})
}

func checkTyped(t *testing.T, err error) {
	var known *virerr.Error
	if !errors.As(err, &known) {
		t.Errorf("error without a code: %v", err)
	}
}
