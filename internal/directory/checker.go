package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// MaxPassword is the longest password accepted, in bytes.
const MaxPassword = 1024

// Directories finds a directory by its name, or returns mfa.ErrNotFound. It is asked at
// every check, so that a changed directory is used at once.
type Directories interface {
	Directory(name string) (mfa.Directory, error)
}

// Options sets what New's defaults do not fit. The zero value is good.
type Options struct {
	// Upgrade replaces a local password's hash after a right password, if the old one was
	// imported or made with other parameters. It must do nothing if the credential's
	// secret is not from any more. Run calls it; nil: nothing is upgraded.
	Upgrade func(ctx context.Context, user mfa.UserID, credential mfa.CredentialID, from, to secret.Text) error
	Slots   int              // hashes at a time, 19 MiB each; 0: one per core
	Waiting int              // checks that may wait for a slot; 0: 256
	PerUser int              // of them for one user; 0: 8
	Random  io.Reader        // nil: crypto/rand
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: nothing is logged
}

// Checker checks passwords. It is safe for concurrent use. Run must be running for dead
// directory servers to be used again, idle connections to be closed, and old hashes to
// be replaced.
type Checker struct {
	directories Directories
	o           Options
	gate        *gate
	seed        maphash.Seed
	upgrades    chan upgrade

	mu    sync.Mutex
	pools map[string]*pool // by directory name
}

type upgrade struct {
	user     mfa.UserID
	cred     mfa.CredentialID
	from, to secret.Text
}

// New returns a Checker for local passwords and the directories of d.
func New(d Directories, o Options) *Checker {
	if o.Slots <= 0 {
		o.Slots = runtime.GOMAXPROCS(0)
	}
	if o.Waiting <= 0 {
		o.Waiting = 256
	}
	if o.PerUser <= 0 {
		o.PerUser = 8
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Checker{
		directories: d,
		o:           o,
		gate:        newGate(o.Slots, o.Waiting, o.PerUser),
		seed:        maphash.MakeSeed(),
		upgrades:    make(chan upgrade, 64),
		pools:       make(map[string]*pool),
	}
}

// Check checks password for u in the directory of that name, or in creds if it is
// mfa.FirstFactorLocal. groups are those that the directory told: for each the value as
// told, and if that is a DN, its first CN besides.
//
// The error is nil if the password is right, a mfa.Reason if it is the user's fault, and
// anything else if the check could not be made.
func (c *Checker) Check(ctx context.Context, directory string, u mfa.User, creds []mfa.Credential, password secret.Text) (groups []string, err error) {
	if err := checkLength(password); err != nil {
		return nil, err
	}
	if directory == mfa.FirstFactorLocal {
		return nil, c.checkLocal(ctx, string(u.ID), u, creds, password)
	}
	p, err := c.find(directory)
	if err != nil {
		return nil, err
	}
	return p.check(ctx, u, password)
}

// CheckStranger is Check for somebody who is unknown here and typed login, in normalised
// form. names are all names that the directory has for the one whose password was right,
// at least one: they may be known here under one of those.
func (c *Checker) CheckStranger(ctx context.Context, directory, login string, password secret.Text) (groups, names []string, err error) {
	if err := checkLength(password); err != nil {
		return nil, nil, err
	}
	if directory == mfa.FirstFactorLocal {
		return nil, nil, mfa.UnknownUser
	}
	p, err := c.find(directory)
	if err != nil {
		return nil, nil, err
	}
	return p.checkStranger(ctx, login, password)
}

// Pretend takes about as long as Check does for a wrong password, so that the time does
// not tell whose names are known. The password is compared with nothing and sent nowhere.
func (c *Checker) Pretend(ctx context.Context, directory, login string, password secret.Text) {
	if checkLength(password) != nil {
		return
	}
	if directory == mfa.FirstFactorLocal {
		_ = c.checkLocal(ctx, c.strangersTurn(login), mfa.User{}, nil, password)
		return
	}
	if p, err := c.find(directory); err == nil {
		p.pretend(ctx, login, password)
	}
}

// find returns the pool of the directory with that name.
func (c *Checker) find(directory string) (*pool, error) {
	if directory == "" || directory == mfa.FirstFactorNone {
		return nil, fmt.Errorf("first factor %q names no directory (check the application's first_factor)", directory)
	}
	d, err := c.directories.Directory(directory)
	if errors.Is(err, mfa.ErrNotFound) {
		c.drop(directory)
		return nil, fmt.Errorf("directory %q: %w (check the user's directory and the application's first_factor)", directory, err)
	}
	if err != nil {
		return nil, fmt.Errorf("directory %q: reading its settings: %w", directory, err)
	}
	return c.pool(d)
}

// Hash returns the hash of a new local password, as HashPassword does, but waits for its
// turn among the checks.
func (c *Checker) Hash(ctx context.Context, password secret.Text) (secret.Text, error) {
	if err := checkLength(password); err != nil {
		return secret.Text{}, err
	}
	release, err := c.gate.acquire(ctx, "hash")
	if err != nil {
		return secret.Text{}, err
	}
	defer release()
	return HashPassword(c.o.Random, password)
}

// Run keeps house until ctx is done: it replaces old hashes, closes idle connections,
// and tries directory servers that did not answer. It closes every connection before it
// returns.
func (c *Checker) Run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer c.closeAll()
	defer probes.Wait()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-c.upgrades:
			c.replace(ctx, u)
		case <-tick.C:
			c.sweep(ctx, &probes)
		}
	}
}

func (c *Checker) replace(ctx context.Context, u upgrade) {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.o.Upgrade(within, u.user, u.cred, u.from, u.to); err != nil && ctx.Err() == nil {
		c.o.Log.Warn("password hash not replaced; the next sign-in tries again", "user", u.user, "credential", u.cred, "error", err)
	}
}

// CheckHash is ValidateHash.
func (c *Checker) CheckHash(hash secret.Text) error { return ValidateHash(hash) }

// Waiting returns how many password checks wait for a slot now.
func (c *Checker) Waiting() int {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	return c.gate.waiting
}
