package web

import (
	"crypto/rand"
	"net/url"
	"sync"
	"time"

	"countersign/internal/mfa"
)

// The limits of a drawer.
const (
	KeptFor      = 10 * time.Minute
	keptSize     = 16 << 20 // bytes of one thing
	keptAll      = 64 << 20 // of all
	keptOfPerson = 16       // things
)

// Kept is something that somebody has sent, and that is not done yet: a form that waits for a
// proof or for a master, a file that was looked at.
type Kept struct {
	URL  *url.URL // where the form goes
	Form url.Values
	File []byte
}

func (k Kept) size() (n int) {
	n = len(k.File) + 256
	for name, values := range k.Form {
		n += len(name)
		for _, v := range values {
			n += len(v)
		}
	}
	return n
}

// Drawer keeps such things for a while, in memory: they hold passwords. Each is its owner's
// alone, and taken out once. The zero Drawer is empty.
type Drawer struct {
	mu   sync.Mutex
	all  map[string]drawn
	size int
}

type drawn struct {
	Kept
	owner mfa.UserID
	since time.Time
}

// Put keeps k and returns what names it; "" if it is too large.
func (d *Drawer) Put(owner mfa.UserID, k Kept, now time.Time) string {
	n := k.size()
	if n > keptSize {
		return ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, one := range d.all {
		if now.Sub(one.since) >= KeptFor {
			d.drop(name)
		}
	}
	for d.oldest(owner, keptOfPerson) || d.size+n > keptAll && d.oldest("", 1) {
		continue
	}
	if d.all == nil {
		d.all = map[string]drawn{}
	}
	name := rand.Text()
	d.all[name] = drawn{k, owner, now}
	d.size += n
	return name
}

// Take returns what Put was given, once and to its owner.
func (d *Drawer) Take(owner mfa.UserID, name string, now time.Time) (Kept, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one, ok := d.all[name]
	if !ok || one.owner != owner || now.Sub(one.since) >= KeptFor {
		return Kept{}, false
	}
	d.drop(name)
	return one.Kept, true
}

// drop forgets one thing; d.mu is held.
func (d *Drawer) drop(name string) {
	d.size -= d.all[name].size()
	delete(d.all, name)
}

// oldest drops the oldest thing of an owner ("": of all) who has so many, and reports whether
// it did; d.mu is held.
func (d *Drawer) oldest(owner mfa.UserID, many int) bool {
	first, n := "", 0
	for name, one := range d.all {
		if owner != "" && one.owner != owner {
			continue
		}
		if n++; first == "" || one.since.Before(d.all[first].since) {
			first = name
		}
	}
	if n < many {
		return false
	}
	d.drop(first)
	return true
}
