package admin

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxRow is the longest row of an import, in bytes.
const maxRow = 64 << 10

// columns are the columns that an import knows.
var columns = []string{"login", "name", "email", "phone", "alias", "tags", "directory", "language", "state", "password", "password_hash", "pin",
	"totp_secret", "hotp_secret", "hotp_counter"}

// ImportColumns are the names of the columns that an import knows.
func ImportColumns() []string { return slices.Clone(columns) }

// rowError is a row that cannot be used; the rows after it can.
type rowError struct{ reason string }

func (e rowError) Error() string { return e.reason }

// table reads a CSV file row by row: UTF-8 with or without a byte order mark, CRLF or LF,
// separated by comma, semicolon or tab as the header is, columns in any order by name.
type table struct {
	in     *bounded
	csv    *csv.Reader
	header []string // column names in order
}

// openTable reads the header.
func openTable(r io.Reader) (*table, error) {
	in := &bounded{r: r, left: maxRow}
	b := bufio.NewReaderSize(in, maxRow)
	first, err := b.Peek(maxRow)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLongRow) {
		return nil, fmt.Errorf("header: %w", err)
	}
	if bytes.HasPrefix(first, []byte("\xff\xfe")) || bytes.HasPrefix(first, []byte("\xfe\xff")) {
		return nil, invalid("the file is UTF-16; save it as UTF-8")
	}
	if bytes.HasPrefix(first, []byte("\xef\xbb\xbf")) {
		first = first[3:]
		_, _ = b.Discard(3)
	}
	first, _, _ = bytes.Cut(first, []byte("\n"))
	t := &table{in: in, csv: csv.NewReader(b)}
	t.csv.Comma = separator(first)
	t.csv.FieldsPerRecord = -1
	in.left = maxRow
	header, err := t.csv.Read()
	if err != nil {
		return nil, invalid("no header line with the column names (%s)", strings.Join(columns, ", "))
	}
	for _, h := range header {
		name := strings.ToLower(strings.TrimSpace(h))
		switch {
		case !slices.Contains(columns, name):
			return nil, invalid("column %q is not known; the columns are %s", clip(h), strings.Join(columns, ", "))
		case slices.Contains(t.header, name):
			return nil, invalid("column %q is there twice", name)
		}
		t.header = append(t.header, name)
	}
	if !slices.Contains(t.header, "login") {
		return nil, invalid("column \"login\" is missing")
	}
	return t, nil
}

// separator is the one that occurs most often in the header, a comma by default.
func separator(header []byte) rune {
	best := ','
	for _, r := range ";\t" {
		if bytes.Count(header, []byte(string(r))) > bytes.Count(header, []byte(string(best))) {
			best = r
		}
	}
	return best
}

// next returns the next row by column name and the line it starts on. The error is a
// rowError if only this row is bad, io.EOF after the last.
func (t *table) next() (row map[string]string, at int, err error) {
	t.in.left = maxRow
	record, err := t.csv.Read()
	var parse *csv.ParseError
	switch {
	case errors.Is(err, errLongRow):
		return nil, 0, invalid("a row is longer than %d bytes (is a quotation mark left open before it?)", maxRow)
	case errors.As(err, &parse):
		if parse.Line > parse.StartLine {
			return nil, parse.StartLine, rowError{fmt.Sprintf("a quotation mark is open, and lines %d to %d were taken for one row: %v", parse.StartLine, parse.Line, parse.Err)}
		}
		return nil, parse.StartLine, rowError{parse.Err.Error()}
	case err != nil:
		return nil, 0, err
	}
	at, _ = t.csv.FieldPos(0)
	if len(record) != len(t.header) {
		return nil, at, rowError{fmt.Sprintf("%d fields where the header has %d", len(record), len(t.header))}
	}
	row = make(map[string]string, len(record))
	for i, v := range record {
		if !utf8.ValidString(v) {
			return nil, at, rowError{t.header[i] + " is not UTF-8"}
		}
		if !strings.HasPrefix(t.header[i], "password") {
			v = strings.TrimSpace(v)
		}
		row[t.header[i]] = v
	}
	return row, at, nil
}

var errLongRow = errors.New("row too long")

// bounded refuses to read more than is left until left is set again, so that one row
// cannot fill the memory.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongRow
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// clip shortens what goes into an error.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}
