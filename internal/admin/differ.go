package admin

import (
	"encoding/json"
	"maps"
	"slices"
)

// difference tells, for the trail, which fields differ between two views of one object and
// their values before and after: "exempt [] -> [\"192.0.2.0/24\"]". Views hold no secret; the
// times of making and changing are left out. Of a zero before only the values after are told.
func difference(before, after any, created bool) []string {
	was, is := fieldsOf(before), fieldsOf(after)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(is)) {
		switch {
		case name == "id" || name == "created" || name == "changed" || name == "warnings" || was[name] == is[name]:
		case created:
			out = append(out, name+" "+clip(is[name]))
		default:
			out = append(out, name+" "+clip(was[name])+" -> "+clip(is[name]))
		}
	}
	return out
}

// fieldsOf returns the JSON text of each field of a view.
func fieldsOf(view any) map[string]string {
	b, err := json.Marshal(view)
	if err != nil {
		panic("admin: " + err.Error()) // views are plain fields
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		panic("admin: " + err.Error())
	}
	out := make(map[string]string, len(raw))
	for name, v := range raw {
		out[name] = string(v)
	}
	return out
}
