package phone

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// fewest and most are the digits after the country code that are tried for a number whose
// length fits nothing.
const (
	fewest = 6
	most   = 13
)

// nobodys reports whether a number is of a range that costs its caller more, or that is no one
// person's telephone: premium and shared cost, toll-free, personal and company-wide numbers,
// pagers, mailboxes, and what belongs to no country. A number that fits no range in its length is
// looked at in other lengths too: what a carrier does with it is not known here.
func nobodys(number string) bool {
	n, err := phonenumbers.Parse(number, "")
	if err != nil {
		return false // Country knows nothing of it either, or it is shorter than any of these
	}
	kind := phonenumbers.GetNumberType(n)
	if kind != phonenumbers.UNKNOWN {
		return !persons(kind)
	}
	national := phonenumbers.GetNationalSignificantNumber(n)
	code := strings.TrimSuffix(strings.TrimPrefix(number, "+"), national)
	for length := fewest; length <= most; length++ {
		other := national
		if len(other) > length {
			other = other[:length]
		}
		other += strings.Repeat("0", length-len(other))
		n, err := phonenumbers.Parse("+"+code+other, "")
		if err != nil {
			continue
		}
		if kind := phonenumbers.GetNumberType(n); kind != phonenumbers.UNKNOWN && !persons(kind) {
			return true
		}
	}
	return false
}

// persons reports whether numbers of a kind are people's own telephones.
func persons(kind phonenumbers.PhoneNumberType) bool {
	switch kind {
	case phonenumbers.FIXED_LINE, phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE, phonenumbers.VOIP:
		return true
	}
	return false
}
