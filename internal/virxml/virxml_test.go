package virxml

import (
	"encoding/xml"
	"testing"
)

type root struct {
	XMLName  xml.Name `xml:"domain"`
	Type     string   `xml:"type,attr,omitempty"`
	Name     string   `xml:"name,omitempty"`
	Metadata *raw     `xml:"metadata"`
	Inner    *inner   `xml:"inner"`
}

type raw struct {
	XML string `xml:",innerxml"`
}

type inner struct {
	Path  string     `xml:"path,attr,omitempty"`
	Empty []struct{} `xml:"empty"`
	Meta  *raw       `xml:"metadata"`
}

func TestMarshal(t *testing.T) {
	tests := []struct {
		name     string
		tree     root
		metadata string
		want     string
	}{
		{"empty", root{}, "", "<domain/>\n"},
		{"attribute", root{Type: `a'b"c<d>e&f` + "\n"}, "", "<domain type='a&apos;b&quot;c&lt;d&gt;e&amp;f&#xA;'/>\n"},
		{"text", root{Name: "a'b\"c<d>e&f\n\tg\r"}, "", "<domain>\n  <name>a&apos;b&quot;c&lt;d&gt;e&amp;f\n\tg&#xD;</name>\n</domain>\n"},
		{"nested", root{Inner: &inner{Path: "/p", Empty: make([]struct{}, 2)}}, "",
			"<domain>\n  <inner path='/p'>\n    <empty/>\n    <empty/>\n  </inner>\n</domain>\n"},
		{"metadata", root{Metadata: &raw{`<a b="'"></a> </metadata>`}, Name: "n"}, `<a b="'"></a> </metadata>`,
			"<domain>\n  <name>n</name>\n  <metadata><a b=\"'\"></a> </metadata></metadata>\n</domain>\n"},
		{"empty metadata", root{Metadata: &raw{}}, "", "<domain>\n  <metadata></metadata>\n</domain>\n"},
		{"other metadata", root{Inner: &inner{Meta: &raw{"<a></a>"}}}, "",
			"<domain>\n  <inner>\n    <metadata>\n      <a/>\n    </metadata>\n  </inner>\n</domain>\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Marshal(&test.tree, test.metadata)
			if err != nil || got != test.want {
				t.Errorf("got  %q, %v\nwant %q", got, err, test.want)
			}
		})
	}
}

func TestMarshalError(t *testing.T) {
	if got, err := Marshal(make(chan int), ""); err == nil {
		t.Errorf("a channel was written as %q", got)
	}
}
