package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

const (
	importBatch  = 256     // users handed to the database at once
	importRows   = 1000000 // rows of one file
	importErrors = 1000    // of which the report tells the line
)

// ImportUsers makes a user of each row of a CSV file (columns by header name). A row
// whose login exists is left alone, so that the same file may be imported again; a bad
// row is reported and the others go on. The report is right as far as it goes even if
// there is an error.
func (s *Service) ImportUsers(ctx context.Context, by string, r io.Reader, dryRun bool) (ImportReport, error) {
	im := &importer{s: s, by: by, seen: map[string]int{}}
	im.report = ImportReport{DryRun: dryRun, Errors: []ImportError{}}
	t, err := openTable(r)
	if err != nil {
		return im.report, err
	}
	if !dryRun {
		if err := s.record(ctx, by, "user import", "csv", "begun"); err != nil {
			return im.report, err
		}
	}
	err = im.run(ctx, t)
	rep := im.report
	counts := fmt.Sprintf("%d rows: %d created, %d existing, %d refused", rep.Rows, rep.Created, rep.Existing, rep.Failed)
	if err != nil {
		err = fmt.Errorf("import stopped after %s: %w; what is in stays in, and the same file can be imported again", counts, err)
		counts += "; stopped early"
	}
	if dryRun {
		return rep, err
	}
	return rep, errors.Join(err, s.record(ctx, by, "user import", "csv", counts))
}

// importer is one run over one file.
type importer struct {
	s      *Service
	by     string
	report ImportReport
	seen   map[string]int // line by login form
	batch  []importRow
}

type importRow struct {
	line int
	user mfa.NewUser
}

func (im *importer) run(ctx context.Context, t *table) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, at, err := t.next()
		var bad rowError
		switch {
		case errors.Is(err, io.EOF):
			return im.flush(ctx)
		case errors.As(err, &bad):
			im.report.Rows++
			im.refuse(at, "", bad)
			continue
		case err != nil:
			return errors.Join(im.flush(ctx), err)
		}
		if im.report.Rows++; im.report.Rows > importRows {
			im.report.Rows--
			return errors.Join(im.flush(ctx), invalid("line %d: more than %d rows in one file", at, importRows))
		}
		if err := im.row(ctx, at, row); err != nil {
			return errors.Join(im.flush(ctx), fmt.Errorf("line %d: %w", at, err))
		}
	}
}

// row takes one row into the batch, or refuses it. The error is ours.
func (im *importer) row(ctx context.Context, at int, row map[string]string) error {
	u, err := im.parse(row)
	if err != nil {
		im.refuse(at, row["login"], err)
		return nil
	}
	var forms []string
	for _, name := range append([]string{u.User.Login}, u.User.Aliases...) {
		forms = append(forms, im.s.forms(name)...)
	}
	for _, f := range forms {
		if first, ok := im.seen[f]; ok && first != at {
			im.refuse(at, u.User.Login, fmt.Errorf("%q is on line %d already", f, first))
			return nil
		}
	}
	for _, f := range forms {
		im.seen[f] = at
	}
	for _, f := range forms {
		switch owner, err := im.s.owner(ctx, f); {
		case errors.Is(err, mfa.ErrExists):
			im.refuse(at, u.User.Login, err)
			return nil
		case err != nil:
			return err
		case owner.Login == u.User.Login:
			im.report.Existing++
			return nil
		case owner.ID != "":
			im.refuse(at, u.User.Login, fmt.Errorf("%q belongs to user %q", f, owner.Login))
			return nil
		}
	}
	if im.report.DryRun {
		im.report.Created++
		return nil
	}
	if row["password"] != "" {
		p, err := im.s.password(ctx, im.by, u.User.ID, secret.FromString(row["password"]))
		if err != nil {
			return err
		}
		u.Credentials = append(u.Credentials, p)
	}
	if row["pin"] != "" {
		c, err := im.pin(ctx, u.User.ID, secret.FromString(row["pin"]))
		if err != nil {
			return err
		}
		u.Credentials = append(u.Credentials, c)
	}
	im.batch = append(im.batch, importRow{at, u})
	if len(im.batch) == importBatch {
		return im.flush(ctx)
	}
	return nil
}

// pin makes the credential of a PIN that was used elsewhere: it has to be changed before it serves
// anywhere but at the portal.
func (im *importer) pin(ctx context.Context, user mfa.UserID, p secret.Text) (mfa.Credential, error) {
	hash, err := im.s.Passwords.Hash(ctx, p)
	if err != nil {
		return mfa.Credential{}, fmt.Errorf("pin: %w", err)
	}
	now := im.s.Now()
	return mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: user, Method: mfa.MethodPIN, Secret: hash, Digits: p.Len(), MustChange: true, Created: now, Confirmed: now, By: im.by}, nil
}

