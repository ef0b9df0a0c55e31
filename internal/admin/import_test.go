package admin_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func TestImport(t *testing.T) {
	seed := "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	tests := []struct {
		name, csv string
		created   int
		refused   []string // "line: reason"
		err       string
	}{
		{"plain", "login,name\nalice,Alice\nbob,Bob\n", 2, nil, ""},
		{"byte order mark, CRLF, semicolon, any order and case", "\xef\xbb\xbfName;LOGIN\r\n\"A; B\";alice\r\n", 1, nil, ""},
		{"tabs, no line end at the end", "login\tname\nalice\tA", 1, nil, ""},
		{"quoted line breaks and quotes", "login,name\nalice,\"A \"\"the\"\" B\"\nbob,Bob\n", 2, nil, ""},
		{"blank lines", "login\n\nalice\n\n\nbob\n", 2, nil, ""},
		{"everything", "login,name,email,phone,alias,state,password,totp_secret,hotp_secret,hotp_counter\n" +
			"alice,Alice,a@x.example,+491701234567,al a.l@x.example,exempt,p w ," + seed + "," + seed + ",42\n", 1, nil, ""},
		{"a hash", "login,password_hash\nalice,$argon2id$x\nbob,plain\n", 1, []string{"3: password_hash: the hash is of no kind"}, ""},
		{"bad rows among good ones", "login,phone\nalice,+491701234567\nb b,\ncarol,12\n,\ndora,\n", 2,
			[]string{"3: login: \"b b\"", "4: phone:", "5: login:"}, ""},
		{"too many and too few fields", "login,name\nalice\nbob,B,x\ncarol,C\n", 1, []string{"2: 1 fields", "3: 3 fields"}, ""},
		{"a stray quote", "login,name\nal\"ice,A\nbob,B\n", 1, []string{"2: bare"}, ""},
		{"twice in one file", "login,alias\nalice,\nALICE,\nbob,alice\n", 1, []string{"3: \"alice\" is on line 2", "4: \"alice\" is on line 2"}, ""},
		{"both passwords", "login,password,password_hash\nalice,a,$b\n", 0, []string{"2: password and password_hash"}, ""},
		{"bad seed", "login,totp_secret\nalice,0189\n", 0, []string{"2: totp_secret:"}, ""},
		{"counter alone", "login,hotp_counter\nalice,7\n", 0, []string{"2: hotp_counter without"}, ""},
		{"bad counter", "login,hotp_secret,hotp_counter\nalice," + seed + ",-1\n", 0, []string{"2: hotp_counter is not"}, ""},
		{"not UTF-8", "login,name\nalice,\xff\nbob,B\n", 1, []string{"2: name is not UTF-8"}, ""},
		{"long password", "login,password\nalice," + strings.Repeat("x", 129) + "\n", 0, []string{"2: password: longer"}, ""},
		{"no header", "", 0, nil, "no header"},
		{"unknown column", "login,pasword\n", 0, nil, `"pasword" is not known`},
		{"a column twice", "login,name,Name\n", 0, nil, "twice"},
		{"no login column", "name\nAlice\n", 0, nil, `"login" is missing`},
		{"UTF-16", "\xff\xfel\x00o\x00", 0, nil, "UTF-16"},
		{"a row without end", "login,name\nalice,\"" + strings.Repeat("x\n", 1<<17), 0, nil, "longer than"},
		{"an open quote at the end", "login,name\nalice,A\nbob,\"B", 1, []string{"3: extraneous"}, ""},
		{"an open quote before others", "login,name\nalice,A\nbob,\"B\ncarol,C\ndave,D\n", 1, []string{"3: a quotation mark is open, and lines 3 to 5 were taken for one row"}, ""},
		{"a long header", strings.Repeat("x", 1<<17), 0, nil, "no header"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			// One byte a read: what it gets must not depend on how the network cuts it.
			dry, dryErr := r.ImportUsers(t.Context(), "test", iotest.OneByteReader(strings.NewReader(tt.csv)), true)
			if r.db.CountUsers() != 0 || len(r.trail.Recorded()) != 0 {
				t.Fatal("a dry run changed something")
			}
			rep, err := r.ImportUsers(t.Context(), "test", strings.NewReader(tt.csv), false)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || dryErr == nil {
					t.Fatalf("errors %v and dry %v, want %q", err, dryErr, tt.err)
				}
				return
			}
			if err != nil || dryErr != nil {
				t.Fatal(err, dryErr)
			}
			if rep.Created != tt.created || rep.Failed != len(tt.refused) || r.db.CountUsers() != tt.created {
				t.Errorf("report %+v, %d users; want %d created and %v", rep, r.db.CountUsers(), tt.created, tt.refused)
			}
			for i, want := range tt.refused {
				if i < len(rep.Errors) {
					if got := fmt.Sprintf("%d: %s", rep.Errors[i].Line, rep.Errors[i].Reason); !strings.HasPrefix(got, want) {
						t.Errorf("refused %q, want %q", got, want)
					}
				}
			}
			if dry.Created != rep.Created || dry.Failed != rep.Failed || dry.Rows != rep.Rows {
				t.Errorf("the dry run said %+v, the run %+v", dry, rep)
			}
			again, err := r.ImportUsers(t.Context(), "test", strings.NewReader(tt.csv), false)
			if err != nil || again.Created != 0 || again.Existing != rep.Created || r.db.CountUsers() != tt.created {
				t.Errorf("the second run: %+v, %v", again, err)
			}
		})
	}
}

