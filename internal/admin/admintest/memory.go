// Package admintest holds fakes of what packages admin and enroll need, for their tests
// and for those of the admin API and the command line.
package admintest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/admin"
	"countersign/internal/keyring"
	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
)

// Memory is a database in memory. Fail, if set, is what every write returns. Late are users
// that another server has made, which show here after Sync. Faster, if set, is run once, just
// before the next write on a user.
type Memory struct {
	Fail   error
	Late   []mfa.User
	Faster func()

	changing       sync.Mutex // one change at a time; held while its function runs, which may read
	mu             sync.Mutex
	users          map[mfa.UserID]settlement.Account
	apps           map[mfa.ApplicationID]mfa.Application
	dirs           map[string]mfa.Directory
	gateways       map[string]mfa.Gateway
	recordings     map[string]mfa.Recording
	tokens         map[string]mfa.APIToken
	administrators map[mfa.UserID]mfa.Administrator
	settings       policy.Settings
	keys           []keyring.Info
	nases          []mfa.NAS
}

// New returns an empty database with one key and the default settings.
func New() *Memory {
	return &Memory{users: map[mfa.UserID]settlement.Account{}, apps: map[mfa.ApplicationID]mfa.Application{},
		dirs: map[string]mfa.Directory{}, gateways: map[string]mfa.Gateway{}, recordings: map[string]mfa.Recording{}, tokens: map[string]mfa.APIToken{}, administrators: map[mfa.UserID]mfa.Administrator{}, settings: policy.Defaults(),
		keys: []keyring.Info{{ID: 1, Primary: true}}}
}

// forms are those under which u is found.
func forms(u mfa.User) []string {
	out := []string{u.Login}
	for _, a := range u.Aliases {
		if n, err := login.Parse(a); err == nil {
			out = append(out, n.String())
		}
	}
	return out
}

// UserByForm implements admin.Users.
func (m *Memory) UserByForm(_ context.Context, form string) (mfa.UserID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id := m.byForm(form); id != "" {
		return id, nil
	}
	return "", mfa.ErrNotFound
}

func (m *Memory) byForm(form string) mfa.UserID {
	for id, a := range m.users {
		if slices.Contains(forms(a.User), form) {
			return id
		}
	}
	return ""
}

// Account implements admin.Users.
func (m *Memory) Account(_ context.Context, id mfa.UserID, _ bool) (settlement.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.users[id]
	if !ok {
		return a, fmt.Errorf("user %q: %w", id, mfa.ErrNotFound)
	}
	a.Credentials = slices.Clone(a.Credentials)
	a.Record = a.Record.Clone()
	return a, nil
}

// ListUsers implements admin.Users.
func (m *Memory) ListUsers(_ context.Context, after mfa.UserID, yield func(mfa.User) bool) error {
	m.mu.Lock()
	var all []mfa.User
	for _, id := range slices.Sorted(maps.Keys(m.users)) {
		if id > after {
			all = append(all, m.users[id].User)
		}
	}
	m.mu.Unlock()
	for _, u := range all {
		if !yield(u) {
			break
		}
	}
	return nil
}

// FindUsers implements admin.Users, but for the order.
func (m *Memory) FindUsers(ctx context.Context, text string, user func(mfa.User) bool, account func(settlement.Account) bool, after mfa.UserID, yield func(mfa.User) bool) error {
	text = strings.ToLower(text)
	return m.ListUsers(ctx, after, func(u mfa.User) bool {
		all := strings.ToLower(strings.Join(append([]string{u.Login, u.Name, u.Email}, u.Aliases...), "\n"))
		if user != nil && !user(u) {
			return true
		}
		if a, err := m.Account(ctx, u.ID, false); account != nil && (err != nil || !account(a)) {
			return true
		}
		return !strings.Contains(all, text) || yield(u)
	})
}

// Outlines implements admin.Users.
func (m *Memory) Outlines(ctx context.Context, yield func(settlement.Account) bool) error {
	return m.ListUsers(ctx, "", func(u mfa.User) bool {
		a, err := m.Account(ctx, u.ID, false)
		return err != nil || yield(a)
	})
}

// Restricted implements admin.Users.
func (m *Memory) Restricted(ctx context.Context, now time.Time, yield func(settlement.Account) bool) error {
	return m.Outlines(ctx, func(a settlement.Account) bool {
		return !a.User.BlockedAt(now) && !a.Record.Fails.LockedAt(now) && !a.Record.First.LockedAt(now) || yield(a)
	})
}

