// Package webtest holds what every set of pages must keep to.
package webtest

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"

	"countersign/internal/mfa"
	"countersign/internal/web"
)

// placeholder is where a value comes into a text.
var placeholder = regexp.MustCompile(`%[sdv%]|%\.0f`)

// Catalogues fails unless the catalogues of all languages have the same keys, each with the
// same placeholders, and none says nothing.
func Catalogues(t *testing.T, files fs.FS) {
	t.Helper()
	origin := mfa.Languages[0].ID
	first := load(t, files, origin)
	for _, l := range mfa.Languages[1:] {
		id, other := l.ID, load(t, files, l.ID)
		for key, text := range first {
			said, ok := other[key]
			switch {
			case !ok:
				t.Errorf("%s lacks %s = %s", id, key, text)
			case said == "" || text == "":
				t.Errorf("%s says nothing in %s or %s", key, origin, id)
			case !slices.Equal(placeholder.FindAllString(text, -1), placeholder.FindAllString(said, -1)):
				t.Errorf("%s has other placeholders in %s: %q, %q", key, id, text, said)
			}
		}
		for key := range other {
			if _, ok := first[key]; !ok {
				t.Errorf("%s has %s, which %s lacks", id, key, origin)
			}
		}
	}
}

// names are the words that are the same in every language: ours, commands, and those of protocols.
var names = regexp.MustCompile(`Countersign|countersign (console link|activate|coordinator join|group leave|group activation create)|- --config FILE|Message-Authenticator|viewport|utf-8`)

var (
	tags       = regexp.MustCompile(`(?s)<[^>]*>`)
	attributes = regexp.MustCompile(`(?s)\b(?:title|alt|placeholder|aria-label|aria-description|data-label|label)="([^"]*)"`)
	letters    = regexp.MustCompile(`\p{L}{2,}`)
	entity     = regexp.MustCompile(`&[a-z]+;`)
)

// Pages fails if a template has words that a person reads outside the catalogue: between the
// tags, or in an attribute that is shown or read out.
func Pages(t *testing.T, pages fs.FS) {
	t.Helper()
	files, err := fs.Glob(pages, "page/*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, file := range files {
		b, err := fs.ReadFile(pages, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, words := range outside(t, file, string(b)) {
			t.Errorf("%s says %q, which is in no catalogue", file, words)
		}
	}
}

// outside are the words of a page that are in no catalogue.
func outside(t *testing.T, file, source string) (all []string) {
	t.Helper()
	tree := parse.New(file)
	tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(source, "", "", trees); err != nil {
		t.Fatal(err)
	}
	for _, one := range trees {
		var b strings.Builder
		literal(&b, one.Root)
		page := names.ReplaceAllString(b.String(), "")
		said := []string{entity.ReplaceAllString(tags.ReplaceAllString(page, " "), " ")}
		for _, m := range attributes.FindAllStringSubmatch(page, -1) {
			said = append(said, m[1])
		}
		for _, s := range said {
			if letters.MatchString(s) {
				all = append(all, strings.Join(strings.Fields(s), " "))
			}
		}
	}
	return all
}

// literal writes what a template says whatever its values are; an action is a dot.
func literal(b *strings.Builder, n parse.Node) {
	branch := func(x *parse.BranchNode) {
		literal(b, x.List)
		if x.ElseList != nil {
			literal(b, x.ElseList)
		}
	}
	switch x := n.(type) {
	case *parse.ListNode:
		for _, one := range x.Nodes {
			literal(b, one)
		}
	case *parse.TextNode:
		b.Write(x.Text)
	case *parse.IfNode:
		branch(&x.BranchNode)
	case *parse.RangeNode:
		branch(&x.BranchNode)
	case *parse.WithNode:
		branch(&x.BranchNode)
	case *parse.ActionNode, *parse.TemplateNode:
		b.WriteString(".")
	}
}

// english are words that no German sentence has.
var english = regexp.MustCompile(`(?i)\b(the|and|are|of|with|not|has|have|been|this|that|is)\b`)

// spared is what is the same in every language, or said to be English, or code.
var spared = regexp.MustCompile(`(?s)<table[^>]*\blang="en".*?</table>|<(code|pre|title|style|script)\b.*?</(?:code|pre|title|style|script)>|<(\w+)[^>]*\blang="en"[^>]*>.*?</\w+>|<option[^>]*>[^<]*</option>`)

// Untranslated are the sentences of a page in another language that are English: those of the
// English catalogue, and what has English words in it. Names that others gave are in known.
func Untranslated(t testing.TB, files fs.FS, id, body string, known *regexp.Regexp) (all []string) {
	t.Helper()
	first, other := load(t, files, mfa.Languages[0].ID), load(t, files, id)
	page := Text(spared.ReplaceAllString(body, " "))
	for key, text := range first {
		if text == other[key] || strings.HasPrefix(key, "form.") {
			continue
		}
		for _, part := range placeholder.Split(text, -1) {
			part = strings.TrimSpace(part)
			if len(part) > 14 && strings.Contains(part, " ") && strings.Contains(page, part) && !strings.Contains(other[key], part) {
				all = append(all, key+": "+part)
			}
		}
	}
	if known != nil {
		page = known.ReplaceAllString(page, " ")
	}
	for _, at := range english.FindAllStringIndex(page, -1) {
		all = append(all, "..."+page[max(0, at[0]-40):min(len(page), at[1]+40)]+"...")
	}
	return all
}

func load(t testing.TB, files fs.FS, id string) web.Texts {
	t.Helper()
	all, err := web.LoadTexts(files, id)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
