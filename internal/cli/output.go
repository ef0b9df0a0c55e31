package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"countersign/internal/secret"
)

// show prints one object: as JSON, or as lines of name and value. What it warns of goes to
// Stderr, a line each.
func (e *env) show(v any) error {
	for _, f := range fields(reflect.ValueOf(v)) {
		if warnings, ok := f.value.Interface().([]string); ok && f.name == "warnings" {
			for _, w := range warnings {
				fmt.Fprintln(e.Stderr, "countersign: warning:", printable(w))
			}
		}
	}
	if e.JSON {
		return e.document(v)
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range fields(reflect.ValueOf(v)) {
		if text := e.text(f.value); text != "" && f.name != "warnings" && !(f.optional && f.value.IsZero()) {
			fmt.Fprintf(w, "%s\t%s\n", title(f.name), text)
		}
	}
	return w.Flush()
}

// table prints a list: doc as JSON, or the columns named (by their JSON names) of rows.
func (e *env) table(doc, rows any, columns ...string) error {
	if e.JSON {
		return e.document(doc)
	}
	all := reflect.ValueOf(rows)
	if all.Len() == 0 {
		fmt.Fprintln(e.Stderr, "none")
		return nil
	}
	w := tabwriter.NewWriter(e.Stdout, 0, 0, 2, ' ', 0)
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = strings.ToUpper(title(c))
	}
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for i := range all.Len() {
		cells := make([]string, len(columns))
		for _, f := range fields(all.Index(i)) {
			for j, c := range columns {
				if f.name == c {
					cells[j] = e.text(f.value)
				}
			}
		}
		for j, c := range cells {
			if c == "" {
				cells[j] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// document prints one JSON document.
func (e *env) document(v any) error {
	enc := json.NewEncoder(e.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

type field struct {
	name     string
	value    reflect.Value
	optional bool // JSON leaves it out when it is zero
}

// fields returns the exported fields of a struct under their JSON names, those of
// embedded structs in their place.
func fields(v reflect.Value) []field {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	var out []field
	for i := range v.NumField() {
		t := v.Type().Field(i)
		name, options, _ := strings.Cut(t.Tag.Get("json"), ",")
		if t.Anonymous && name == "" {
			out = append(out, fields(v.Field(i))...)
		} else if name != "" && name != "-" {
			out = append(out, field{name, v.Field(i), strings.Contains(options, "omit")})
		}
	}
	return out
}

// title makes a JSON name readable.
func title(name string) string { return strings.ReplaceAll(name, "_", " ") }

// text shows a value to a person; "" for nothing.
func (e *env) text(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return ""
		}
		return x.In(e.Location).Format("2006-01-02 15:04:05")
	case secret.Wire:
		return string(x.Expose())
	case fmt.Stringer:
		return printable(x.String())
	}
	switch v.Kind() {
	case reflect.Bool:
		return map[bool]string{true: "yes", false: "no"}[v.Bool()]
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = e.text(v.Index(i))
		}
		return strings.Join(items, ", ")
	case reflect.Struct:
		var parts []string
		for _, f := range fields(v) {
			if t := e.text(f.value); t != "" {
				parts = append(parts, title(f.name)+" "+t)
			}
		}
		return strings.Join(parts, ", ")
	case reflect.String:
		return printable(v.String())
	}
	return fmt.Sprint(v.Interface())
}

// printable keeps what others typed from steering the terminal.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != ' ' }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

// say prints a remark for a person, beside the result.
func (e *env) say(format string, args ...any) {
	if !e.JSON {
		fmt.Fprintf(e.Stderr, format+"\n", args...)
	}
}