// Kinds implements admin.Users: each user is of a kind of their own.
func (m *Memory) Kinds(ctx context.Context, yield func(like settlement.Account, n int) bool) error {
	return m.Outlines(ctx, func(a settlement.Account) bool { return yield(a, 1) })
}

// CountUsers implements admin.Users.
func (m *Memory) CountUsers() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.users)
}

// Sync implements admin.Users.
func (m *Memory) Sync(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Fail != nil {
		return m.Fail
	}
	for _, u := range m.Late {
		if err := m.create(u, nil); err != nil {
			return err
		}
	}
	m.Late = nil
	return nil
}

// CreateUser implements admin.Users.
func (m *Memory) CreateUser(_ context.Context, u mfa.User, creds []mfa.Credential) (mfa.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Fail != nil {
		return u, m.Fail
	}
	return u, m.create(u, creds)
}

func (m *Memory) create(u mfa.User, creds []mfa.Credential) error {
	for _, f := range forms(u) {
		if m.byForm(f) != "" {
			return fmt.Errorf("%q: %w", f, mfa.ErrExists)
		}
	}
	m.users[u.ID] = settlement.Account{User: u, Credentials: creds}
	return nil
}

// CreateUsers implements admin.Users.
func (m *Memory) CreateUsers(_ context.Context, users []admin.NewUser) ([]error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Fail != nil {
		return nil, m.Fail
	}
	errs := make([]error, len(users))
	for i, u := range users {
		errs[i] = m.create(u.User, u.Credentials)
	}
	return errs, nil
}

// UpdateUser implements admin.Users.
func (m *Memory) UpdateUser(_ context.Context, id mfa.UserID, change func(*mfa.User) error) (mfa.User, error) {
	m.before()
	var out mfa.User
	err := m.update(id, func(a *settlement.Account) error {
		u := a.User
		if err := change(&u); err != nil {
			return err
		}
		for _, f := range forms(u) {
			if other, err := m.UserByForm(context.Background(), f); err == nil && other != id {
				return fmt.Errorf("%q: %w", f, mfa.ErrExists)
			}
		}
		if u.State == mfa.StateDenied && a.User.State != mfa.StateDenied || u.Block != nil && (a.User.Block == nil || *a.User.Block != *u.Block) {
			void(a, time.Time{})
		}
		a.User, out = u, u
		return nil
	})
	return out, err
}

// VoidEnrolments implements admin.Users.
func (m *Memory) VoidEnrolments(_ context.Context, id mfa.UserID, before time.Time) error {
	return m.update(id, func(a *settlement.Account) error {
		void(a, before)
		return nil
	})
}

func void(a *settlement.Account, before time.Time) {
	a.Credentials = slices.DeleteFunc(a.Credentials, func(c mfa.Credential) bool {
		return c.UnderWay() && (before.IsZero() || c.Created.Before(before))
	})
}

func (m *Memory) update(id mfa.UserID, change func(*settlement.Account) error) error {
	_, err := edit(m, m.users, id, func(a *settlement.Account) error {
		a.Credentials = slices.Clone(a.Credentials)
		return change(a)
	})
	return err
}

// RemoveUserIf implements admin.Users.
func (m *Memory) RemoveUserIf(_ context.Context, id mfa.UserID, holds func(mfa.User) error) error {
	m.before()
	if err := m.update(id, func(a *settlement.Account) error { return holds(a.User) }); err != nil {
		return err
	}
	return remove(m, m.users, id)
}

// UpdateRecord implements enroll.Store.
func (m *Memory) UpdateRecord(ctx context.Context, id mfa.UserID, change func(*settlement.Record) error) error {
	return m.UpdateRecordIf(ctx, id, func(mfa.User) error { return nil }, change)
}

// UpdateRecordIf implements admin.Users.
func (m *Memory) UpdateRecordIf(_ context.Context, id mfa.UserID, holds func(mfa.User) error, change func(*settlement.Record) error) error {
	m.before()
	return m.update(id, func(a *settlement.Account) error {
		if err := holds(a.User); err != nil {
			return err
		}
		a.Record = a.Record.Clone()
		return change(&a.Record)
	})
}

// before lets somebody else be faster, once.
func (m *Memory) before() {
	if first := m.Faster; first != nil {
		m.Faster = nil
		first()
	}
}

