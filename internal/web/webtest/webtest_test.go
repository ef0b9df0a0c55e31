package webtest

import "testing"

// What a page says outside the catalogue is found, and what only looks like it is not.
func TestOutside(t *testing.T) {
	for source, want := range map[string]int{
		`<p>{{t "a"}} {{.Name}} · - &amp; 7</p>`:                                  0,
		`<p class="small quiet" data-poll="/live">{{t "a"}}</p>`:                  0,
		`<p>Countersign</p>`:                                                      0,
		`<p>Hello</p>`:                                                            1,
		`{{if .A}}<p>{{t "a"}}</p>{{else}}<b>Nothing</b>{{end}}`:                  1,
		`{{define "x"}}{{range .}}<td data-label="Name">{{.}}</td>{{end}}{{end}}`: 1,
		`<img alt="A picture"><input placeholder="phone">`:                        2,
	} {
		if got := outside(t, "page", source); len(got) != want {
			t.Errorf("%s: found %q, want %d", source, got, want)
		}
	}
}
