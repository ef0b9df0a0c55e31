package cli

import (
	"context"
	"net/http"

	"countersign/internal/admin"
)

type administratorVerbs struct {
	Add    administratorAdd    `cmd:"" help:"Give a user a role."`
	List   administratorList   `cmd:"" help:"List who holds a role."`
	Show   administratorShow   `cmd:"" help:"Show the role of a user."`
	Set    administratorSet    `cmd:"" help:"Change the role of a user."`
	Remove administratorRemove `cmd:"" help:"Take a user's role away."`
}

// administratorFlags are what can be set on a role.
type administratorFlags struct {
	Permission []string `help:"help-desk: what they may, user.block or token.manage for example." placeholder:"NAME"`
	Tag        []string `help:"help-desk: on users with this tag." placeholder:"TAG"`
	Directory  []string `help:"help-desk: on users whose password this directory checks." placeholder:"NAME"`
	Group      []string `help:"help-desk: on users whom their directory has in this group: DIRECTORY/DN." placeholder:"DIRECTORY/GROUP" sep:"none"`
	AllUsers   *bool    `help:"help-desk: on every user." negatable:""`
}

func (f *administratorFlags) change() admin.AdministratorChange {
	return admin.AdministratorChange{Permissions: many(f.Permission), Tags: many(f.Tag), Directories: many(f.Directory), Groups: many(f.Group), AllUsers: f.AllUsers}
}

type administratorAdd struct {
	loginArg
	Role string `required:"" help:"owner, administrator, auditor or help-desk." placeholder:"ROLE" values:"owner,administrator,auditor,help-desk"`
	administratorFlags
}

func (v *administratorAdd) Run(ctx context.Context, e *env) error {
	c := v.change()
	c.Login, c.Role = &v.Login, &v.Role
	return change[admin.Administrator](ctx, e, http.MethodPost, "/administrators", c)
}

type administratorList struct{}

func (administratorList) Run(ctx context.Context, e *env) error {
	doc := admin.AdministratorList{Administrators: []admin.Administrator{}}
	if err := whole(ctx, e, "/administrators", func(p admin.AdministratorList) string {
		doc.Administrators = append(doc.Administrators, p.Administrators...)
		return p.Next
	}); err != nil {
		return err
	}
	return e.table(doc, doc.Administrators, "login", "role", "all_users", "tags", "directories", "groups", "by", "changed")
}

type administratorShow struct{ loginArg }

func (v *administratorShow) Run(ctx context.Context, e *env) error {
	return change[admin.Administrator](ctx, e, http.MethodGet, path("administrators", v.Login), nil)
}

type administratorSet struct {
	loginArg
	Role *string `help:"owner, administrator, auditor or help-desk." placeholder:"ROLE" values:"owner,administrator,auditor,help-desk"`
	administratorFlags
}

func (v *administratorSet) Run(ctx context.Context, e *env) error {
	c := v.change()
	c.Role = v.Role
	return change[admin.Administrator](ctx, e, http.MethodPatch, path("administrators", v.Login), c)
}

type administratorRemove struct{ loginArg }

// Help implements help.
func (administratorRemove) Help() string {
	return "The last owner's role goes only by --yes, on a server itself; `countersign console link` then makes the first administrator anew."
}

func (v *administratorRemove) Run(ctx context.Context, e *env) error {
	p := path("administrators", v.Login)
	if e.Yes && e.Globals.Server == "" { // who was only asked has not read that it may be the last owner's
		p += "?last_owner=true"
	}
	return remove(ctx, e, "the role of", v.Login, p)
}
