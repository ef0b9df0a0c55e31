package cli

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

type applicationVerbs struct {
	Add    applicationAdd    `cmd:"" help:"Add an application."`
	List   applicationList   `cmd:"" help:"List applications."`
	Show   applicationShow   `cmd:"" help:"Show an application."`
	Set    applicationSet    `cmd:"" help:"Change an application."`
	Remove applicationRemove `cmd:"" help:"Remove an application."`
}

// nameArg is the object that a verb is about.
type nameArg struct {
	Name string `arg:"" help:"Its name."`
}

// applicationFlags are what can be set on an application.
type applicationFlags struct {
	Address              []string `help:"Address or network of its clients." placeholder:"CIDR"`
	Secret               bool     `help:"Ask for the secret: radius: the shared one; api: what callbacks are signed with."`
	SecretStdin          bool     `help:"Read the secret from standard input."`
	SecretFile           string   `help:"Read the secret from a file." type:"path" placeholder:"FILE"`
	FirstFactor          *string  `help:"local, none (the client has checked the password and sends the code alone) or a directory." placeholder:"NAME"`
	Methods              []string `help:"Methods allowed, in order of preference; empty: every one." placeholder:"a,b"`
	Passcode             *string  `help:"Where the code stands: prompt, append (behind the password) or either." placeholder:"MODE" values:"prompt,append,either"`
	Waiting              *string  `help:"radius: while a user approves on a device: prompt (a challenge shows the number to type there) or inside (the request is held and no number is shown: only for clients that can show nothing)." placeholder:"WORD" values:"prompt,inside"`
	UnknownUsers         *string  `help:"deny, or pass on the first factor." placeholder:"WORD" values:"deny,pass"`
	UnknownUsersUntil    deadline `help:"When passing ends: 2027-01-31, or 30d from now; 90d unless told otherwise, at most a year." placeholder:"TIME"`
	Degraded             *string  `help:"Without a master: allow or refuse." placeholder:"WORD" values:"allow,refuse"`
	Exempt               []string `help:"Network whose users pass on the first factor. The client says where they come from and nothing proves it." placeholder:"CIDR"`
	MessageAuthenticator *string  `help:"learn, warn or require (CVE-2024-3596)." placeholder:"MODE" values:"learn,warn,require"`
	Rate                 *int     `help:"Packets a second from one address; 0: default." placeholder:"N"`
	Retries              *int     `help:"Wrong answers that get a new prompt." placeholder:"N"`
	Reply                []string `help:"Attribute of an accept: Filter-Id=staff, with ' for tag T' or ' for group G' behind it. An empty one clears the rules." sep:"none" placeholder:"RULE"`
	CallbackURL          *string  `name:"callback-url" help:"api: where it is told what became of a sign-in that waits; empty: nowhere." placeholder:"URL"`
	CallbackCAFile       *string  `name:"callback-ca-file" help:"api: certificates (PEM) that the callback's is checked with; empty: the system's." placeholder:"FILE"`
	CallbackNetwork      []string `help:"api: network that the callback may be in, besides the public Internet." placeholder:"CIDR"`
}

func (f *applicationFlags) change(e *env, ask bool) (c admin.ApplicationChange, err error) {
	c = admin.ApplicationChange{Addresses: many(f.Address), FirstFactor: f.FirstFactor, Methods: many(f.Methods), Passcode: f.Passcode, Waiting: f.Waiting,
		UnknownUsers: f.UnknownUsers, Degraded: f.Degraded, Exempt: many(f.Exempt), MessageAuthenticator: f.MessageAuthenticator,
		Rate: f.Rate, Retries: f.Retries, CallbackURL: f.CallbackURL, CallbackNetworks: many(f.CallbackNetwork)}
	if c.CallbackCAs, err = pemFile("--callback-ca-file", f.CallbackCAFile); err != nil {
		return c, err
	}
	if c.UnknownUsersUntil, err = f.UnknownUsersUntil.in(e.Now(), e.Location); err != nil {
		return c, err
	}
	if c.Reply, err = replyRules(f.Reply); err != nil {
		return c, err
	}
	c.Secret, err = e.read(source{what: "secret", stdin: f.SecretStdin, file: f.SecretFile, ask: ask || f.Secret, twice: true})
	return c, err
}

