package policy

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"countersign/internal/mfa"
)

// A Warning names a setting that is allowed and yet more open than it may look.
type Warning struct {
	Setting string // as the API names it: "exempt"
	Text    string // what it means, and what would be better
	Weight  Weight
}

// Weight says how much a Warning weighs.
type Weight int

// The weights.
const (
	Note Weight = iota // meant so, and to be seen where the setting is
	Care               // wants somebody's care
	Open               // somebody may get in without what was meant to be asked of them
)

// String returns the weight in a word.
func (w Weight) String() string { return [...]string{"note", "care", "open"}[w] }

// UnknownWarning is how long before its end a pass for unknown users is alarmed about.
const UnknownWarning = 14 * 24 * time.Hour

// What is wider than these holds no one site: beyond any private network (RFC 1918) and
// beyond what one provider has (IPv6).
const (
	wide4 = 8
	wide6 = 32
)

func wide(ps []netip.Prefix) (netip.Prefix, bool) {
	for _, p := range ps {
		if p.Addr().Is4() && p.Bits() < wide4 || p.Addr().Is6() && p.Bits() < wide6 {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// ApplicationWarnings returns what is too open about an application at now.
func ApplicationWarnings(a mfa.Application, now time.Time) (w []Warning) {
	warn := func(weight Weight, setting, format string, args ...any) {
		w = append(w, Warning{setting, fmt.Sprintf(format, args...), weight})
	}
	none := a.FirstFactor == mfa.FirstFactorNone
	if p, ok := wide(a.Addresses); ok {
		if none {
			warn(Open, "addresses", "requests from %s are answered, and no password is checked here: whoever has the shared secret may try codes from anywhere; name the clients' own addresses", p)
		}
		if a.MA == mfa.MAWarn {
			warn(Care, "message_authenticator", "requests without one are accepted from %s, so answers can be forged (CVE-2024-3596); require it, or name the clients that cannot send it", p)
		}
	}
	if p, ok := wide(a.Exempt); ok {
		warn(Open, "exempt", "no second factor is asked of anybody who comes from %s; name the networks that are yours", p)
	}
	if none && len(a.Exempt) > 0 {
		warn(Open, "exempt", "no password is checked here, so from the exempt networks nothing is; let the client ask only for those who come from elsewhere")
	}
	if a.UnknownPass {
		unknownWarning(a, now, warn)
	}
	return w
}

func unknownWarning(a mfa.Application, now time.Time, warn func(weight Weight, setting, format string, args ...any)) {
	end := a.UnknownUntil.UTC().Format(time.RFC3339)
	switch left := a.UnknownUntil.Sub(now); {
	case left <= 0:
		warn(Care, "unknown_users", "unknown users passed until %s and are refused since; set a new end, or set it to deny", end)
	case left < UnknownWarning:
		warn(Care, "unknown_users", "unknown users pass until %s and are refused from then on: add those that are left, or set a new end", end)
	default:
		warn(Note, "unknown_users", "unknown users pass without a second factor until %s", end)
	}
	if a.FirstFactor == mfa.FirstFactorNone {
		warn(Open, "unknown_users", "no password is checked here, so of unknown users nothing is asked")
	}
}

// What is guessed within a day.
const (
	codes        = 1e6   // of six digits
	guessedCode  = 0.01  // chance from which on it is told
	guessedSoon  = 0.5   // and from which on the door is open
	passwordsDay = 10000 // of one user
	failuresHour = 60 * 1000
)

// Warnings returns what is too open about the group's defaults.
func (s Settings) Warnings() (w []Warning) {
	warn := func(weight Weight, setting, format string, args ...any) {
		w = append(w, Warning{setting, fmt.Sprintf(format, args...), weight})
	}
	n := perDay(s.Tries, s.Lock)
	if p := 1 - math.Pow(1-float64(2*s.Skew+1)/codes, n); p > guessedCode {
		weight := Care
		if p > guessedSoon {
			weight = Open
		}
		warn(weight, "tries, lock_seconds", "%d tries and a lock of %s let %.0f codes of one user be tried in a day, with totp_window %d one of them is right with a chance of %.0f %%; the defaults are 5 and 15m",
			s.Tries, s.Lock.Duration(), n, s.Skew, 100*p)
	}
	if n := perDay(s.FirstTries, s.FirstLock); n > passwordsDay {
		warn(Care, "first_factor_tries, first_factor_lock_seconds", "%d tries and a lock of %s let %.0f passwords of one user be tried in a day; the defaults are 10 and 15m", s.FirstTries, s.FirstLock.Duration(), n)
	}
	if n := 60 * s.SourceFailures; n > failuresHour {
		warn(Care, "source_failures_per_minute", "one source may fail %d times an hour; the default is 30 a minute", n)
	}
	if s.Attempt <= s.Directory {
		warn(Care, "attempt_seconds", "an attempt ends after %s, before a directory that does not answer is given up after %s (directory_seconds): its second server is never asked", s.Attempt.Duration(), s.Directory.Duration())
	}
	if len(s.PasskeyAllow) > 0 {
		warn(Care, "passkey_models_allow", "which model a passkey is, the authenticator says of itself, and its maker's signature for that is not checked: this keeps out what is honest, not a program that says that it is an allowed model")
	}
	return w
}

// perDay is how many guesses a limit lets through in a day, if they take no time.
func perDay(tries int, lock Seconds) float64 {
	return float64(tries) * 24 * 60 * 60 / float64(max(lock, 1))
}