// flush writes the batch.
func (im *importer) flush(ctx context.Context) error {
	if len(im.batch) == 0 {
		return nil
	}
	users := make([]NewUser, len(im.batch))
	for i, b := range im.batch {
		users[i] = b.user
	}
	errs, err := im.s.Users.CreateUsers(ctx, users)
	if err == nil && len(errs) != len(users) {
		err = fmt.Errorf("the database answered for %d of %d users", len(errs), len(users))
	}
	if err != nil {
		im.report.Rows -= len(im.batch) // their fate is open
		im.batch = im.batch[:0]
		return err
	}
	for i, b := range im.batch {
		if errs[i] == nil {
			im.report.Created++
		} else {
			im.refuse(b.line, b.user.User.Login, errs[i])
		}
	}
	im.batch = im.batch[:0]
	return nil
}

func (im *importer) refuse(at int, login string, reason error) {
	im.report.Failed++
	if len(im.report.Errors) < importErrors {
		text := strings.TrimPrefix(reason.Error(), mfa.ErrInvalid.Error()+": ")
		im.report.Errors = append(im.report.Errors, ImportError{Line: at, Login: clip(login), Reason: text})
	}
}

// parse makes a user with credentials of a row, but for the clear-text password.
func (im *importer) parse(row map[string]string) (mfa.NewUser, error) {
	c := UserChange{}
	login := row["login"]
	c.Login = &login
	for name, to := range map[string]**string{"name": &c.Name, "email": &c.Email, "phone": &c.Phone, "state": &c.State,
		"directory": &c.Directory, "language": &c.Language} {
		if v := row[name]; v != "" {
			*to = &v
		}
	}
	if aliases := strings.Fields(row["alias"]); len(aliases) > 0 {
		c.Aliases = &aliases
	}
	if tags := strings.FieldsFunc(row["tags"], func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) }); len(tags) > 0 {
		c.Tags = &tags
	}
	if p := row["password"]; p != "" {
		c.Password = secret.NewWire(p)
	}
	s := im.s
	if p := row["pin"]; p != "" {
		set := s.Settings.Settings()
		set.PINWeak = true // it was taken elsewhere, and has to be changed
		if err := policy.CheckPIN(secret.FromString(p), set); err != nil {
			return mfa.NewUser{}, fmt.Errorf("pin: %w", err)
		}
	}
	u := mfa.User{ID: mfa.UserID(mfa.NewID(nil)), State: mfa.StateProtected, Created: s.Now(), Changed: s.Now()}
	if err := s.applyUser(&u, c); err != nil {
		return mfa.NewUser{}, err
	}
	n := mfa.NewUser{User: u}
	if h := row["password_hash"]; h != "" {
		hash := secret.FromString(h)
		if c.Password != nil {
			return n, rowError{"password and password_hash are both given"}
		}
		if err := s.Passwords.CheckHash(hash); err != nil {
			return n, fmt.Errorf("password_hash: %w", err)
		}
		n.Credentials = append(n.Credentials, s.passwordHash(im.by, u.ID, hash))
	}
	return im.tokens(n, row)
}

// tokens adds the passcode generators of a row.
func (im *importer) tokens(n mfa.NewUser, row map[string]string) (mfa.NewUser, error) {
	for _, m := range []mfa.MethodID{mfa.MethodTOTP, mfa.MethodHOTP} {
		text := row[string(m)+"_secret"]
		if text == "" {
			continue
		}
		key, err := oath.ParseSecret(secret.FromString(text))
		if err != nil {
			return n, fmt.Errorf("%s_secret: %w", m, err)
		}
		c := mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: n.User.ID, Method: m, Secret: key, Label: "imported",
			Algorithm: "SHA1", Digits: 6, Created: im.s.Now(), By: im.by}
		if m == mfa.MethodTOTP {
			c.Period = 30
		} else if count := row["hotp_counter"]; count != "" {
			if c.Counter, err = strconv.ParseUint(count, 10, 63); err != nil {
				return n, rowError{"hotp_counter is not a number"}
			}
		}
		n.Credentials = append(n.Credentials, c)
	}
	if row["hotp_counter"] != "" && row["hotp_secret"] == "" {
		return n, rowError{"hotp_counter without hotp_secret"}
	}
	return n, nil
}
