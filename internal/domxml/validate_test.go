package domxml

import (
	"errors"
	"strings"
	"testing"

	"virtumld/internal/virerr"
)

func TestValidate(t *testing.T) {
	for name, doc := range inputs(t) {
		doc = strings.Replace(doc, "<unknown-device/>", "", 1)
		if err := Validate([]byte(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		live, err := mustParse(t, doc).LiveXML(goldenLive, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := Validate([]byte(live)); err != nil {
			t.Errorf("%s, live: %v", name, err)
		}
	}
	empty := domain("<title/><description></description><os><type>uml</type><kernel/></os>",
		"<emulator/><graphics type='vnc' port='0'/><serial type='null'><source/></serial>")
	if err := Validate([]byte(empty)); err != nil {
		t.Errorf("empty elements: %v", err)
	}
	foreign := domain("<x:y xmlns:x='urn:x'><z/></x:y>", "")
	if err := Validate([]byte(foreign)); err != nil {
		t.Errorf("another namespace: %v", err)
	}
}

func TestValidateRefuses(t *testing.T) {
	tests := []struct{ name, doc, text string }{
		{"element", domain("<onpoweroff>destroy</onpoweroff>", ""), "'./onpoweroff'"},
		{"empty element", disk(okDisk + "<readonnly/>"), "'./devices/disk/readonnly'"},
		{"attribute", disk("<source file='/x'/><target device='ubda'/>"), "'./devices/disk/target/@device'"},
		{"known elsewhere", domain("<disk/>", "<disk type='file'>"+okDisk+"</disk>"), "'./disk'"},
		{"live", inputs(t)["full"], "'./devices/unknown-device'"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := Validate([]byte(test.doc))
			wantCode(t, err, 92)
			if err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %s", err, test.text)
			}
		})
	}
	wantCode(t, Validate([]byte("<domain")), 35)
}

func FuzzValidate(f *testing.F) {
	for _, doc := range inputs(f) {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		err := Validate([]byte(doc))
		var known *virerr.Error
		if err != nil && !errors.As(err, &known) {
			t.Errorf("error without a code: %v", err)
		}
	})
}
