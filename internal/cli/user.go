package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"countersign/internal/admin"
)

type userVerbs struct {
	Add     userAdd     `cmd:"" help:"Add a user."`
	List    userList    `cmd:"" help:"List users."`
	Show    userShow    `cmd:"" help:"Show a user."`
	Set     userSet     `cmd:"" help:"Change a user."`
	Block   userBlock   `cmd:"" help:"Keep a user out, for a while or until it is lifted."`
	Unblock userUnblock `cmd:"" help:"Lift a block."`
	Unlock  userUnlock  `cmd:"" help:"Forget a user's wrong codes and passwords."`
	Invite  userInvite  `cmd:"" help:"Let a user into the portal once, to enrol: by a link, or a code to read out."`
	PIN     pinVerbs    `cmd:"" name:"pin" help:"PINs, which stand in front of codes."`
	Verify  userVerify  `cmd:"" help:"Have somebody on the phone prove that they are the user: on their device, by a code or a call."`
	Remove  userRemove  `cmd:"" help:"Remove a user with everything that is theirs."`
	Import  userImport  `cmd:"" help:"Add users from a CSV file."`
}

// userFlags are what can be set on a user.
type userFlags struct {
	Name          *string  `help:"Full name."`
	Email         *string  `help:"Mail address."`
	Phone         *string  `help:"Telephone number in E.164 form." placeholder:"+491701234567"`
	Alias         []string `help:"Further login name; an empty one clears the list." sep:"none"`
	Directory     *string  `help:"Directory that checks the password; empty: as the application says."`
	Tag           []string `help:"Tag, for reply rules; an empty one clears the list."`
	Language      *string  `help:"Language of pages and messages; empty: as the browser asks." placeholder:"en|de" values:",en,de"`
	Preferred     *string  `help:"Second factor that is asked for first where policy leaves the choice; empty: none." placeholder:"METHOD"`
	State         *string  `help:"protected, exempt or denied." placeholder:"STATE" values:"protected,exempt,denied"`
	Password      bool     `help:"Ask for a local password."`
	PasswordStdin bool     `help:"Read the local password from standard input; an empty line removes it."`
	PasswordFile  string   `help:"Read the local password from a file." type:"path" placeholder:"FILE"`
}

func (f *userFlags) change(e *env) (c admin.UserChange, err error) {
	c = admin.UserChange{Name: f.Name, Email: f.Email, Phone: f.Phone, Aliases: many(f.Alias), Directory: f.Directory,
		Tags: many(f.Tag), Language: f.Language, PreferredMethod: f.Preferred, State: f.State}
	c.Password, err = e.read(source{what: "password", stdin: f.PasswordStdin, file: f.PasswordFile, ask: f.Password, twice: true})
	return c, err
}

// change sends a change and shows the object that it leaves.
func change[View any](ctx context.Context, e *env, method, path string, in any) error {
	var v View
	if err := e.call(ctx, method, path, nil, in, &v); err != nil {
		return err
	}
	return e.show(v)
}

// remove asks, and sends the removal.
func remove(ctx context.Context, e *env, what, name, path string) error {
	if err := e.confirm("Remove %s %s for ever?", what, name); err != nil {
		return err
	}
	return change[admin.Removed](ctx, e, http.MethodDelete, path, nil)
}

type userAdd struct {
	Login string `arg:"" help:"Login name: alice, alice@corp.example, CORP\\alice."`
	userFlags
}

func (v *userAdd) Run(ctx context.Context, e *env) error {
	c, err := v.change(e)
	if err != nil {
		return err
	}
	c.Login = &v.Login
	return change[admin.User](ctx, e, http.MethodPost, "/users", c)
}

type userList struct {
	State     string `help:"Only those in this state." values:"protected,exempt,denied"`
	Search    string `help:"Only those with this text in login, alias, name or mail address."`
	Factor    string `help:"Only those whom such a second factor serves; none: no second factor at all." values:"none,totp,hotp,sms,email,call,push,passkey,recovery,tap"`
	Tag       string `help:"Only those with this tag."`
	Directory string `help:"Only those whose own directory this is."`
	Limit     int    `help:"At most so many; 0: all." default:"0"`
	After     string `help:"Begin after this cursor (the next of the page before)."`
}

func (v *userList) Run(ctx context.Context, e *env) error {
	doc := admin.UserList{Users: []admin.User{}}
	q := query("state", v.State, "search", v.Search, "factor", v.Factor, "tag", v.Tag, "directory", v.Directory)
	var err error
	doc.Next, err = e.pages(ctx, "/users", q, v.After, v.Limit, func() (any, func() (int, string)) {
		var page admin.UserList
		return &page, func() (int, string) {
			doc.Users = append(doc.Users, page.Users...)
			return len(page.Users), page.Next
		}
	})
	if err != nil {
		return err
	}
	return e.table(doc, doc.Users, "login", "name", "email", "state", "blocked", "tags", "id")
}

// pages reads page after page until limit (0: all) is reached, and returns the cursor of
// what is left. page returns what to decode into and what to do with it.
func (e *env) pages(ctx context.Context, path string, q url.Values, after string, limit int, page func() (any, func() (int, string))) (string, error) {
	if limit < 0 {
		return "", usage("--limit %d: it cannot be negative", limit)
	}
	for left := limit; ; {
		size := admin.MaxPage
		if limit > 0 {
			size = min(size, left)
		}
		q.Set("limit", strconv.Itoa(size))
		if after != "" {
			q.Set("after", after)
		}
		into, add := page()
		if err := e.call(ctx, http.MethodGet, path, q, nil, into); err != nil {
			return "", err
		}
		n, next := add()
		after = next
		if left -= n; next == "" || limit > 0 && left <= 0 {
			return next, nil
		}
	}
}

