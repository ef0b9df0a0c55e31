package directory

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// none is a group without directories.
type none struct{}

func (none) Directory(string) (mfa.Directory, error) { return mfa.Directory{}, mfa.ErrNotFound }

func newLocal(o Options) *Checker {
	o.Now = func() time.Time { return now }
	return New(none{}, o)
}

func password(t *testing.T, clear string) mfa.Credential {
	t.Helper()
	h, err := newLocal(Options{}).Hash(t.Context(), secret.FromString(clear))
	if err != nil {
		t.Fatal(err)
	}
	return mfa.Credential{ID: "cred", User: "user", Method: mfa.MethodPassword, Secret: h}
}

func TestLocalPassword(t *testing.T) {
	alice := mfa.User{ID: "user", Login: "alice"}
	good := password(t, "Pässword 1")
	disabled, expired, later := good, good, good
	disabled.Disabled = true
	expired.Expires = now
	later.Expires = now.Add(time.Second)
	totp := mfa.Credential{ID: "totp", Method: mfa.MethodTOTP, Secret: good.Secret}
	binary := password(t, "\xff\xfe\x00")
	longest := password(t, strings.Repeat("x", MaxPassword))
	tests := []struct {
		name  string
		user  mfa.User
		creds []mfa.Credential
		typed string
		want  error
	}{
		{"right", alice, []mfa.Credential{totp, good}, "Pässword 1", nil},
		{"decomposed umlaut", alice, []mfa.Credential{good}, "Pa\u0308ssword 1", nil},
		{"no-break space", alice, []mfa.Credential{good}, "Pässword\u00a01", nil},
		{"wrong", alice, []mfa.Credential{good}, "Pässword 2", mfa.WrongPassword},
		{"other case", alice, []mfa.Credential{good}, "pässword 1", mfa.WrongPassword},
		{"right and a NUL", alice, []mfa.Credential{good}, "Pässword 1\x00", mfa.WrongPassword},
		{"bytes that are no text", alice, []mfa.Credential{binary}, "\xff\xfe\x00", nil},
		{"bytes cut at NUL", alice, []mfa.Credential{binary}, "\xff\xfe", mfa.WrongPassword},
		{"longest", alice, []mfa.Credential{longest}, strings.Repeat("x", MaxPassword), nil},
		{"too long", alice, []mfa.Credential{longest}, strings.Repeat("x", MaxPassword+1), mfa.PasswordTooLong},
		{"empty", alice, []mfa.Credential{good}, "", mfa.EmptyPassword},
		{"no credential", alice, nil, "x", mfa.NoLocalPassword},
		{"no password among them", alice, []mfa.Credential{totp}, "Pässword 1", mfa.NoLocalPassword},
		{"unknown user", mfa.User{}, nil, "x", mfa.NoLocalPassword},
		{"disabled", alice, []mfa.Credential{disabled}, "Pässword 1", mfa.CredentialDisabled},
		{"disabled, wrong", alice, []mfa.Credential{disabled}, "x", mfa.WrongPassword},
		{"disabled and another", alice, []mfa.Credential{disabled, good}, "Pässword 1", nil},
		{"expires now", alice, []mfa.Credential{expired}, "Pässword 1", mfa.PasswordExpired},
		{"expired, wrong", alice, []mfa.Credential{expired}, "x", mfa.WrongPassword},
		{"expires later", alice, []mfa.Credential{later}, "Pässword 1", nil},
	}
	c := newLocal(Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			groups, err := c.Check(t.Context(), mfa.FirstFactorLocal, tt.user, tt.creds, secret.FromString(tt.typed))
			if !errors.Is(err, tt.want) || groups != nil {
				t.Errorf("got %v, %v, want %v", groups, err, tt.want)
			}
		})
	}
}

func isReason(err error) bool {
	var r mfa.Reason
	return errors.As(err, &r)
}

func TestFaultsOfOursAreNoReasons(t *testing.T) {
	broken := mfa.Credential{ID: "cred", Method: mfa.MethodPassword, Secret: secret.FromString("$argon2id$broken")}
	ended, end := context.WithCancel(t.Context())
	end()
	tests := []struct {
		name, directory string
		ctx             context.Context
		want            string
	}{
		{"damaged hash", "local", t.Context(), "set the password again"},
		{"no directory named", "", t.Context(), "first_factor"},
		{"none", "none", t.Context(), "first_factor"},
		{"no such directory", "corp", t.Context(), `directory "corp"`},
		{"over before it began", "local", ended, "canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			creds := []mfa.Credential{broken}
			if tt.ctx == ended {
				creds = nil
			}
			_, err := newLocal(Options{}).Check(tt.ctx, tt.directory, mfa.User{ID: "user"}, creds, secret.FromString("x"))
			if err == nil || isReason(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a fault of ours with %q", err, tt.want)
			}
		})
	}
}

