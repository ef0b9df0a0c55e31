package radius

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"countersign/internal/mfatest"
)

func TestEncode(t *testing.T) {
	tests := []struct {
		name, value string
		want        string // type:hexadecimal value, or "error: part of it"
	}{
		{"Filter-Id", "staff", "11:7374616666"},
		{"filter-id", "staff", "11:7374616666"},
		{"Class", "ou=staff", "25:6f753d7374616666"},
		{"Class", "0x00ff", "25:00ff"},
		{"Class", "0xzz", "error: hexadecimal"},
		{"Class", "0x", "error: hexadecimal"},
		{"Filter-Id", "0x00", "11:30783030"},
		{"Filter-Id", "", "error: 1 to 253 bytes"},
		{"Filter-Id", "a\x00b", "error: without NUL"},
		{"Filter-Id", strings.Repeat("x", 253), "11:" + strings.Repeat("78", 253)},
		{"Filter-Id", strings.Repeat("x", 254), "error: 1 bytes too long"},
		{"Service-Type", "Administrative-User", "6:00000006"},
		{"Service-Type", "administrative-user", "6:00000006"},
		{"Service-Type", "6", "6:00000006"},
		{"Service-Type", "Emperor", "error: Login-User"},
		{"Session-Timeout", "3600", "27:00000e10"},
		{"Session-Timeout", "0xffffffff", "27:ffffffff"},
		{"Session-Timeout", "4294967296", "error: 32 bits"},
		{"Session-Timeout", "-1", "error: 32 bits"},
		{"Framed-IP-Address", "10.1.2.3", "8:0a010203"},
		{"Framed-IP-Address", "::1", "error: IPv4"},
		{"Framed-IPv6-Address", "2001:db8::1", "168:20010db8000000000000000000000001"},
		{"Framed-IPv6-Address", "10.0.0.1", "error: IPv6"},
		{"Framed-IPv6-Address", "fe80::1%eth0", "error: IPv6"},
		{"Framed-IPv6-Prefix", "2001:db8::/33", "97:002120010db800"},
		{"Framed-IPv6-Prefix", "2001:db8::1/32", "error: host bits"},
		{"Tunnel-Type", "VLAN", "64:0000000d"},
		{"Tunnel-Type:1", "VLAN", "64:0100000d"},
		{"Tunnel-Type:32", "VLAN", "error: from 1 to 31"},
		{"Tunnel-Type:0", "VLAN", "error: from 1 to 31"},
		{"Tunnel-Type", "16777216", "error: 16777216"},
		{"Tunnel-Private-Group-Id", "42", "81:3432"},
		{"Tunnel-Private-Group-Id:1", "42", "81:013432"},
		{"Tunnel-Private-Group-Id", "\x01x", "81:000178"},
		{"Filter-Id:1", "x", "error: only tunnel"},
		{"Cisco-AVPair", "shell:priv-lvl=15", "26:00000009011373" + "68656c6c3a707269762d6c766c3d3135"},
		{"Cisco-AVPair", strings.Repeat("x", 248), "error: 1 bytes too long"},
		{"Fortinet-Group-Name", "vpn", "26:0000304401057670" + "6e"},
		{"Vendor-Specific:9:1", "x", "26:00000009010378"},
		{"vendor-specific:9:1", "0x01", "26:00000009010301"},
		{"Vendor-Specific", "x", "error: VENDOR:TYPE"},
		{"Vendor-Specific:9", "x", "error: VENDOR:TYPE"},
		{"Vendor-Specific:0:1", "x", "error: VENDOR:TYPE"},
		{"Vendor-Specific:9:256", "x", "error: VENDOR:TYPE"},
		{"Vendor-Specific:9:1:2", "x", "error: VENDOR:TYPE"},
		{"Message-Authenticator", "x", "error: not known"},
		{"State", "x", "error: not known"},
		{"", "x", "error: not known"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s=%.20q", tt.name, tt.value), func(t *testing.T) {
			a, err := Encode(tt.name, tt.value)
			if part, wrong := strings.CutPrefix(tt.want, "error: "); wrong {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Fatalf("error = %v, want one with %q", err, part)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%d:%x", a.Type, a.Value); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// The dictionary agrees with FreeRADIUS' files, where those are installed.
func TestDictionary(t *testing.T) {
	files, _ := filepath.Glob("/usr/share/freeradius/dictionary.*")
	if len(files) == 0 {
		mfatest.Missing(t, "FreeRADIUS' dictionaries are not installed; `make deps` installs them")
	}
	theirs := map[string][]string{}
	numbers := map[string]uint64{}
	for _, f := range files {
		read(t, f, theirs, numbers)
	}
	for _, name := range Names() {
		a := dictionary[name]
		want := fmt.Sprintf("%d %d %d", a.vendor, a.number, a.kind)
		found := false
		for _, got := range theirs[name] {
			found = found || got == want
		}
		if !found {
			t.Errorf("%s: ours is %q (vendor, number, kind), theirs %q", name, want, theirs[name])
		}
	}
	for name, table := range values {
		if _, ok := dictionary[name]; !ok {
			t.Errorf("values of %s, which the dictionary does not know", name)
		}
		for value, n := range table {
			if got, ok := numbers[name+" "+value]; !ok || got != uint64(n) {
				t.Errorf("%s %s = %d, theirs %d (%v)", name, value, n, got, ok)
			}
		}
	}
}

// read collects ATTRIBUTE and VALUE lines of one file.
func read(t *testing.T, file string, attributes map[string][]string, numbers map[string]uint64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kinds := map[string]kind{"string": text, "octets": octets, "integer": integer, "ipaddr": ipv4, "ipv6addr": ipv6, "ipv6prefix": prefix6}
	vendors, vendor := map[string]string{}, "0"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		w := strings.Fields(line)
		switch {
		case len(w) >= 3 && w[0] == "VENDOR":
			vendors[w[1]] = w[2]
		case len(w) == 2 && w[0] == "BEGIN-VENDOR":
			vendor = vendors[w[1]]
		case len(w) >= 1 && w[0] == "END-VENDOR":
			vendor = "0"
		case len(w) >= 4 && w[0] == "ATTRIBUTE":
			k := kinds[strings.ToLower(w[3])]
			if len(w) > 4 && strings.Contains(w[4], "has_tag") {
				k += taggedText - text
				if k != taggedText {
					k = taggedInteger
				}
			}
			attributes[w[1]] = append(attributes[w[1]], fmt.Sprintf("%s %s %d", vendor, w[2], k))
		case len(w) >= 4 && w[0] == "VALUE":
			if n, err := strconv.ParseUint(w[3], 0, 64); err == nil {
				numbers[w[1]+" "+w[2]] = n
			}
		}
	}
}
