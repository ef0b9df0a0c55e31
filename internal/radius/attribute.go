package radius

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Attribute is one attribute as it goes into a packet.
type Attribute struct {
	Type  Type
	Value []byte // at most 253 bytes
}

// Encode turns a reply attribute, as a rule writes it, into bytes. name is one of the
// dictionary (Names) in any case; a tagged one may be followed by a tag from 1 to 31,
// as in "Tunnel-Type:1". A vendor attribute that the dictionary does not know is written
// "Vendor-Specific:VENDOR:TYPE", and its value is text, or 0x and hexadecimal digits.
// The error says what is wrong and never holds more than name and value.
func Encode(name, value string) (Attribute, error) {
	base, suffix, tagged := strings.Cut(name, ":")
	if strings.EqualFold(base, "Vendor-Specific") {
		return encodeVendor(name, suffix, value)
	}
	known, a, ok := lookup(base)
	if !ok {
		return Attribute{}, fmt.Errorf("attribute %q is not known; a vendor's is written Vendor-Specific:VENDOR:TYPE, in numbers", name)
	}
	var tag uint64
	if tagged {
		var err error
		if tag, err = strconv.ParseUint(suffix, 10, 8); err != nil || tag < 1 || tag > 31 || a.kind < taggedText {
			return Attribute{}, fmt.Errorf("attribute %q: only tunnel attributes take a tag, from 1 to 31", name)
		}
	}
	b, err := a.encode(known, value, byte(tag))
	if err != nil {
		return Attribute{}, fmt.Errorf("attribute %q, value %q: %w", name, value, err)
	}
	return a.wrap(name, b)
}

// encodeVendor encodes the numeric form; numbers is "VENDOR:TYPE".
func encodeVendor(name, numbers, value string) (Attribute, error) {
	v, t, _ := strings.Cut(numbers, ":")
	vendor, errV := strconv.ParseUint(v, 10, 24)
	number, errT := strconv.ParseUint(t, 10, 8)
	if errV != nil || errT != nil || vendor == 0 || number == 0 {
		return Attribute{}, fmt.Errorf("attribute %q: want Vendor-Specific:VENDOR:TYPE, in numbers, e.g. Vendor-Specific:9:1", name)
	}
	a := attribute{uint32(vendor), uint8(number), octets}
	b, err := a.encode(name, value, 0)
	if err != nil {
		return Attribute{}, fmt.Errorf("attribute %q, value %q: %w", name, value, err)
	}
	return a.wrap(name, b)
}

// Names returns the names that Encode knows, sorted.
func Names() []string {
	names := make([]string, 0, len(dictionary))
	for n := range dictionary {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// lookup finds name, first as it is written, then in any case.
func lookup(name string) (string, attribute, bool) {
	if a, ok := dictionary[name]; ok {
		return name, a, true
	}
	for n, a := range dictionary {
		if strings.EqualFold(n, name) {
			return n, a, true
		}
	}
	return "", attribute{}, false
}

// wrap puts value into a Vendor-Specific attribute if a is a vendor's (RFC 2865 section
// 5.26), and checks its length.
func (a attribute) wrap(name string, value []byte) (Attribute, error) {
	out := Attribute{Type(a.number), value}
	if a.vendor != 0 {
		b := binary.BigEndian.AppendUint32(make([]byte, 0, 6+len(value)), a.vendor)
		b = append(b, a.number, byte(2+len(value)))
		out = Attribute{VendorSpecific, append(b, value...)}
	}
	if len(out.Value) > MaxValue {
		return Attribute{}, fmt.Errorf("attribute %q: the value is %d bytes too long", name, len(out.Value)-MaxValue)
	}
	return out, nil
}

// encode returns the bytes of value.
func (a attribute) encode(name, value string, tag byte) ([]byte, error) {
	switch a.kind {
	case text, octets, taggedText:
		if digits, ok := strings.CutPrefix(value, "0x"); ok && a.kind == octets {
			b, err := hex.DecodeString(digits)
			if err != nil || len(b) == 0 {
				return nil, fmt.Errorf("want hexadecimal digits behind 0x")
			}
			return b, nil
		}
		if value == "" || strings.IndexByte(value, 0) >= 0 {
			return nil, fmt.Errorf("want text of 1 to %d bytes without NUL", MaxValue)
		}
		if a.kind == taggedText && (tag != 0 || value[0] <= 31) {
			return append([]byte{tag}, value...), nil
		}
		return []byte(value), nil
	case integer, taggedInteger:
		n, err := number(name, value)
		if err != nil {
			return nil, err
		}
		if a.kind == taggedInteger {
			if n > 1<<24-1 {
				return nil, fmt.Errorf("want a number below 16777216")
			}
			n |= uint32(tag) << 24
		}
		return binary.BigEndian.AppendUint32(nil, n), nil
	case ipv4:
		if ip, err := netip.ParseAddr(value); err == nil && ip.Is4() {
			return ip.AsSlice(), nil
		}
		return nil, fmt.Errorf("want an IPv4 address")
	case ipv6:
		if ip, err := netip.ParseAddr(value); err == nil && ip.Is6() && ip.Zone() == "" {
			return ip.AsSlice(), nil
		}
		return nil, fmt.Errorf("want an IPv6 address")
	case prefix6:
		if p, err := netip.ParsePrefix(value); err == nil && p.Addr().Is6() && p == p.Masked() {
			b := p.Addr().As16()
			return append([]byte{0, byte(p.Bits())}, b[:(p.Bits()+7)/8]...), nil
		}
		return nil, fmt.Errorf("want an IPv6 prefix such as 2001:db8::/64 without host bits")
	}
	return nil, fmt.Errorf("kind %d of value is not known", a.kind)
}

// number reads a decimal, hexadecimal (0x) or named number of 32 bits.
func number(name, value string) (uint32, error) {
	for n, v := range values[name] {
		if strings.EqualFold(n, value) {
			return v, nil
		}
	}
	digits, base := value, 10
	if d, ok := strings.CutPrefix(value, "0x"); ok {
		digits, base = d, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err == nil {
		return uint32(n), nil
	}
	if len(values[name]) == 0 {
		return 0, fmt.Errorf("want a number of 32 bits")
	}
	names := make([]string, 0, len(values[name]))
	for n := range values[name] {
		names = append(names, n)
	}
	slices.Sort(names)
	return 0, fmt.Errorf("want a number or one of %s", strings.Join(names, ", "))
}