// whole reads a list page after page; add takes one and returns the cursor of the next.
func whole[List any](ctx context.Context, e *env, path string, add func(List) (next string)) error {
	_, err := e.pages(ctx, path, url.Values{}, "", 0, func() (any, func() (int, string)) {
		var page List
		return &page, func() (int, string) { return 0, add(page) }
	})
	return err
}

// loginArg is the user that a verb is about.
type loginArg struct {
	Login string `arg:"" help:"The user, by any login name or by id."`
}

type userShow struct{ loginArg }

func (v *userShow) Run(ctx context.Context, e *env) error {
	return change[admin.User](ctx, e, http.MethodGet, path("users", v.Login), nil)
}

type userSet struct {
	loginArg
	NewLogin *string `help:"New login name." name:"login"`
	userFlags
}

func (v *userSet) Run(ctx context.Context, e *env) error {
	c, err := v.change(e)
	if err != nil {
		return err
	}
	if c.Login = v.NewLogin; c == (admin.UserChange{}) {
		return usage("nothing to change: give at least one flag (see `countersign user set --help`)")
	}
	return change[admin.User](ctx, e, http.MethodPatch, path("users", v.Login), c)
}

type userBlock struct {
	loginArg
	For    span   `help:"How long, for example 12h or 7d; absent: until it is lifted." placeholder:"DURATION"`
	Reason string `help:"Why; kept with the user and in the trail."`
}

func (v *userBlock) Run(ctx context.Context, e *env) error {
	return change[admin.User](ctx, e, http.MethodPost, path("users", v.Login, "block"),
		admin.BlockRequest{Seconds: v.For.seconds(), Reason: v.Reason})
}

type userUnblock struct{ loginArg }

func (v *userUnblock) Run(ctx context.Context, e *env) error {
	return change[admin.User](ctx, e, http.MethodPost, path("users", v.Login, "unblock"), nil)
}

type userUnlock struct{ loginArg }

func (v *userUnlock) Run(ctx context.Context, e *env) error {
	return change[admin.User](ctx, e, http.MethodPost, path("users", v.Login, "unlock"), nil)
}

type userRemove struct{ loginArg }

func (v *userRemove) Run(ctx context.Context, e *env) error {
	return remove(ctx, e, "user", v.Login, path("users", v.Login))
}

type userImport struct {
	File   string `arg:"" help:"The file; - is standard input."`
	Format string `help:"csv: columns by header name (login, name, email, phone, alias, tags, directory, language, state, password, password_hash, pin, totp_secret, hotp_secret, hotp_counter); several aliases or tags in one field with spaces between them." default:"csv" enum:"csv"`
	DryRun bool   `help:"Change nothing; say what would be done."`
}

func (v *userImport) Run(ctx context.Context, e *env) error {
	var in io.Reader = e.in
	var size int64
	if v.File != "-" {
		f, err := os.Open(v.File)
		if err != nil {
			return err
		}
		defer f.Close()
		if fi, err := f.Stat(); err == nil {
			size = fi.Size()
		}
		in = f
	}
	q := query()
	if v.DryRun {
		q.Set("dry_run", "true")
	}
	p := &progress{e: e, r: in, size: size}
	// Its own reader type, so that the transport does not close standard input.
	answer, err := e.send(ctx, http.MethodPost, "/import/users", q, struct{ io.Reader }{p}, "text/csv")
	p.done()
	if err != nil {
		return err
	}
	defer answer.Close()
	var r admin.ImportReport
	if err := json.NewDecoder(answer).Decode(&r); err != nil {
		return fmt.Errorf("the connection broke before the report came; run the same import again, nothing is added twice: %w", err)
	}
	return v.report(e, r)
}

func (v *userImport) report(e *env, r admin.ImportReport) error {
	if e.JSON {
		if err := e.document(r); err != nil {
			return err
		}
	} else {
		did := map[bool]string{false: "created", true: "would be created"}[r.DryRun]
		fmt.Fprintf(e.Stdout, "%d rows: %d %s, %d exist already, %d refused\n", r.Rows, r.Created, did, r.Existing, r.Failed)
		for _, row := range r.Errors {
			fmt.Fprintf(e.Stdout, "line %d: %s: %s\n", row.Line, printable(row.Login), row.Reason)
		}
		if more := r.Failed - len(r.Errors); more > 0 {
			fmt.Fprintf(e.Stdout, "and %d more\n", more)
		}
	}
	if r.Failed > 0 {
		others := "the others are in"
		if r.DryRun {
			others = "nothing was written"
		}
		return fmt.Errorf("%d of %d rows were refused; %s", r.Failed, r.Rows, others)
	}
	return nil
}

// progress shows how much of a file the server has taken; it takes a row when it has
// dealt with those before it.
type progress struct {
	e    *env
	r    io.Reader
	size int64 // 0: not known
	n    int64
	last time.Time
	seen bool
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if now := p.e.Now(); p.e.Terminal && !p.e.JSON && now.Sub(p.last) > 200*time.Millisecond {
		p.last, p.seen = now, true
		if p.size > 0 {
			fmt.Fprintf(p.e.Stderr, "\r%3d %%", p.n*100/p.size)
		} else {
			fmt.Fprintf(p.e.Stderr, "\r%d kB", p.n>>10)
		}
	}
	return n, err
}

// done ends the line of progress.
func (p *progress) done() {
	if p.seen {
		fmt.Fprint(p.e.Stderr, "\r\x1b[K")
	}
}
