package secret

import (
	"encoding/json"
	"fmt"
	"testing"
)

func TestWire(t *testing.T) {
	type doc struct {
		Password *Wire `json:"password,omitempty"`
	}
	b, err := json.Marshal(doc{NewWire(`p"ä`)})
	if err != nil || string(b) != `{"password":"p\"ä"}` {
		t.Fatalf("marshalled %s, %v", b, err)
	}
	var d doc
	if err := json.Unmarshal(b, &d); err != nil || string(d.Password.Expose()) != `p"ä` {
		t.Fatalf("unmarshalled %q, %v", d.Password.Expose(), err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(format, *d.Password); got != "[secret]" {
			t.Errorf("%s prints %s", format, got)
		}
	}
}
