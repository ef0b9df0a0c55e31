package policy

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Countries says where addresses are, by a table that the operator has; none is shipped. The
// zero value knows nothing.
type Countries struct {
	spans []span // by their first address, none in another
}

type span struct {
	first, last netip.Addr
	country     [2]byte
}

// maxSpans bounds a table: the whole Internet takes less than a million.
const maxSpans = 4_000_000

// ReadCountries reads a table of CSV rows: FIRST,LAST,COUNTRY or NETWORK,COUNTRY, with the
// country in two letters (ISO 3166). A first row that is none of these is taken for the header,
// and columns behind the country are passed over. Where spans overlap the table is refused.
func ReadCountries(r io.Reader) (Countries, error) {
	in := csv.NewReader(bufio.NewReader(r))
	in.FieldsPerRecord, in.ReuseRecord = -1, true
	var c Countries
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Countries{}, fmt.Errorf("countries: %w", err)
		}
		line, _ := in.FieldPos(0)
		s, err := parseSpan(row)
		switch {
		case err != nil && line == 1:
		case err != nil:
			return Countries{}, fmt.Errorf("countries, line %d: %w", line, err)
		case len(c.spans) == maxSpans:
			return Countries{}, fmt.Errorf("countries: more than %d rows", maxSpans)
		case s.country != [2]byte{}: // else: nobody's
			c.spans = append(c.spans, s)
		}
	}
	slices.SortFunc(c.spans, func(a, b span) int { return a.first.Compare(b.first) })
	for i := 1; i < len(c.spans); i++ {
		if !c.spans[i-1].last.Less(c.spans[i].first) {
			return Countries{}, fmt.Errorf("countries: %s-%s and %s-%s overlap", c.spans[i-1].first, c.spans[i-1].last, c.spans[i].first, c.spans[i].last)
		}
	}
	c.spans = slices.Clip(c.spans)
	return c, nil
}

// parseSpan reads one row. A country that is none ("", "ZZ", "-") leaves the zero country.
func parseSpan(row []string) (s span, err error) {
	if len(row) < 2 {
		return s, errors.New("want FIRST,LAST,COUNTRY or NETWORK,COUNTRY")
	}
	at := 1
	if p, perr := netip.ParsePrefix(row[0]); perr == nil {
		s.first, s.last = p.Masked().Addr(), lastOf(p)
	} else {
		if s.first, err = netip.ParseAddr(row[0]); err != nil {
			return s, fmt.Errorf("%q is no address and no network", row[0])
		}
		if s.last, err = netip.ParseAddr(row[1]); err != nil || len(row) < 3 || s.last.Less(s.first) || s.first.BitLen() != s.last.BitLen() {
			return s, fmt.Errorf("%q is not the last address of a span from %s", row[1], s.first)
		}
		at = 2
	}
	name := strings.ToUpper(strings.TrimSpace(row[at]))
	switch {
	case name == "", name == "-", name == "ZZ":
	case len(name) == 2 && name[0] >= 'A' && name[0] <= 'Z' && name[1] >= 'A' && name[1] <= 'Z':
		s.country = [2]byte{name[0], name[1]}
	default:
		return s, fmt.Errorf("%q is no country: want two letters (ISO 3166)", row[at])
	}
	return s, nil
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Of returns the country of an address in two letters, or "" if the table does not know it.
func (c Countries) Of(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	i, found := slices.BinarySearchFunc(c.spans, a, func(s span, a netip.Addr) int { return s.first.Compare(a) })
	if !found {
		i--
	}
	if i < 0 || c.spans[i].last.Less(a) || c.spans[i].first.BitLen() != a.BitLen() {
		return ""
	}
	return string(c.spans[i].country[:])
}

// Len returns how many spans the table has.
func (c Countries) Len() int { return len(c.spans) }
