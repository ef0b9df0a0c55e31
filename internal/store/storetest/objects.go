package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

func applications(t *testing.T, r *rig) {
	ctx := t.Context()
	if _, err := r.CreateDirectory(ctx, mfa.Directory{Name: "corp", Kind: "ldap"}); err != nil {
		t.Fatal(err)
	}
	in := mfa.Application{Name: "VPN", Kind: mfa.KindRADIUS, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		Secret: secret.FromString("radius secret"), FirstFactor: "corp", Methods: []mfa.MethodID{mfa.MethodTOTP}, Passcode: mfa.PasscodeEither, UnknownPass: true, UnknownUntil: noon.Add(time.Hour),
		DegradedAllow: true, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, MA: mfa.MARequire, Rate: 7, Retries: 2,
		Reply: []mfa.ReplyRule{{Tag: "a", Attribute: "Class", Value: "x"}}, Disabled: true}
	a, err := r.CreateApplication(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	in.ID, in.Created, in.Changed = a.ID, noon, noon
	same(t, "created", a, in)
	for what, get := range map[string]func() (mfa.Application, error){
		"by id":   func() (mfa.Application, error) { return r.Application(a.ID) },
		"by name": func() (mfa.Application, error) { return r.ApplicationByName("vpn") },
	} {
		got, err := get()
		is(t, what, err, nil)
		same(t, what, got, in)
	}
	_, err = r.CreateApplication(ctx, mfa.Application{Name: "vpn"})
	is(t, "the same name", err, mfa.ErrExists)
	_, err = r.CreateApplication(ctx, mfa.Application{ID: a.ID, Name: "other"})
	is(t, "the same id", err, mfa.ErrExists)
	_, err = r.CreateApplication(ctx, mfa.Application{Name: ""})
	is(t, "no name", err, mfa.ErrInvalid)
	_, err = r.CreateApplication(ctx, mfa.Application{ID: "x", Name: "x"})
	is(t, "a bad id", err, mfa.ErrInvalid)
	_, err = r.CreateApplication(ctx, mfa.Application{Name: "mail", FirstFactor: "nowhere"})
	is(t, "a directory that is not", err, mfa.ErrInvalid)
	if _, err := r.CreateApplication(ctx, mfa.Application{Name: "mail", FirstFactor: mfa.FirstFactorNone}); err != nil {
		t.Error(err)
	}
	_, err = r.UpdateApplication(ctx, a.ID, func(a *mfa.Application) error { a.Name = "Mail"; return nil })
	is(t, "rename to a name that is taken", err, mfa.ErrExists)
	_, err = r.UpdateApplication(ctx, a.ID, func(a *mfa.Application) error { a.FirstFactor = "nowhere"; return nil })
	is(t, "change to a directory that is not", err, mfa.ErrInvalid)
	_, err = r.UpdateApplication(ctx, a.ID, func(a *mfa.Application) error {
		a.Name, a.Addresses[0] = "Vpn", netip.MustParsePrefix("127.0.0.0/8")
		return nil
	})
	is(t, "rename in case only", err, nil)
	if got, _ := r.Application(a.ID); got.Name != "Vpn" || got.Addresses[0].String() != "127.0.0.0/8" {
		t.Errorf("renamed: %+v", got)
	}
	_, err = r.UpdateApplication(ctx, a.ID, func(a *mfa.Application) error { a.Name = "gate"; return nil })
	is(t, "rename", err, nil)
	_, err = r.ApplicationByName("VPN")
	is(t, "the old name", err, mfa.ErrNotFound)
	if _, err = r.CreateApplication(ctx, mfa.Application{Name: "VPN"}); err != nil {
		t.Error("the old name is not free:", err)
	}
	if list := r.Applications(); len(list) != 3 || list[0].Name != "gate" || list[2].Name != "VPN" {
		t.Errorf("listed %+v", list)
	}

	var wg sync.WaitGroup
	won := make(chan mfa.ApplicationID, 16)
	for range 16 {
		wg.Go(func() {
			a, err := r.CreateApplication(ctx, mfa.Application{Name: "raced"})
			if err == nil {
				won <- a.ID
			} else {
				is(t, "one of many", err, mfa.ErrExists)
			}
		})
	}
	wg.Wait()
	if got, err := r.ApplicationByName("raced"); len(won) != 1 || err != nil || got.ID != <-won {
		t.Errorf("%d of 16 applications with one name were created (%v)", len(won), err)
	}

	if err := r.RecordNAS(ctx, mfa.NAS{Application: a.ID, Address: netip.MustParseAddr("10.1.1.1"), FirstSeen: noon}); err != nil {
		t.Fatal(err)
	}
	is(t, "remove", r.RemoveApplication(ctx, a.ID), nil)
	is(t, "remove again", r.RemoveApplication(ctx, a.ID), mfa.ErrNotFound)
	_, err = r.Application(a.ID)
	is(t, "what is gone", err, mfa.ErrNotFound)
	_, err = r.UpdateApplication(ctx, a.ID, func(*mfa.Application) error { return nil })
	is(t, "update what is gone", err, mfa.ErrNotFound)
	if len(r.NASes()) != 0 {
		t.Error("its RADIUS clients are left:", r.NASes())
	}
}

func directories(t *testing.T, r *rig) {
	ctx := t.Context()
	in := mfa.Directory{Name: "corp", Kind: "ldap", URLs: []string{"ldaps://dc1", "ldaps://dc2"}, StartTLS: true, CAs: "PEM", BindDN: "cn=reader",
		BindPassword: secret.FromString("bind password"), BaseDN: "dc=corp", UserFilter: "(uid={login})", GroupAttr: "memberOf", UPNSuffix: "corp.example", Timeout: 3 * time.Second}
	d, err := r.CreateDirectory(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	in.Created, in.Changed = noon, noon
	same(t, "created", d, in)
	got, err := r.Directory("corp")
	is(t, "read", err, nil)
	same(t, "read", got, in)
	_, err = r.CreateDirectory(ctx, in)
	is(t, "the same name", err, mfa.ErrExists)
	for _, name := range []string{"", "a/b", "local", "none"} {
		_, err = r.CreateDirectory(ctx, mfa.Directory{Name: name})
		is(t, fmt.Sprintf("name %q", name), err, mfa.ErrInvalid)
	}
	_, err = r.UpdateDirectory(ctx, "corp", func(d *mfa.Directory) error { d.BaseDN, d.Name = "dc=new", "ignored"; return nil })
	is(t, "update", err, nil)
	if list := r.Directories(); len(list) != 1 || list[0].BaseDN != "dc=new" || !list[0].BindPassword.Equal(in.BindPassword) {
		t.Errorf("listed %+v", list)
	}
	_, err = r.UpdateDirectory(ctx, "nowhere", func(*mfa.Directory) error { return nil })
	is(t, "update what is not", err, mfa.ErrNotFound)

	a, err := r.CreateApplication(ctx, mfa.Application{Name: "vpn", FirstFactor: "corp"})
	is(t, "application", err, nil)
	is(t, "remove while an application names it", r.RemoveDirectory(ctx, "corp"), mfa.ErrInvalid)
	is(t, "remove the application", r.RemoveApplication(ctx, a.ID), nil)
	u, err := r.CreateUser(ctx, mfa.User{Login: "alice", Directory: "corp"}, nil) // may be named again
	is(t, "user", err, nil)
	is(t, "remove while a user names it", r.RemoveDirectory(ctx, "corp"), mfa.ErrInvalid)
	_, err = r.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Directory = mfa.FirstFactorLocal; return nil })
	is(t, "user", err, nil)
	is(t, "remove", r.RemoveDirectory(ctx, "corp"), nil)
	is(t, "remove again", r.RemoveDirectory(ctx, "corp"), mfa.ErrNotFound)
	_, err = r.Directory("corp")
	is(t, "what is gone", err, mfa.ErrNotFound)
	_, err = r.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Directory = "corp"; return nil })
	is(t, "name what is gone", err, mfa.ErrInvalid)
}

