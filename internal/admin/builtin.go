package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"countersign/internal/mfa"
)

// The pages of this product are applications of its own: what is changed there decides who may
// change everything else. They keep their names and their two factors whoever asks, and what
// leads to them is changed by owners: who could weaken it would be one.

// pages are the applications of the pages that people sign in to.
var pages = []string{ConsoleApplication, PortalApplication}

// builtInBy is who makes applications of this product's own.
const builtInBy = "built in"

// isBuiltIn reports whether a is an application of this product's own. Another one that took
// such a name before it was refused is none: it can be renamed or removed.
func isBuiltIn(a mfa.Application) bool {
	return a.Kind == mfa.KindWeb && reserved(a.Name)
}

// reserved reports whether a name is that of an application of this product's own.
func reserved(name string) bool {
	return name == InvitationApplication || slices.Contains(pages, name)
}

// keepsBuiltIn refuses to make of before what it must not become.
func keepsBuiltIn(before, after mfa.Application) error {
	switch {
	case !isBuiltIn(before) && before.Name != after.Name && reserved(after.Name):
		return invalid("the name %q is this product's own; choose another one", after.Name)
	case !isBuiltIn(before):
		return nil
	case before.Name != after.Name:
		return invalid("application %q is this product's own and keeps its name", before.Name)
	case after.Name == InvitationApplication && (after.FirstFactor != before.FirstFactor || !slices.Equal(after.Methods, before.Methods)):
		return invalid("application %q lets people in by an invitation alone: its first factor and methods stay as they are", after.Name)
	case slices.Contains(pages, after.Name) && after.FirstFactor == mfa.FirstFactorNone:
		return invalid("application %q always checks a password: first_factor is local or a directory", after.Name)
	}
	return nil
}

// staysBuiltIn refuses to remove an application of this product's own.
func staysBuiltIn(a mfa.Application) error {
	switch {
	case !isBuiltIn(a):
		return nil
	case a.Name == ConsoleApplication: // switching it off would shut everybody out
		return invalid("application %q is this product's own and stays", a.Name)
	}
	return invalid("application %q is this product's own and stays; it can be disabled (`countersign application set %[1]s --disabled`)", a.Name)
}

// mayOnApplication refuses a caller who may not change the application of that name: those of
// the pages are an owner's. In the portal owners enrol what they sign in to the console with.
func (d Desk) mayOnApplication(name string) error {
	if err := d.may(mfa.MayChangeSettings); err != nil {
		return err
	}
	a, err := d.s.Applications.ApplicationByName(name)
	switch {
	case errors.Is(err, mfa.ErrNotFound) && slices.Contains(pages, name): // it is made by being changed
		return d.may(mfa.MayOwn)
	case errors.Is(err, mfa.ErrNotFound): // said by what comes next
	case err != nil:
		return err
	case isBuiltIn(a) && slices.Contains(pages, a.Name):
		return d.may(mfa.MayOwn)
	}
	return nil
}

// mayOnDirectory refuses a caller who may not change the directory of that name: one that checks
// passwords of the pages is an owner's.
func (d Desk) mayOnDirectory(ctx context.Context, name string) error {
	if err := d.may(mfa.MayChangeSettings); err != nil {
		return err
	}
	for _, page := range pages {
		a, err := d.s.Applications.ApplicationByName(page)
		if errors.Is(err, mfa.ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		if checks, err := d.s.checksOwners(ctx, a, name); err != nil {
			return err
		} else if checks {
			return d.may(mfa.MayOwn)
		}
	}
	return nil
}

// checksOwners reports whether the directory of that name checks the passwords of owners at an
// application.
func (s *Service) checksOwners(ctx context.Context, app mfa.Application, name string) (bool, error) {
	if app.FirstFactor == mfa.FirstFactorLocal || app.FirstFactor == name {
		return app.FirstFactor == name, nil
	}
	for _, a := range s.Administrators.Administrators() {
		if a.Role != mfa.RoleOwner {
			continue
		}
		switch acc, err := s.Users.Account(ctx, a.User, false); {
		case errors.Is(err, mfa.ErrNotFound):
		case err != nil:
			return false, err
		case acc.User.Directory == name:
			return true, nil
		}
	}
	return false, nil
}

// ErrOneFactor says that an application of the pages checks no password any more, and lets nobody
// in until it does.
var ErrOneFactor = errors.New("checks no password, so nobody is let in by it")

// Page returns the application that people sign in to pages of this product as.
func (s *Service) Page(ctx context.Context, name string) (mfa.Application, error) {
	app, err := s.BuiltIn(ctx, name)
	if err == nil && slices.Contains(pages, name) && app.FirstFactor == mfa.FirstFactorNone {
		err = fmt.Errorf("application %q %w (`countersign application set %[1]s --first-factor local`)", name, ErrOneFactor)
	}
	return app, err
}
