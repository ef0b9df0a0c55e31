package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// importPath is where a file of users is sent to.
const importPath = "/users/import/look"

const (
	// importTime is how long an import may take to answer.
	importTime = 10 * time.Minute
	// importErrors is how many bad rows a page names.
	importErrors = 100
)

// imported is what the page of an import shows: the report of a look, and then of the import.
type imported struct {
	admin.ImportReport
	Looked bool
	Made   bool
	List   string // names the file, for the import
	More   int    // bad rows that are not named
}

func importPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.show(w, r, http.StatusOK, "users-import", view{Nav: "users", Who: v, Data: imported{}})
	return nil
}

// readFile reads the file of an upload, in memory: it may hold secrets, and no copy of those
// is to lie on a disk.
func readFile(r *http.Request) ([]byte, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
	}
	for {
		p, err := parts.NextPart()
		var tooBig *http.MaxBytesError
		switch {
		case errors.As(err, &tooBig):
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("%w: no file came: %w", mfa.ErrInvalid, err)
		case p.FormName() != "file":
			continue
		}
		b, err := io.ReadAll(p)
		if err != nil && !errors.As(err, &tooBig) {
			err = fmt.Errorf("%w: the file broke off: %w", mfa.ErrInvalid, err)
		}
		return b, err
	}
}

// lookImport shows what an import of the file would do, and keeps the file for it.
func lookImport(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	file, err := readFile(r)
	if err != nil {
		return err
	}
	s := imported{Looked: true}
	s.ImportReport, err = c.desk(v).ImportUsers(r.Context(), bytes.NewReader(file), true)
	if err == nil && s.Created > 0 {
		if s.List = c.kept.Put(v.User, web.Kept{File: file}, c.Now()); s.List == "" {
			err = fmt.Errorf("%w: %s", mfa.ErrInvalid, c.say(r, "import.large"))
		}
	}
	return c.showImport(w, r, v, s, err)
}

// doImport imports the file that was looked at.
func doImport(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	k, ok := c.kept.Take(v.User, r.PostFormValue("list"), c.Now())
	if !ok {
		return errGone
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(importTime)) // passwords take their time
	s := imported{Made: true}
	var err error
	s.ImportReport, err = c.desk(v).ImportUsers(r.Context(), bytes.NewReader(k.File), false)
	return c.showImport(w, r, v, s, err)
}

func (c *Console) showImport(w http.ResponseWriter, r *http.Request, v *visitor, s imported, err error) error {
	if err != nil && !mistake(err) && s.Rows == 0 {
		return err
	}
	page, status := view{Nav: "users", Who: v}, http.StatusOK
	if err != nil {
		page.Error, status = err.Error(), web.StatusOf(err)
	}
	if n := len(s.Errors); n > importErrors {
		s.Errors = s.Errors[:importErrors]
	}
	s.More = s.Failed - len(s.Errors)
	page.Data = s
	c.show(w, r, status, "users-import", page)
	return nil
}
