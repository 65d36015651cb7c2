package store

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// domstatus is the file's outer part as libvirt writes it
// (virDomainObjFormat in src/conf/domain_conf.c). Between its start and the
// <domain> element each driver keeps fields of its own; ours are in <uml>.
type domstatus struct {
	XMLName xml.Name `xml:"domstatus"`
	State   string   `xml:"state,attr"`
	Reason  string   `xml:"reason,attr"`
	PID     int      `xml:"pid,attr"`
	UML     umlData  `xml:"uml"`
}

type umlData struct {
	ID          int32 `xml:"id,attr"`
	Persistent  bool  `xml:"persistent,attr"`
	Autodestroy bool  `xml:"autodestroy,attr"`
}

// encodeStatus needs no escaping: all but the document are our own words and
// numbers.
func encodeStatus(s Status) ([]byte, error) {
	state, reason, err := stateNames(s.State, s.Reason)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "<domstatus state='%s' reason='%s' pid='%d'>\n"+
		"  <uml id='%d' persistent='%t' autodestroy='%t'/>\n%s\n</domstatus>\n",
		state, reason, s.PID, s.ID, s.Persistent, s.Autodestroy, strings.TrimSpace(s.Document)), nil
}

// decodeStatus reads what encodeStatus wrote. The <domain> element comes back
// byte for byte.
func decodeStatus(data []byte) (Status, error) {
	var outer domstatus
	if err := xml.Unmarshal(data, &outer); err != nil {
		return Status{}, fmt.Errorf("cannot read status: %w", err)
	}
	state, reason, err := stateNumbers(outer.State, outer.Reason)
	if err != nil {
		return Status{}, fmt.Errorf("cannot read status: %w", err)
	}
	if outer.PID < 0 {
		return Status{}, fmt.Errorf("cannot read status: pid %d is negative", outer.PID)
	}
	document, err := element(data, "domain")
	if err != nil {
		return Status{}, fmt.Errorf("cannot read status: %w", err)
	}
	return Status{
		State:       state,
		Reason:      reason,
		PID:         outer.PID,
		ID:          outer.UML.ID,
		Persistent:  outer.UML.Persistent,
		Autodestroy: outer.UML.Autodestroy,
		Document:    document,
	}, nil
}

// element returns the text of the root's first child called name.
func element(document []byte, name string) (string, error) {
	decoder := xml.NewDecoder(bytes.NewReader(document))
	for depth := 0; ; {
		begin := decoder.InputOffset()
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("no <%s> element", name)
		}
		if err != nil {
			return "", err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 1 && t.Name.Local == name {
				if err := decoder.Skip(); err != nil {
					return "", err
				}
				return string(document[begin:decoder.InputOffset()]), nil
			}
			depth++
		case xml.EndElement:
			depth--
		}
	}
}