// AddCredential implements admin.Credentials.
func (m *Memory) AddCredential(_ context.Context, c mfa.Credential) error {
	return m.update(c.User, func(a *settlement.Account) error {
		a.Credentials = append(a.Credentials, c)
		return nil
	})
}

// UpdateCredential implements admin.Credentials.
func (m *Memory) UpdateCredential(_ context.Context, user mfa.UserID, id mfa.CredentialID, change func(*mfa.Credential) error) (out mfa.Credential, err error) {
	err = m.update(user, func(a *settlement.Account) error {
		i := slices.IndexFunc(a.Credentials, func(c mfa.Credential) bool { return c.ID == id })
		if i < 0 {
			return mfa.ErrNotFound
		}
		err := change(&a.Credentials[i])
		out = a.Credentials[i]
		return err
	})
	return out, err
}

// AwaitingPasses implements enroll.Store.
func (m *Memory) AwaitingPasses(context.Context) (all []mfa.Credential, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.users {
		for _, c := range a.Credentials {
			if c.Awaits {
				all = append(all, c)
			}
		}
	}
	return all, m.Fail
}

// RemoveCredential implements admin.Credentials.
func (m *Memory) RemoveCredential(ctx context.Context, user mfa.UserID, id mfa.CredentialID) error {
	return m.RemoveCredentialIf(ctx, user, id, func([]mfa.Credential) error { return nil })
}

// RemoveCredentialIf implements enroll.Store.
func (m *Memory) RemoveCredentialIf(_ context.Context, user mfa.UserID, id mfa.CredentialID, may func([]mfa.Credential) error) error {
	return m.update(user, func(a *settlement.Account) error {
		if err := may(slices.Clone(a.Credentials)); err != nil {
			return err
		}
		n := len(a.Credentials)
		a.Credentials = slices.DeleteFunc(a.Credentials, func(c mfa.Credential) bool { return c.ID == id })
		if len(a.Credentials) == n {
			return mfa.ErrNotFound
		}
		return nil
	})
}

// Applications implements admin.Applications.
func (m *Memory) Applications() []mfa.Application { return values(m, m.apps) }

// ApplicationByName implements admin.Applications.
func (m *Memory) ApplicationByName(name string) (mfa.Application, error) {
	for _, a := range m.Applications() {
		if strings.EqualFold(a.Name, name) {
			return a, nil
		}
	}
	return mfa.Application{}, fmt.Errorf("application %q: %w", name, mfa.ErrNotFound)
}

// CreateApplication implements admin.Applications.
func (m *Memory) CreateApplication(_ context.Context, a mfa.Application) (mfa.Application, error) {
	if _, err := m.ApplicationByName(a.Name); err == nil {
		return a, mfa.ErrExists
	}
	return a, put(m, m.apps, a.ID, a)
}

// UpdateApplication implements admin.Applications.
func (m *Memory) UpdateApplication(_ context.Context, id mfa.ApplicationID, change func(*mfa.Application) error) (mfa.Application, error) {
	return edit(m, m.apps, id, change)
}

// RemoveApplication implements admin.Applications.
func (m *Memory) RemoveApplication(_ context.Context, id mfa.ApplicationID) error {
	return remove(m, m.apps, id)
}

// Directories implements admin.Directories.
func (m *Memory) Directories() []mfa.Directory { return values(m, m.dirs) }

// Directory implements admin.Directories.
func (m *Memory) Directory(name string) (mfa.Directory, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.dirs[name]
	if !ok {
		return d, fmt.Errorf("directory %q: %w", name, mfa.ErrNotFound)
	}
	return d, nil
}

// CreateDirectory implements admin.Directories.
func (m *Memory) CreateDirectory(_ context.Context, d mfa.Directory) (mfa.Directory, error) {
	if _, err := m.Directory(d.Name); err == nil {
		return d, mfa.ErrExists
	}
	return d, put(m, m.dirs, d.Name, d)
}

// UpdateDirectory implements admin.Directories.
func (m *Memory) UpdateDirectory(_ context.Context, name string, change func(*mfa.Directory) error) (mfa.Directory, error) {
	return edit(m, m.dirs, name, change)
}

// RemoveDirectory implements admin.Directories.
func (m *Memory) RemoveDirectory(_ context.Context, name string) error {
	for _, a := range m.Applications() {
		if a.FirstFactor == name {
			return fmt.Errorf("%w: application %s names it", mfa.ErrInvalid, a.Name)
		}
	}
	return remove(m, m.dirs, name)
}