// pemFile reads the file that a flag names: nil without the flag, nothing for an empty name.
func pemFile(flag string, name *string) (*string, error) {
	text := ""
	if name == nil || *name == "" {
		if name == nil {
			return nil, nil
		}
		return &text, nil
	}
	b, err := os.ReadFile(*name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	text = string(b)
	return &text, nil
}

// replyRules reads "ATTRIBUTE=VALUE", "... for tag T" and "... for group G".
func replyRules(in []string) (*[]mfa.ReplyRule, error) {
	if in == nil {
		return nil, nil
	}
	rules := []mfa.ReplyRule{}
	for _, text := range *many(in) {
		var r mfa.ReplyRule
		rest := text
		if i := strings.LastIndex(rest, " for tag "); i >= 0 {
			rest, r.Tag = rest[:i], rest[i+len(" for tag "):]
		} else if i := strings.LastIndex(rest, " for group "); i >= 0 {
			rest, r.Group = rest[:i], rest[i+len(" for group "):]
		}
		var ok bool
		if r.Attribute, r.Value, ok = strings.Cut(rest, "="); !ok || r.Attribute == "" || r.Value == "" {
			return nil, usage("--reply %q: want ATTRIBUTE=VALUE, with ' for tag T' or ' for group G' behind it if it is not for everybody", text)
		}
		rules = append(rules, r)
	}
	return &rules, nil
}

type applicationAdd struct {
	nameArg
	Kind string `required:"" help:"radius, ldap, web, oidc or api." placeholder:"KIND" values:"radius,ldap,web,oidc,api"`
	applicationFlags
}

func (v *applicationAdd) Run(ctx context.Context, e *env) error {
	c, err := v.change(e, v.Kind == mfa.KindRADIUS)
	if err != nil {
		return err
	}
	c.Name, c.Kind = &v.Name, &v.Kind
	return change[admin.Application](ctx, e, http.MethodPost, "/applications", c)
}

type applicationList struct{}

func (applicationList) Run(ctx context.Context, e *env) error {
	doc := admin.ApplicationList{Applications: []admin.Application{}}
	if err := whole(ctx, e, "/applications", func(p admin.ApplicationList) string {
		doc.Applications = append(doc.Applications, p.Applications...)
		return p.Next
	}); err != nil {
		return err
	}
	return e.table(doc, doc.Applications, "name", "kind", "addresses", "first_factor", "methods", "passcode", "message_authenticator", "disabled")
}

type applicationShow struct{ nameArg }

func (v *applicationShow) Run(ctx context.Context, e *env) error {
	return change[admin.Application](ctx, e, http.MethodGet, path("applications", v.Name), nil)
}

type applicationSet struct {
	nameArg
	NewName  *string `name:"name" help:"New name."`
	Disabled *bool   `help:"Refuse everybody, or no longer." negatable:""`
	applicationFlags
}

func (v *applicationSet) Run(ctx context.Context, e *env) error {
	c, err := v.change(e, false)
	if err != nil {
		return err
	}
	if c.Name, c.Disabled = v.NewName, v.Disabled; c == (admin.ApplicationChange{}) {
		return usage("nothing to change: give at least one flag (see `countersign application set --help`)")
	}
	return change[admin.Application](ctx, e, http.MethodPatch, path("applications", v.Name), c)
}

type applicationRemove struct{ nameArg }

func (v *applicationRemove) Run(ctx context.Context, e *env) error {
	return remove(ctx, e, "application", v.Name, path("applications", v.Name))
}

type blastVerb struct{}

func (blastVerb) Run(ctx context.Context, e *env) error {
	var doc admin.BlastRADIUS
	if err := e.call(ctx, http.MethodGet, "/blastradius", nil, nil, &doc); err != nil {
		return err
	}
	return e.table(doc, doc.Clients, "application", "address", "state", "message_authenticator", "proven", "without", "advice")
}
