package adminapi

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
)

// mustHave are the fields without which an operation that makes something refuses. Their bodies
// are those of the changes too, where every field may be absent, so the types cannot say it.
var mustHave = map[string][]string{
	"POST /users": {"login"}, "POST /applications": {"name", "kind"}, "POST /directories": {"name"},
	"POST /administrators": {"login", "role"}, "POST /gateways": {"name", "kind"}, "POST /policy/rules": {"name"},
}

// requires has the document say which fields a new object must have. What lacks one is refused by
// the use case, which says it in its own words.
func (a *API) requires() {
	for path, item := range a.huma.OpenAPI().Paths {
		for method, op := range methodsOf(item) {
			fields := mustHave[method+" "+path]
			if len(fields) == 0 {
				continue
			}
			for _, media := range op.RequestBody.Content {
				media.Schema = &huma.Schema{AllOf: []*huma.Schema{media.Schema, {Type: huma.TypeObject, Required: fields}}}
			}
		}
	}
}

// oneMeaning is JSON that is refused if an object in it has a field twice: one reader takes the
// first, another the last.
var oneMeaning = huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if twice, ok := fieldTwice(data); ok {
		return fmt.Errorf("the field %q is there twice: give it once", twice)
	}
	return nil
}}

// fieldTwice returns a field that an object of a valid JSON text has more than once.
func fieldTwice(data []byte) (name string, ok bool) {
	type level struct {
		seen map[string]bool // nil in a list
		name bool            // what comes next in an object is a field's name
	}
	var open []level
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // 1e999 is the use case's to refuse
	for {
		token, err := d.Token()
		if err != nil {
			return "", false // the end
		}
		if n := len(open); n > 0 && open[n-1].seen != nil {
			at := &open[n-1]
			if at.name && token != json.Delim('}') {
				name, _ := token.(string)
				if at.seen[name] {
					return name, true
				}
				at.seen[name], at.name = true, false
				continue
			}
			at.name = true
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{seen: map[string]bool{}, name: true})
		case json.Delim('['):
			open = append(open, level{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}
