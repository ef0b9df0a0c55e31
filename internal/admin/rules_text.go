package admin

import (
	"fmt"
	"strings"
	"time"
)

// Conditions tells in one line where r applies.
func (r PolicyRule) Conditions() string {
	var all []string
	for _, c := range []struct {
		what string
		of   []string
	}{{"at", r.Applications}, {"to", r.Users}, {"tagged", r.Tags}, {"in group", r.Groups}, {"from", r.Networks}, {"not from", r.Outside},
		{"from", r.Countries}, {"not from", r.OutsideCountries}} {
		if len(c.of) > 0 {
			all = append(all, c.what+" "+strings.Join(c.of, " or "))
		}
	}
	if r.Hours != "" {
		all = append(all, r.Hours+" "+r.Zone)
	}
	if len(all) == 0 {
		return "always"
	}
	return strings.Join(all, ", ")
}

// Answers tells in one line what r says.
func (r PolicyRule) Answers() string {
	var all []string
	add := func(said bool, format string, args ...any) {
		if said {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(r.Access != "", "access %s", r.Access)
	add(len(r.Methods) > 0, "methods %s", strings.Join(r.Methods, ", "))
	add(r.OwnOrder != "", "own order %s", r.OwnOrder)
	add(r.Fallback != "", "fallback %s", r.Fallback)
	if r.RememberSeconds != nil {
		add(true, "remember %s", time.Duration(*r.RememberSeconds)*time.Second)
	}
	if r.Prompts != nil {
		add(true, "prompts %d", *r.Prompts)
	}
	add(r.PIN != "", "PIN %s", r.PIN)
	return strings.Join(all, ", ")
}