// Nobody learns from the time it takes whether there is a password: the same work is done,
// which shows in the memory that it takes.
func TestNoPasswordCostsTheSame(t *testing.T) {
	c := newLocal(Options{})
	ssha := mfa.Credential{Method: mfa.MethodPassword, Secret: secret.FromString("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9gAAAAA")}
	for name, creds := range map[string][]mfa.Credential{"no credential": nil, "wrong, and a hash that is cheap": {ssha}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := c.Check(t.Context(), mfa.FirstFactorLocal, mfa.User{ID: "user"}, creds, secret.FromString("x"))
		runtime.ReadMemStats(&after)
		if !isReason(err) {
			t.Fatalf("%s: %v", name, err)
		}
		if got := (after.TotalAlloc - before.TotalAlloc) >> 10; got < uint64(ours.memory) {
			t.Errorf("%s: %d KiB were used, want %d: no hash was computed", name, got, ours.memory)
		}
	}
}

func TestPretendCostsTheSame(t *testing.T) {
	c := newLocal(Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.Pretend(t.Context(), mfa.FirstFactorLocal, "nobody", secret.FromString("x"))
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) >> 10; got < uint64(ours.memory) {
		t.Errorf("%d KiB were used, want %d: no hash was computed", got, ours.memory)
	}
	if _, _, err := c.CheckStranger(t.Context(), mfa.FirstFactorLocal, "nobody", secret.FromString("x")); !errors.Is(err, mfa.UnknownUser) {
		t.Errorf("a stranger's local password: got %v, want %v", err, mfa.UnknownUser)
	}
}

func TestEmptyPasswordIsNoWork(t *testing.T) {
	c := newLocal(Options{Slots: 1})
	hold, err := c.gate.acquire(t.Context(), "holder") // a check would wait
	if err != nil {
		t.Fatal(err)
	}
	defer hold()
	for want, typed := range map[mfa.Reason]string{mfa.EmptyPassword: "", mfa.PasswordTooLong: strings.Repeat("x", MaxPassword+1)} {
		if _, err := c.Check(t.Context(), "corp", mfa.User{}, nil, secret.FromString(typed)); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestOldHashesAreReplaced(t *testing.T) {
	long := strings.Repeat("x", 80)
	tests := []struct {
		name, hash, typed string
		want              bool
	}{
		{"argon2id with other parameters", argonPassword, "password", true},
		{"bcrypt", bcryptAllmine, "allmine", true},
		{"wrong password", bcryptAllmine, "allyours", false},
		{"bcrypt of more than it sees", bcryptOf(t, long[:72]), long, false},
		{"our own", string(password(t, "x").Secret.Expose()), "x", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			replaced := make(chan secret.Text, 1)
			old := secret.FromString(tt.hash)
			c := newLocal(Options{Upgrade: func(_ context.Context, user mfa.UserID, cred mfa.CredentialID, from, to secret.Text) error {
				if user != "user" || cred != "cred" || !from.Equal(old) {
					t.Errorf("replaces %s/%s, want user/cred and the old hash", user, cred)
				}
				replaced <- to
				return nil
			}})
			if tt.want {
				run(t, c)
			}
			creds := []mfa.Credential{{ID: "cred", User: "user", Method: mfa.MethodPassword, Secret: old}}
			_, err := c.Check(t.Context(), mfa.FirstFactorLocal, mfa.User{ID: "user"}, creds, secret.FromString(tt.typed))
			if wrong := errors.Is(err, mfa.WrongPassword); err != nil && !wrong || wrong != (tt.name == "wrong password") {
				t.Fatalf("check: %v", err)
			}
			if !tt.want {
				if len(c.upgrades) != 0 {
					t.Error("is to be replaced, want the old hash to stay")
				}
				return
			}
			to := <-replaced
			creds[0].Secret = to
			if _, err := c.Check(t.Context(), mfa.FirstFactorLocal, mfa.User{ID: "user"}, creds, secret.FromString(tt.typed)); err != nil {
				t.Errorf("with the new hash: %v", err)
			}
			if !mustParse(t, string(to.Expose())).current() {
				t.Error("the new hash is not a current one")
			}
		})
	}
}

// An imported hash was made from what the other system was given, normalised or not.
func TestImportedHashOfAnotherForm(t *testing.T) {
	const decomposed = "u\u0308"
	creds := []mfa.Credential{{Method: mfa.MethodPassword, Secret: secret.FromString(bcryptOf(t, decomposed))}}
	c := newLocal(Options{})
	if _, err := c.Check(t.Context(), mfa.FirstFactorLocal, mfa.User{ID: "u"}, creds, secret.FromString(decomposed)); err != nil {
		t.Errorf("the form it was made from: %v", err)
	}
}

// run runs c until the test ends.
func run(t *testing.T, c *Checker) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func bcryptOf(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"hunter2", "Pa\u0308ss\u00a0w", "\xff", "\x00", "\u200d", " "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		n := normalise(b)
		if (len(n) == 0) != (len(b) == 0) || string(b) != before {
			t.Errorf("%q becomes %q; the password was %q before", b, n, before)
		}
		if again := normalise(n); !bytes.Equal(again, n) {
			t.Errorf("%q becomes %q, and that %q", b, n, again)
		}
	})
}