// What help desks are limited by comes with the users.
func TestImportSetsReach(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	if _, err := r.AddDirectory(ctx, "root", admin.DirectoryChange{Name: ptr("corp"), URLs: &[]string{"ldaps://dc1.corp.example"}, BaseDN: ptr("DC=corp,DC=example"), BindDN: ptr("CN=x,DC=corp,DC=example"), BindPassword: secret.NewWire("x")}); err != nil {
		t.Fatal(err)
	}
	rep, err := r.ImportUsers(ctx, "root", strings.NewReader("login;tags;directory;language\nalice;\"east vip, nyc;lab\";corp;de\nbob;;;\ncarol;;nowhere;\ndave;;;xx\neve;a/b;;\n"), false)
	if err != nil || rep.Created != 2 || rep.Failed != 3 {
		t.Fatal(rep, err)
	}
	for i, want := range []string{"directory", "language", "tags"} {
		if !strings.Contains(rep.Errors[i].Reason, want) {
			t.Errorf("refused as %+v, want %s", rep.Errors[i], want)
		}
	}
	u, err := r.Resolve(ctx, "alice")
	if err != nil || strings.Join(u.Tags, " ") != "east lab nyc vip" && strings.Join(u.Tags, " ") != "east vip nyc lab" || u.Directory != "corp" || u.Language != "de" {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestImportedUserIsWhole(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	csv := "login,name,alias,state,password,totp_secret,hotp_secret,hotp_counter\n" +
		"alice,Alice,al a@x.example,denied, p w ,JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP,jbsw y3dp ehpk 3pxp,42\n"
	if rep, err := r.ImportUsers(ctx, "root", strings.NewReader(csv), false); err != nil || rep.Created != 1 {
		t.Fatal(rep, err)
	}
	u, err := r.Resolve(ctx, "a@x.example")
	if err != nil || u.Login != "alice" || u.State != mfa.StateDenied || len(u.Aliases) != 2 {
		t.Fatalf("user %+v, %v", u, err)
	}
	a, err := r.db.Account(ctx, u.ID, false)
	if err != nil || len(a.Credentials) != 3 {
		t.Fatalf("%d credentials, %v", len(a.Credentials), err)
	}
	for _, c := range a.Credentials {
		switch {
		case c.User != u.ID || c.By != "root":
			t.Errorf("credential %+v", c)
		case c.Method == mfa.MethodPassword && string(c.Secret.Expose()) != "hash of  p w ":
			t.Errorf("the password was changed: %q", c.Secret.Expose())
		case c.Method == mfa.MethodTOTP && (c.Period != 30 || c.Digits != 6 || c.Secret.Len() != 20):
			t.Errorf("totp %+v", c)
		case c.Method == mfa.MethodHOTP && (c.Counter != 42 || c.Secret.Len() != 10):
			t.Errorf("hotp %+v", c)
		}
	}
}

// TestImportGoesOnWhereItStopped: a database that goes away in the middle loses no
// account of what is in.
func TestImportGoesOnWhereItStopped(t *testing.T) {
	r := newRig(t)
	var csv strings.Builder
	csv.WriteString("login,name\n")
	for i := range 600 {
		fmt.Fprintf(&csv, "user%d,%s\n", i, strings.Repeat("n", 250)) // more than one buffer
	}
	text := csv.String()
	first := io.MultiReader(strings.NewReader(text[:len(text)/2]), readerFunc(func([]byte) (int, error) {
		r.db.Fail = mfa.ErrUnavailable
		return 0, io.EOF
	}), strings.NewReader(text[len(text)/2:]))
	rep, err := r.ImportUsers(t.Context(), "root", first, false)
	if !errors.Is(err, mfa.ErrUnavailable) || !strings.Contains(err.Error(), "imported again") {
		t.Fatalf("got %+v, %v", rep, err)
	}
	if rep.Rows != rep.Created+rep.Existing+rep.Failed || rep.Created != r.db.CountUsers() || rep.Created == 0 {
		t.Errorf("report %+v with %d users", rep, r.db.CountUsers())
	}
	r.db.Fail = nil
	again, err := r.ImportUsers(t.Context(), "root", strings.NewReader(text), false)
	if err != nil || again.Existing != rep.Created || r.db.CountUsers() != 600 {
		t.Errorf("second run %+v, %v, %d users", again, err, r.db.CountUsers())
	}
	acts := r.trail.Recorded()
	if len(acts) != 4 || acts[0].Detail != "begun" || !strings.HasSuffix(acts[1].Detail, "stopped early") {
		t.Errorf("acts %+v", acts)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func FuzzImport(f *testing.F) {
	for _, s := range []string{"login\nalice\n", "login;name\r\n\"a\";b\r\n", "\xef\xbb\xbflogin\tphone\nx\t+491701234567\n",
		"login,alias\na,b\nb,c\nc,a\n", "login,name\n\"a\nb\",\"", "login,totp_secret\na,JBSWY3DPEHPK3PXP\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, csv string) {
		r := newRig(t)
		rep, err := r.ImportUsers(t.Context(), "test", strings.NewReader(csv), false)
		if rep.Rows != rep.Created+rep.Existing+rep.Failed || rep.Created != r.db.CountUsers() {
			t.Fatalf("report %+v, %d users", rep, r.db.CountUsers())
		}
		if err != nil {
			return
		}
		// The same bytes in other pieces are the same file, and nothing is there twice.
		pieces := readerFunc(func() func([]byte) (int, error) {
			in := strings.NewReader(csv)
			return func(b []byte) (int, error) { return in.Read(b[:min(len(b), 1+rand.IntN(7))]) }
		}())
		again, err := r.ImportUsers(t.Context(), "test", pieces, false)
		if err != nil || again.Created != 0 || again.Rows != rep.Rows || again.Existing < rep.Created {
			t.Fatalf("second run %+v, %v after %+v", again, err, rep)
		}
	})
}
