// Package parking knows what becomes of the copy of the database that a server brings back
// from an epoch that ended while it was away. What it has and the group's database never saw is
// merged, applied by itself if it restricts somebody, or listed for an administrator. It is
// pure: the nouns and the comparisons; package store reads and writes.
package parking

import (
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// Kind is what a change is about.
type Kind string

// The kinds. A server is told of only: the others cannot take it over.
const (
	Directory     Kind = "directory"
	Application   Kind = "application"
	User          Kind = "user"
	Credential    Kind = "credential"
	Token         Kind = "api-token"
	Administrator Kind = "administrator"
	Settings      Kind = "policy"
	Server        Kind = "server"
	Gateway       Kind = "gateway"
)

// order is that in which changes can be applied: what others name comes first.
var order = map[Kind]int{Directory: 0, Application: 1, User: 2, Credential: 3, Token: 4, Administrator: 5, Settings: 6, Server: 7, Gateway: 0}

// What became of an object in the epoch that ended.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// Object is one record as it was; at most one field is set, none if there was no such record.
type Object struct {
	User          *mfa.User
	Credential    *mfa.Credential
	Application   *mfa.Application
	Directory     *mfa.Directory
	Token         *mfa.APIToken
	Administrator *mfa.Administrator
	Settings      *policy.Settings
	Server        *mfa.Member
	Gateway       *mfa.Gateway
}

// Change is what an epoch that ended did to one object and the group's database has not
// done. Before is the object at the fork, After at the end of that epoch.
type Change struct {
	ID        string // 16 characters of a-z and 2-7; the same whichever server brings it
	Epoch     uint64 // that ended
	ClusterID string // of that epoch
	Server    string // whose copy brought it
	Kind      Kind
	What      string // Added, Changed, Removed
	Object    string // as keys have it: id of the user, application or token, name of the directory, gateway or server; USER/ID of a credential
	Revision  int64  // of the last write to it; 0: it was removed
	Login     string // of the user of a credential or a role
	Before    Object
	After     Object
	// Of a user who was added, the credentials that came with them; how far the codes of what
	// was added are used up.
	Credentials []mfa.Credential
	Floors      map[mfa.CredentialID]mfa.Floor
	BaseKnown   bool       // false: Before may be missing, since the history did not reach back to the fork
	Acts        []mfa.Act  // what the trail of Server tells of it, oldest first
	Replaced    *mfa.Block // of a user: the block here that the restriction took the place of; nil: there was none
	Found       time.Time
	Standing    Standing // when it was looked at last
}

// Report is what became of one epoch that ended. The numbers are of what this server and
// others have found so far.
type Report struct {
	Epoch      uint64    `json:"epoch"`
	ClusterID  string    `json:"cluster_id"`
	Server     string    `json:"server"`        // whose copy was read last
	Fork       int64     `json:"fork_revision"` // 0: not known; everything was compared
	Last       int64     `json:"last_revision"` // of that copy
	Began      time.Time `json:"began"`
	Finished   time.Time `json:"finished,omitzero"` // zero: at it
	Records    int       `json:"settlements"`       // users whose settlement record was merged
	Twice      int       `json:"used_on_both_sides"`
	Restricted []string  `json:"restricted,omitempty"` // what was applied by itself, at most restrictedMax
	Listed     int       `json:"listed"`               // changes put before an administrator
	Unreadable int       `json:"unreadable,omitempty"` // records that could not be read; the log names them
	Error      string    `json:"error,omitempty"`      // why the copy cannot be read; "": it can
}

const restrictedMax = 1000

// Restrict notes that something was applied by itself.
func (r *Report) Restrict(what string) {
	if len(r.Restricted) < restrictedMax {
		r.Restricted = append(r.Restricted, what)
	}
}

// Before reports whether a is to be applied before b: what is named by others comes before
// them, and goes after them.
func Before(a, b Change) bool {
	if ra, rb := a.What == Removed, b.What == Removed; ra != rb {
		return rb
	} else if oa, ob := order[a.Kind], order[b.Kind]; oa != ob {
		return (oa < ob) != ra
	}
	return a.Revision < b.Revision || a.Revision == b.Revision && a.ID < b.ID
}
