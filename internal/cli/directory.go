package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"countersign/internal/admin"
)

type directoryVerbs struct {
	Add    directoryAdd    `cmd:"" help:"Add a directory."`
	List   directoryList   `cmd:"" help:"List directories."`
	Show   directoryShow   `cmd:"" help:"Show a directory."`
	Set    directorySet    `cmd:"" help:"Change a directory."`
	Test   directoryTest   `cmd:"" help:"Try a directory step by step."`
	Remove directoryRemove `cmd:"" help:"Remove a directory that nothing names."`
}

// directoryFlags are what can be set on a directory.
type directoryFlags struct {
	URL               []string `name:"url" help:"ldaps://HOST or ldap://HOST, in order of preference." placeholder:"URL"`
	StartTLS          *bool    `name:"start-tls" help:"Encrypt ldap:// connections before anything is said." negatable:""`
	TLSCAFile         *string  `name:"tls-ca-file" help:"Certificates (PEM) that its servers' are checked with; empty: the system's." placeholder:"FILE"`
	BindDN            *string  `name:"bind-dn" help:"Who searches for users." placeholder:"DN"`
	BindPassword      bool     `help:"Ask for the password of the bind DN."`
	BindPasswordStdin bool     `help:"Read it from standard input."`
	BindPasswordFile  string   `help:"Read it from a file." type:"path" placeholder:"FILE"`
	BaseDN            *string  `name:"base-dn" help:"Below it users are searched." placeholder:"DN"`
	UserFilter        *string  `help:"Finds a user; {login} stands for the login, {user} for the same without its domain." placeholder:"FILTER"`
	GroupAttribute    *string  `help:"Holds a user's groups, for example memberOf." placeholder:"NAME"`
	UPNSuffix         *string  `name:"upn-suffix" help:"Domain behind a bare login for a direct bind, for example corp.example." placeholder:"DOMAIN"`
	Timeout           *span    `help:"Of one operation." placeholder:"DURATION"`
}

func (f *directoryFlags) change(e *env) (c admin.DirectoryChange, err error) {
	c = admin.DirectoryChange{URLs: many(f.URL), StartTLS: f.StartTLS, BindDN: f.BindDN, BaseDN: f.BaseDN, UserFilter: f.UserFilter,
		GroupAttribute: f.GroupAttribute, UPNSuffix: f.UPNSuffix}
	if f.Timeout != nil {
		s := int(time.Duration(*f.Timeout).Round(time.Second).Seconds())
		c.TimeoutSeconds = &s
	}
	if f.TLSCAFile != nil {
		var pem []byte
		if *f.TLSCAFile != "" {
			if pem, err = os.ReadFile(*f.TLSCAFile); err != nil {
				return c, fmt.Errorf("--tls-ca-file: %w", err)
			}
		}
		text := string(pem)
		c.CAs = &text
	}
	c.BindPassword, err = e.read(source{what: "bind password", stdin: f.BindPasswordStdin, file: f.BindPasswordFile, ask: f.BindPassword})
	return c, err
}

type directoryAdd struct {
	nameArg
	Kind string `help:"ldap (Active Directory too)." default:"ldap" enum:"ldap"`
	directoryFlags
}

func (v *directoryAdd) Run(ctx context.Context, e *env) error {
	if v.BindDN != nil && *v.BindDN != "" && !v.BindPasswordStdin && v.BindPasswordFile == "" {
		v.BindPassword = true
	}
	c, err := v.change(e)
	if err != nil {
		return err
	}
	c.Name, c.Kind = &v.Name, &v.Kind
	return change[admin.Directory](ctx, e, http.MethodPost, "/directories", c)
}

type directoryList struct{}

func (directoryList) Run(ctx context.Context, e *env) error {
	doc := admin.DirectoryList{Directories: []admin.Directory{}}
	if err := whole(ctx, e, "/directories", func(p admin.DirectoryList) string {
		doc.Directories = append(doc.Directories, p.Directories...)
		return p.Next
	}); err != nil {
		return err
	}
	return e.table(doc, doc.Directories, "name", "kind", "urls", "start_tls", "base_dn", "user_filter")
}

type directoryShow struct{ nameArg }

func (v *directoryShow) Run(ctx context.Context, e *env) error {
	return change[admin.Directory](ctx, e, http.MethodGet, path("directories", v.Name), nil)
}

type directorySet struct {
	nameArg
	directoryFlags
}

func (v *directorySet) Run(ctx context.Context, e *env) error {
	c, err := v.change(e)
	if err != nil {
		return err
	}
	if c == (admin.DirectoryChange{}) {
		return usage("nothing to change: give at least one flag (see `countersign directory set --help`)")
	}
	return change[admin.Directory](ctx, e, http.MethodPatch, path("directories", v.Name), c)
}

type directoryTest struct {
	nameArg
	Login         string `help:"Also search for this user."`
	Password      bool   `help:"Also ask for the user's password and check it."`
	PasswordStdin bool   `help:"The same, from standard input."`
	PasswordFile  string `help:"The same, from a file." type:"path" placeholder:"FILE"`
}

func (v *directoryTest) Run(ctx context.Context, e *env) error {
	in := admin.DirectoryTest{Login: v.Login}
	var err error
	if in.Password, err = e.read(source{what: "password", stdin: v.PasswordStdin, file: v.PasswordFile, ask: v.Password}); err != nil {
		return err
	}
	if in.Password != nil && v.Login == "" {
		return usage("whose password? Give --login")
	}
	var doc admin.CheckList
	if err := e.call(ctx, http.MethodPost, path("directories", v.Name, "test"), nil, in, &doc); err != nil {
		return err
	}
	return e.checks(doc)
}

// checks shows what was tried, and is an error if something failed.
func (e *env) checks(doc admin.CheckList) error {
	rows := slices.Clone(doc.Checks)
	for i, c := range rows {
		if c.Warning {
			rows[i].Detail = "warning: " + c.Detail
		}
	}
	if err := e.table(doc, rows, "ok", "name", "target", "layer", "detail", "next_step"); err != nil {
		return err
	}
	failed := 0
	for _, c := range doc.Checks {
		if !c.OK {
			failed++
		}
	}
	if failed > 0 || !doc.OK {
		return fmt.Errorf("%d of %d checks failed", failed, len(doc.Checks))
	}
	return nil
}

type directoryRemove struct{ nameArg }

func (v *directoryRemove) Run(ctx context.Context, e *env) error {
	return remove(ctx, e, "directory", v.Name, path("directories", v.Name))
}
