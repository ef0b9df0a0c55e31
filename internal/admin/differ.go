package admin

import (
	"encoding/json"
	"maps"
	"slices"
)

// What an act tells of an object is made from its view, which holds no secret. The id and
// the times of making and changing are left out, and what is found anew at each look. Of
// the fields that are hidden it is told that they differ, and no value: what a person is
// called and reached by is sealed in the database and is no open text in the trail.

// difference tells which fields differ between two views of one object and their values
// before and after: "exempt [] -> [\"192.0.2.0/24\"]".
func difference(before, after any, hidden ...string) []string {
	was, is := fieldsOf(before), fieldsOf(after)
	for name := range was {
		is[name] += "" // one that is gone is looked at too
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(is)) {
		switch {
		case was[name] == is[name]:
		case slices.Contains(hidden, name):
			out = append(out, name+" changed")
		default:
			out = append(out, name+" "+or(clip(was[name]), "none")+" -> "+or(clip(is[name]), "none"))
		}
	}
	return out
}

// contents tells the fields of an object that comes or goes; those that are empty it passes
// over.
func contents(view any, hidden ...string) []string {
	is := fieldsOf(view)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(is)) {
		switch v := is[name]; {
		case v == `""` || v == "[]" || v == "null" || v == "0" || v == "false":
		case slices.Contains(hidden, name):
			out = append(out, name)
		default:
			out = append(out, name+" "+clip(v))
		}
	}
	return out
}

// fieldsOf returns the JSON text of each field of a view that an act may tell.
func fieldsOf(view any) map[string]string {
	b, err := json.Marshal(view)
	if err != nil {
		panic("admin: " + err.Error()) // views are plain fields
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		panic("admin: " + err.Error())
	}
	for _, name := range []string{"id", "created", "changed", "warnings"} {
		delete(raw, name)
	}
	out := make(map[string]string, len(raw))
	for name, v := range raw {
		out[name] = string(v)
	}
	return out
}
