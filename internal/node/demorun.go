package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
)

const demoBy = "demo"

// RunDemo is Run for a demo: in an empty folder it founds a group first, and at each start
// it makes sure that user, credential and application are there and tells what to try.
// A folder that is not a demo's is refused. program is how the operator calls us.
func RunDemo(ctx context.Context, o Options, program string) error {
	dir := o.Config.DataDir
	_, err := os.Stat(filepath.Join(dir, "epoch.json"))
	founded := err == nil
	if _, err := os.Stat(filepath.Join(dir, demoName)); founded && err != nil {
		return fmt.Errorf("%s holds a group's data that is no demo's, and was left as it is: a demo needs an empty folder, or its own (--data DIR)", dir)
	}
	if !founded {
		s := &server{Options: o, small: true}
		s.Config.Log.Level = 4 // warnings: a person is looking
		if err := s.openLog(); err != nil {
			return err
		}
		err := s.init(ctx, demoGroup)
		if err = errors.Join(err, s.log.Close()); err != nil {
			return err
		}
		d, err := newDemo()
		if err == nil {
			err = d.write(dir)
		}
		if err != nil {
			return err
		}
	}
	d, err := ReadDemo(dir)
	if err != nil {
		return err
	}
	s := &server{Options: o, small: true}
	ready := o.Ready
	s.Ready = func(a Addresses) {
		d.RADIUS = a.RADIUS
		if err := d.write(dir); err != nil {
			s.own.Error("what to try could not be written down", "error", err)
		}
		d.tell(o.Stdout, program, dir)
		if ready != nil {
			ready(a)
		}
	}
	return s.run(ctx, func(ctx context.Context) error { return s.ensureDemo(ctx, d) })
}

// newDemo makes up what a demo is tried with.
func newDemo() (Demo, error) {
	seed, err := oath.NewSecret(nil, oath.SHA1)
	if err != nil {
		return Demo{}, err
	}
	key, err := oath.NewTOTP(seed, oath.DefaultAlgorithm, oath.DefaultDigits, oath.DefaultPeriod)
	if err != nil {
		return Demo{}, err
	}
	uri, err := oath.KeyURI{Issuer: "Countersign demo", Account: "demo", Key: key}.Encode()
	if err != nil {
		return Demo{}, err
	}
	return Demo{User: "demo", Password: "demo-" + mfa.NewID(nil)[:8], TOTPSecret: string(oath.FormatSecret(seed).Expose()), OTPAuthURL: string(uri.Expose()),
		Application: "demo", Secret: "radius-" + mfa.NewID(nil)}, nil
}

// ensureDemo makes what is missing of the demo.
func (s *server) ensureDemo(ctx context.Context, d Demo) error {
	if _, err := s.admin.User(ctx, d.User); errors.Is(err, mfa.ErrNotFound) {
		name := "Demo User"
		password := secret.Wire{Text: secret.FromString(d.Password)}
		if _, err := s.admin.AddUser(ctx, demoBy, admin.UserChange{Login: &d.User, Name: &name, Password: &password}); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	creds, err := s.enroll.List(ctx, d.User)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if len(creds.Credentials) == 0 {
		seed := secret.Wire{Text: secret.FromString(d.TOTPSecret)}
		if _, err := s.enroll.Add(ctx, demoBy, d.User, enroll.Request{Method: mfa.MethodTOTP, Label: "demo", Secret: &seed}); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	if _, err := s.admin.Application(ctx, d.Application); errors.Is(err, mfa.ErrNotFound) {
		kind, passcode, addresses := mfa.KindRADIUS, string(mfa.PasscodeEither), []string{"127.0.0.1", "::1"}
		shared := secret.Wire{Text: secret.FromString(d.Secret)}
		_, err := s.admin.AddApplication(ctx, demoBy, admin.ApplicationChange{Name: &d.Application, Kind: &kind, Addresses: &addresses,
			Secret: &shared, Passcode: &passcode})
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