func directoryRace(t *testing.T, r *rig) {
	ctx := t.Context()
	removed := 0
	for round := range 12 {
		name := fmt.Sprintf("dir%d", round)
		if _, err := r.CreateDirectory(ctx, mfa.Directory{Name: name}); err != nil {
			t.Fatal(err)
		}
		var named, gone error
		var wg sync.WaitGroup
		wg.Go(func() {
			if round%2 == 0 {
				_, named = r.CreateApplication(ctx, mfa.Application{Name: name, FirstFactor: name})
			} else {
				_, named = r.CreateUser(ctx, mfa.User{Login: name, Directory: name}, nil)
			}
		})
		wg.Go(func() { gone = r.RemoveDirectory(ctx, name) })
		wg.Wait()
		_, err := r.Directory(name)
		if there := err == nil; named == nil && !there || gone == nil && there {
			t.Errorf("round %d: naming it: %v; removing it: %v; it is there: %v", round, named, gone, there)
		}
		for _, err := range []error{named, gone} {
			if err != nil && !errors.Is(err, mfa.ErrInvalid) && !errors.Is(err, mfa.ErrConflict) {
				t.Error(err)
			}
		}
		if gone == nil {
			removed++
		}
	}
	t.Logf("removed %d of 12", removed)
}

func tokens(t *testing.T, r *rig) {
	ctx := t.Context()
	in := mfa.APIToken{Name: "ci", Digest: [32]byte{1, 2, 3}, Scopes: []string{"authenticate"}, Application: "bbbbbbbbbbbbbbbb", Expires: noon.Add(time.Hour), By: "root"}
	tok, err := r.CreateAPIToken(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	in.ID, in.Created = tok.ID, noon
	got, err := r.APITokenByDigest(in.Digest)
	is(t, "by digest", err, nil)
	same(t, "by digest", got, in)
	_, err = r.APITokenByDigest([32]byte{})
	is(t, "another digest", err, mfa.ErrNotFound)
	_, err = r.CreateAPIToken(ctx, mfa.APIToken{Name: "CI", Digest: [32]byte{4}})
	is(t, "the same name", err, mfa.ErrExists)
	_, err = r.CreateAPIToken(ctx, mfa.APIToken{ID: "../x", Name: "x"})
	is(t, "a bad id", err, mfa.ErrInvalid)
	same(t, "list", r.APITokens(), []mfa.APIToken{in})
	is(t, "use", r.UseAPIToken(ctx, tok.ID, noon.Add(time.Minute)), nil)
	is(t, "an earlier use, told later", r.UseAPIToken(ctx, tok.ID, noon), nil)
	in.Used = noon.Add(time.Minute)
	same(t, "used", r.APITokens(), []mfa.APIToken{in})
	is(t, "remove", r.RemoveAPIToken(ctx, tok.ID), nil)
	is(t, "remove again", r.RemoveAPIToken(ctx, tok.ID), mfa.ErrNotFound)
	is(t, "use of what is gone", r.UseAPIToken(ctx, tok.ID, noon), mfa.ErrNotFound)
	_, err = r.APITokenByDigest(in.Digest)
	is(t, "what is gone", err, mfa.ErrNotFound)
	_, err = r.CreateAPIToken(ctx, mfa.APIToken{Name: "ci", Digest: [32]byte{5}})
	is(t, "the name again", err, nil)
}

func settings(t *testing.T, r *rig) {
	ctx := t.Context()
	same(t, "a new group's", r.Settings(), policy.Defaults())
	is(t, "change", r.UpdateSettings(ctx, func(s *policy.Settings) error { s.Tries = 7; return nil }), nil)
	is(t, "out of bounds", r.UpdateSettings(ctx, func(s *policy.Settings) error { s.Tries = 0; return nil }), mfa.ErrInvalid)
	is(t, "refused", r.UpdateSettings(ctx, func(*policy.Settings) error { return mfa.ErrReadOnly }), mfa.ErrReadOnly)
	want := policy.Defaults()
	want.Tries = 7
	same(t, "changed", r.Settings(), want)
}

func nases(t *testing.T, r *rig) {
	ctx := t.Context()
	a, err := r.CreateApplication(ctx, mfa.Application{Name: "vpn"})
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr("10.0.0.1")
	at := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	zero := time.Time{}
	for _, step := range []struct {
		name                string
		first, proven, w    time.Time
		wantFirst, wantProv time.Time
		wantWithout         time.Time
	}{
		{"seen", at(0), zero, at(0), at(0), zero, at(0)},
		{"proven", at(2), at(2), zero, at(0), at(2), at(0)},
		{"proven earlier, told later", at(1), at(1), zero, at(0), at(1), at(0)},
		{"a server that knows nothing of it", at(3), zero, at(3), at(0), at(1), at(3)},
		{"old news", at(0), zero, at(1), at(0), at(1), at(3)},
	} {
		err := r.RecordNAS(ctx, mfa.NAS{Application: a.ID, Address: netip.MustParseAddr("::ffff:10.0.0.1"), FirstSeen: step.first, Proven: step.proven, Without: step.w})
		is(t, step.name, err, nil)
		got, ok := r.NAS(a.ID, addr)
		if !ok {
			t.Fatalf("%s: nothing there", step.name)
		}
		same(t, step.name, got, mfa.NAS{Application: a.ID, Address: addr, FirstSeen: step.wantFirst, Proven: step.wantProv, Without: step.wantWithout})
	}
	if _, ok := r.NAS(a.ID, netip.MustParseAddr("10.0.0.2")); ok {
		t.Error("an address that was never seen is known")
	}
	is(t, "of no application", r.RecordNAS(ctx, mfa.NAS{Application: "bbbbbbbbbbbbbbbb", Address: addr}), mfa.ErrNotFound)
	is(t, "without address", r.RecordNAS(ctx, mfa.NAS{Application: a.ID}), mfa.ErrInvalid)
	is(t, "another", r.RecordNAS(ctx, mfa.NAS{Application: a.ID, Address: netip.MustParseAddr("2001:db8::1"), FirstSeen: noon}), nil)
	if list := r.NASes(); len(list) != 2 || list[0].Address != addr {
		t.Errorf("listed %+v", list)
	}
}

func blobs(t *testing.T, r *rig) {
	ctx := t.Context()
	_, _, err := r.GetSealed(ctx, "ca")
	is(t, "none yet", err, mfa.ErrNotFound)
	rev, err := r.PutSealed(ctx, "ca", 0, []byte("CA key"))
	is(t, "put", err, nil)
	_, err = r.PutSealed(ctx, "ca", 0, []byte("another"))
	is(t, "put again as if new", err, mfa.ErrConflict)
	got, at, err := r.GetSealed(ctx, "ca")
	if err != nil || at != rev || string(got.Expose()) != "CA key" {
		t.Errorf("got %q at %d, %v; want it at %d", got.Expose(), at, err, rev)
	}
	next, err := r.PutSealed(ctx, "ca", rev, []byte("new key"))
	if err != nil || next <= rev {
		t.Errorf("replaced at %d after %d, %v", next, rev, err)
	}
	if got, _, _ = r.GetSealed(ctx, "ca"); string(got.Expose()) != "new key" {
		t.Errorf("got %q", got.Expose())
	}
}