// APITokens implements admin.APITokens.
func (m *Memory) APITokens() []mfa.APIToken { return values(m, m.tokens) }

// APITokenByDigest implements admin.APITokens.
func (m *Memory) APITokenByDigest(digest [32]byte) (mfa.APIToken, error) {
	for _, t := range m.APITokens() {
		if t.Digest == digest {
			return t, nil
		}
	}
	return mfa.APIToken{}, mfa.ErrNotFound
}

// CreateAPIToken implements admin.APITokens.
func (m *Memory) CreateAPIToken(_ context.Context, t mfa.APIToken) (mfa.APIToken, error) {
	return t, put(m, m.tokens, t.ID, t)
}

// UseAPIToken implements admin.APITokens.
func (m *Memory) UseAPIToken(_ context.Context, id string, at time.Time) error {
	_, err := edit(m, m.tokens, id, func(t *mfa.APIToken) error {
		t.Used = at
		return nil
	})
	return err
}

// RemoveAPIToken implements admin.APITokens.
func (m *Memory) RemoveAPIToken(_ context.Context, id string) error { return remove(m, m.tokens, id) }

// Administrators implements admin.Administrators.
func (m *Memory) Administrators() []mfa.Administrator { return values(m, m.administrators) }

// Administrator implements admin.Administrators.
func (m *Memory) Administrator(id mfa.UserID) (mfa.Administrator, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.administrators[id]
	if !ok {
		return a, fmt.Errorf("administrator: %w", mfa.ErrNotFound)
	}
	return a, nil
}

// CreateAdministrator implements admin.Administrators.
func (m *Memory) CreateAdministrator(_ context.Context, a mfa.Administrator) (mfa.Administrator, error) {
	if _, err := m.Administrator(a.User); err == nil {
		return a, mfa.ErrExists
	}
	return a, put(m, m.administrators, a.User, a)
}

// UpdateAdministrator implements admin.Administrators.
func (m *Memory) UpdateAdministrator(_ context.Context, id mfa.UserID, change func(*mfa.Administrator) error) (mfa.Administrator, error) {
	return edit(m, m.administrators, id, change)
}

// RemoveAdministrator implements admin.Administrators.
func (m *Memory) RemoveAdministrator(_ context.Context, id mfa.UserID, _ bool) error {
	return remove(m, m.administrators, id)
}

// Settings implements admin.Settings.
func (m *Memory) Settings() policy.Settings {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settings
}

// UpdateSettings implements admin.Settings.
func (m *Memory) UpdateSettings(_ context.Context, change func(*policy.Settings) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.settings
	if err := change(&s); err != nil {
		return err
	}
	m.settings = s
	return m.Fail
}

// Keys implements admin.Keys.
func (m *Memory) Keys() []keyring.Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.keys)
}

// RotateKeys implements admin.Keys.
func (m *Memory) RotateKeys(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.keys {
		m.keys[i].Primary = false
	}
	m.keys = append(m.keys, keyring.Info{ID: keyring.KeyID(len(m.keys) + 1), Primary: true})
	return m.Fail
}

// Reseal implements admin.Keys. It has nothing to do, and says so.
func (m *Memory) Reseal(_ context.Context, progress func(done, total int)) error {
	n := m.CountUsers()
	progress(n, n)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Fail
}

// SetNASes sets what NASes returns.
func (m *Memory) SetNASes(n ...mfa.NAS) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nases = n
}

// NASes implements admin.Radius.
func (m *Memory) NASes() []mfa.NAS {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nases
}

func values[K comparable, V any](m *Memory, in map[K]V) []V {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(in))
}

func put[K comparable, V any](m *Memory, in map[K]V, key K, v V) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Fail == nil {
		in[key] = v
	}
	return m.Fail
}

func edit[K comparable, V any](m *Memory, in map[K]V, key K, change func(*V) error) (V, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.mu.Lock()
	v, ok := in[key]
	m.mu.Unlock()
	if !ok {
		return v, mfa.ErrNotFound
	}
	if err := change(&v); err != nil {
		return v, err
	}
	return v, put(m, in, key, v)
}

func remove[K comparable, V any](m *Memory, in map[K]V, key K) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := in[key]; !ok {
		return mfa.ErrNotFound
	}
	if m.Fail == nil {
		delete(in, key)
	}
	return m.Fail
}
