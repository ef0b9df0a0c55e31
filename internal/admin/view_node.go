package admin

import (
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Rule is one step of a decision: what was asked, what was found, where that is set.
type Rule struct {
	Rule   string `json:"rule"`
	Result string `json:"result"`
	From   string `json:"from"`
}

// Explanation tells which rules decide for a user at an application.
type Explanation struct {
	Login       string     `json:"login"`
	User        mfa.UserID `json:"user"`
	Application string     `json:"application"`
	At          time.Time  `json:"at" doc:"the time that is looked at"`
	Source      string     `json:"source,omitempty"`
	Country     string     `json:"country,omitempty" doc:"of the source, if that is known"`
	Groups      []string   `json:"groups,omitempty" doc:"directory groups that are supposed"`
	Outcome     string     `json:"outcome" enum:"refuse,pass,ask" doc:"pass: on the first factor; ask: for a second one"`
	Reason      string     `json:"reason,omitempty" doc:"refuse, pass: why"`
	Methods     []string   `json:"methods" doc:"ask: what is asked for, in this order"`
	Rules       []Rule     `json:"rules" doc:"what says so, line by line"`
}

// KeyInfo is one key of the group keyset; never the key.
type KeyInfo struct {
	ID      string    `json:"id"`
	Primary bool      `json:"primary" doc:"seals what is written from now on"`
	Created time.Time `json:"created"`
}

// KeyList is the keyset and how far resealing has come.
type KeyList struct {
	Keys   []KeyInfo `json:"keys"`
	Reseal Reseal    `json:"reseal"`
}

// Reseal is the progress of rewriting what older keys seal.
type Reseal struct {
	Running bool   `json:"running"`
	Done    int    `json:"done"`
	Total   int    `json:"total"`
	Error   string `json:"error,omitempty" doc:"why the last run stopped; it goes on by itself"`
}

// AuditQuery selects records of the trail, newest first.
type AuditQuery struct {
	User        mfa.UserID
	Login       string // as it was typed, in any case, also of nobody
	Application string // its name
	Server      string // whose trail alone is looked at
	Since       time.Time
	Until       time.Time // before
	Reason      string
	Verdict     string
	Method      string
	After       string // cursor
	Limit       int    // 1 to MaxPage
	Here        bool   // of this server's own trail only
}

// AuditPage is one page of what the trails of a group's servers hold, merged by time.
type AuditPage[T any] struct {
	Records []T
	Next    string         // cursor of the next page; "" after the last
	Silent  []SilentServer // whose trails are not in it
}

// SilentServer is a server whose trail could not be asked.
type SilentServer struct {
	Server string `json:"server"`
	Error  string `json:"error"`
}

// Attempt is one attempt as the API shows it.
type Attempt struct {
	AttemptID    mfa.AttemptID `json:"attempt_id"`
	Time         time.Time     `json:"time"`
	Server       string        `json:"server"`
	Application  string        `json:"application"`
	FrontEnd     string        `json:"front_end"`
	User         mfa.UserID    `json:"user"`
	Login        string        `json:"login"`
	Source       string        `json:"source"`
	Peer         string        `json:"peer"`
	Verdict      string        `json:"verdict"`
	Reason       string        `json:"reason"`
	Method       string        `json:"method"`
	Credential   string        `json:"credential"`
	Degraded     bool          `json:"degraded"`
	Unreplicated bool          `json:"unreplicated" doc:"settled on the master of a pair, whose replica did not have it in time"`
	DurationMS   float64       `json:"duration_ms"`
	Trace        []string      `json:"trace,omitempty"`
}

// AttemptList is one page of attempts, newest first.
type AttemptList struct {
	Attempts []Attempt      `json:"attempts"`
	Next     string         `json:"next,omitempty"`
	Silent   []SilentServer `json:"silent_servers,omitempty" doc:"servers that did not answer: what they recorded is missing here"`
}

// ActList is one page of administrative acts, newest first.
type ActList struct {
	Acts   []mfa.Act      `json:"acts"`
	Next   string         `json:"next,omitempty"`
	Silent []SilentServer `json:"silent_servers,omitempty" doc:"servers that did not answer: what they recorded is missing here"`
}

// AuditVerification says whether the trail's chain holds.
type AuditVerification struct {
	OK      bool      `json:"ok"`
	Records int64     `json:"records"`
	Files   int       `json:"files"`
	First   time.Time `json:"first,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Head    string    `json:"head" doc:"hexadecimal hash of the last record"`
	Problem string    `json:"problem,omitempty" doc:"the first place where the chain breaks, and how"`
}

// Status is the state of the server and of its group.
type Status struct {
	Name         string             `json:"name"`
	Group        string             `json:"group"`
	Role         string             `json:"role" doc:"master, replica, witness, joining, removed; coordinator on an independent one"`
	Epoch        uint64             `json:"epoch"`
	Master       string             `json:"master" doc:"empty: none is known"`
	MasterSince  *time.Time         `json:"master_since,omitempty" doc:"when this server learnt that it is, since it was started"`
	Degraded     bool               `json:"degraded"`
	Since        time.Time          `json:"since" doc:"when it became degraded, or stopped being so"`
	Started      time.Time          `json:"started"`
	Revision     int64              `json:"revision"`
	Lag          int64              `json:"lag" doc:"revisions by which its copy was behind the master's a second ago"`
	Unreplicated uint64             `json:"unreplicated" doc:"verdicts since the start that the replica of a pair did not have in time"`
	Unmerged     int                `json:"unmerged" doc:"what it settled without a master and has not merged yet"`
	Coordinator  *CoordinatorAnswer `json:"coordinator,omitempty" doc:"the coordinator's last signed answer to who the master is"`
	Alarms       []Alarm            `json:"alarms"`
	Members      []Member           `json:"members"`
	Fronts       []FrontEnd         `json:"front_ends"`
	Version      string             `json:"version"`
	Schema       int                `json:"schema" doc:"of the records that the group writes; it rises when all servers know a later one"`
	Users        int                `json:"users"`
	Warnings     []string           `json:"warnings" doc:"what needs somebody's care"`
}

// Alarm is something that somebody must look after.
type Alarm struct {
	Name     string    `json:"name"`
	Server   string    `json:"server" doc:"whom it is about; empty: several"`
	Detail   string    `json:"detail"`
	NextStep string    `json:"next_step"`
	Since    time.Time `json:"since"`
}

// CoordinatorAnswer is who the coordinator last said the master is.
type CoordinatorAnswer struct {
	Master string    `json:"master"`
	Epoch  uint64    `json:"epoch"`
	By     string    `json:"by" doc:"who signed it"`
	At     time.Time `json:"at" doc:"when it came"`
}

// Member is one server of the group.
type Member struct {
	Name      string `json:"name"`
	Role      string `json:"role" doc:"master, replica, witness, activated (has not joined yet), joining, removed"`
	Voter     bool   `json:"voter"`
	Reachable bool   `json:"reachable"`
	Peer      string `json:"peer" doc:"address of its peer port; empty: off"`
	Revision  int64  `json:"revision"`
	Lag       int64  `json:"lag" doc:"revisions by which it was behind this server a second ago"`
	Version   string `json:"version"`
}

// MemberList is the servers of the group.
type MemberList struct {
	Members []Member `json:"members"`
}

// ActivationRequest asks for an activation code.
type ActivationRequest struct {
	Role    string `json:"role,omitempty" enum:"server,witness" doc:"of the server to admit; default server"`
	Seconds int64  `json:"seconds,omitempty" minimum:"0" maximum:"86400" doc:"its life; default 600"`
}

// ActivationCode admits one server, once.
type ActivationCode struct {
	Code    *secret.Wire `json:"code,omitempty" doc:"shown only once"`
	Group   string       `json:"group"`
	Role    string       `json:"role"`
	Expires time.Time    `json:"expires"`
}

// ForgetRequest takes a server out of the group for good.
type ForgetRequest struct {
	Name string `json:"name" minLength:"1" maxLength:"63"`
}

// LeaveRequest takes this server out of its group.
type LeaveRequest struct {
	Force bool `json:"force,omitempty" doc:"also without a master; the group then has this server on record until it is forgotten there"`
}

// PromotionRequest makes another server the master.
type PromotionRequest struct {
	To     string `json:"to,omitempty" maxLength:"63" doc:"name of the server; empty: the fittest"`
	DryRun bool   `json:"dry_run,omitempty" doc:"only say what would be done, and what is in the way"`
}

// DisasterRequest begins a new epoch on the server that is asked.
type DisasterRequest struct {
	Confirm string `json:"confirm,omitempty" maxLength:"90" doc:"GROUP/EPOCH that ends"`
	Force   bool   `json:"force,omitempty" doc:"though another server is fresher, or the coordinator cannot be asked; never against a master that answers"`
	DryRun  bool   `json:"dry_run,omitempty" doc:"only say what would be done, and what is in the way"`
}

// Released tells what passes again after a promotion.
type Released struct {
	NotMerged []string `json:"not_merged" doc:"servers whose trail is still missing"`
}

// FrontEnd is one listener.
type FrontEnd struct {
	Kind    string `json:"kind"`
	Address string `json:"address"`
	OK      bool   `json:"ok"`
}

// Check is one connection that was tried, or one layer of it.
type Check struct {
	Name     string `json:"name"`
	Target   string `json:"target"`
	Layer    string `json:"layer" doc:"name, tcp, tls, http, bind, search, clock, disk ..."`
	OK       bool   `json:"ok"`
	Warning  bool   `json:"warning,omitempty" doc:"good, but somebody should look at it"`
	Detail   string `json:"detail"`
	NextStep string `json:"next_step"`
}

// CheckList is the answer of doctor and of directory test. What works is doctor's.
type CheckList struct {
	OK      bool    `json:"ok"`
	SignIns Works   `json:"sign_ins,omitzero" doc:"whether people can sign in here"`
	Changes Works   `json:"changes,omitzero" doc:"whether changes can be made here"`
	Checks  []Check `json:"checks"`
}

// Works says whether something works.
type Works struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// LogLevel sets a component's verbosity.
type LogLevel struct {
	Component string `json:"component" maxLength:"64" doc:"empty: all"`
	Level     string `json:"level" enum:"debug,info,warn,error"`
	Seconds   int64  `json:"seconds,omitempty" minimum:"0" maximum:"604800" doc:"0: until the next start"`
}

// BackupRequest asks for a backup.
type BackupRequest struct {
	Passphrase *secret.Wire `json:"passphrase" writeOnly:"true"`
}

// TestRequest is one leg of a real authentication, made by an administrator.
type TestRequest struct {
	Login       string       `json:"login" maxLength:"4096"`
	Application string       `json:"application" maxLength:"64"`
	Password    *secret.Wire `json:"password,omitempty" writeOnly:"true"`
	Source      string       `json:"source,omitempty" maxLength:"253" doc:"as a Calling-Station-Id"`
	Handle      []byte       `json:"handle,omitempty" doc:"of the challenge that is answered"`
	Answer      *secret.Wire `json:"answer,omitempty" writeOnly:"true"`
}

// TestResult is its outcome.
type TestResult struct {
	Verdict   string               `json:"verdict" enum:"accept,reject,challenge"`
	Reason    string               `json:"reason"`
	Message   string               `json:"message" doc:"what the user would see"`
	AttemptID mfa.AttemptID        `json:"attempt_id"`
	Handle    []byte               `json:"handle,omitempty"`
	Reply     []mfa.ReplyAttribute `json:"reply"`
	Trace     []string             `json:"trace"`
}

// BlastRADIUS says of each RADIUS client whether it is safe against CVE-2024-3596.
type BlastRADIUS struct {
	Clients []BlastClient `json:"clients"`
}

// BlastClient is one address of one RADIUS application.
type BlastClient struct {
	Application string     `json:"application"`
	Address     string     `json:"address" doc:"the client's, or the network configured if none of it has been heard"`
	Mode        string     `json:"message_authenticator" enum:"learn,warn,require"`
	State       string     `json:"state" enum:"safe,unsafe,unknown"`
	FirstSeen   *time.Time `json:"first_seen,omitempty"`
	Proven      *time.Time `json:"proven,omitempty" doc:"first request with a valid Message-Authenticator"`
	Without     *time.Time `json:"without,omitempty" doc:"last request without one, to the hour"`
	Advice      string     `json:"advice"`
}

// Removed says what was removed.
type Removed struct {
	Removed string `json:"removed"`
}
