package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/trail"
)

// AttemptsOptions say how lists and reports of attempts are measured. All fields must be set.
type AttemptsOptions struct {
	Dir      string // empty, on the disk to be measured
	Attempts int    // in the trail, over a year
	Users    int    // whose they are
	Rounds   int    // of each question
	Log      *slog.Logger
}

// Attempts is what one run measured. Its JSON form is stable.
type Attempts struct {
	Environment Environment `json:"environment"`
	Attempts    int         `json:"attempts"`
	Users       int         `json:"users"`
	Trail       int64       `json:"trail_bytes"`
	Index       int64       `json:"index_bytes"`
	Rebuild     float64     `json:"rebuild_s"` // of the index, while a query waits for it
	Questions   []Question  `json:"questions"`
}

// Question is one list or report.
type Question struct {
	Name   string  `json:"name"`
	Found  int     `json:"found"` // rows of the answer
	Median float64 `json:"median_ms"`
	Most   float64 `json:"most_ms"`
}

// WriteTable prints it.
func (r *Attempts) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d processors, load %.1f before; %d attempts of %d users in a year; trail %.0f MB, index %.0f MB, made anew in %.1f s\n\n",
		r.Environment.CPU, r.Environment.Cores, r.Environment.Load, r.Attempts, r.Users, float64(r.Trail)/1e6, float64(r.Index)/1e6, r.Rebuild)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "QUESTION\tFOUND\tMEDIAN MS\tMOST MS")
	for _, q := range r.Questions {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\n", q.Name, q.Found, q.Median, q.Most)
	}
	return t.Flush()
}

// RunAttempts writes a trail, as the engine does, has its index made, and asks what the pages of
// sign-ins and reports ask.
func RunAttempts(ctx context.Context, o AttemptsOptions) (r *Attempts, err error) {
	r = &Attempts{Environment: environment(ctx, o.Dir), Attempts: o.Attempts, Users: o.Users}
	t, err := trail.Open(trail.Options{Dir: o.Dir, Server: "bench", Log: o.Log})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- t.Run(ctx) }()
	running := 1
	defer func() {
		stop()
		for range running {
			err = errors.Join(err, <-ended)
		}
	}()
	now := time.Now().UTC()
	o.Log.Info("writing the trail", "attempts", o.Attempts)
	if err := writeAttempts(ctx, t, o, now); err != nil {
		return nil, err
	}
	x, err := trail.OpenIndex(t)
	if err != nil {
		return nil, err
	}
	go func() { ended <- x.Run(ctx) }()
	running++
	o.Log.Info("making the index")
	began := time.Now()
	if _, _, err := x.Attempts(ctx, trail.Filter{Limit: 1}); err != nil {
		return nil, err
	}
	r.Rebuild = time.Since(began).Seconds()
	for _, q := range questions(x, now) {
		one, err := measure(ctx, q, o.Rounds)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		r.Questions = append(r.Questions, one)
	}
	r.Trail, r.Index = sizeOf(o.Dir, "*"), sizeOf(o.Dir, "index.sqlite*")
	r.Trail -= r.Index
	return r, nil
}

func sizeOf(dir, pattern string) (bytes int64) {
	files, _ := filepath.Glob(filepath.Join(dir, pattern))
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil {
			bytes += fi.Size()
		}
	}
	return bytes
}

// writeAttempts writes a settlement and an attempt for each sign-in: a tenth is refused, one in a
// thousand passes without a second factor, one in ten thousand is at an application or by a method
// that hardly anybody uses.
func writeAttempts(ctx context.Context, t *trail.Trail, o AttemptsOptions, now time.Time) error {
	step := 364 * 24 * time.Hour / time.Duration(o.Attempts)
	const together = 1000
	var batch []mfa.Record
	for n := range o.Attempts {
		batch = append(batch, attempt(n, o.Users, now.Add(-step*time.Duration(o.Attempts-n)))...)
		if len(batch) >= together || n == o.Attempts-1 {
			if err := t.Append(ctx, batch...); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

func attempt(n, users int, at time.Time) []mfa.Record {
	u := n * 7919 % users
	a := &mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: at, Server: "bench", Application: fmt.Sprintf("vpn%d", n%5), FrontEnd: "radius",
		User: mfa.UserID(fmt.Sprintf("user%012d", u)), Login: fmt.Sprintf("user%d", u), Verdict: mfa.Accept, Reason: mfa.OK, Method: mfa.MethodTOTP}
	refuse := func(r mfa.Reason) { a.Verdict, a.Reason = mfa.Reject, r }
	switch {
	case n%10_000 == 5:
		a.Application = "rare"
	case n%10_000 == 7:
		a.Method = mfa.MethodSMS
	case n%1000 == 9:
		a.Reason, a.Method = mfa.ExemptUser, ""
	case n%5000 == 11:
		a.Reason, a.Method = mfa.ExemptNetwork, ""
	case n%100 == 13:
		refuse(mfa.Locked)
	case n%500 == 15:
		refuse(mfa.Blocked)
	case n%100 == 17:
		refuse(mfa.UnknownUser)
		a.User, a.Login = "", fmt.Sprintf("guess%d", n)
	case n%100_000 == 19:
		refuse(mfa.FraudReported)
	case n%10 == 0:
		refuse(mfa.WrongCode)
	}
	s := &mfa.Settled{Attempt: a.ID, User: a.User, Time: at, Server: "bench", Reason: a.Reason, State: mfa.Committed, Epoch: 1, Revision: int64(n)}
	if a.User == "" {
		return []mfa.Record{{Attempt: a}}
	}
	return []mfa.Record{{Settled: s}, {Attempt: a}}
}

// question is what is asked; ask returns how many rows came.
type question struct {
	name string
	ask  func(ctx context.Context) (int, error)
}

func measure(ctx context.Context, q question, rounds int) (Question, error) {
	took := make([]float64, rounds)
	one := Question{Name: q.name}
	for i := range took {
		began := time.Now()
		n, err := q.ask(ctx)
		if err != nil {
			return one, err
		}
		one.Found, took[i] = n, float64(time.Since(began).Microseconds())/1000
	}
	slices.Sort(took)
	one.Median, one.Most = took[len(took)/2], took[len(took)-1]
	return one, nil
}

// questions are those of the page of sign-ins, filter by filter, of its file for a spreadsheet, and
// of each report over several times.
func questions(x *trail.Index, now time.Time) (all []question) {
	page := func(name string, f trail.Filter) {
		f.Limit = 50
		all = append(all, question{"sign-ins: " + name, func(ctx context.Context) (int, error) {
			found, _, err := x.Attempts(ctx, f)
			return len(found), err
		}})
	}
	days := func(n int) time.Time { return now.AddDate(0, 0, -n) }
	page("all", trail.Filter{})
	page("deep in the list", trail.Filter{Before: 100_000})
	page("one user", trail.Filter{User: "user000000000007"})
	page("one login", trail.Filter{Login: "USER7"})
	page("nobody's login", trail.Filter{Login: "nobody"})
	page("application", trail.Filter{Application: "vpn3"})
	page("rare application", trail.Filter{Application: "rare"})
	page("application that is not there", trail.Filter{Application: "none"})
	page("method", trail.Filter{Method: "totp"})
	page("rare method", trail.Filter{Method: "sms"})
	page("method that nobody has", trail.Filter{Method: "push"})
	page("accepted", trail.Filter{Verdict: "accept"})
	page("refused", trail.Filter{Verdict: "reject"})
	for _, r := range []mfa.Reason{mfa.OK, mfa.WrongCode, mfa.Blocked, mfa.FraudReported, mfa.ExemptUser, mfa.Denied} {
		page("reason "+r.String(), trail.Filter{Reason: r.String()})
	}
	page("an hour half a year ago", trail.Filter{Since: days(182), Until: days(182).Add(time.Hour)})
	page("a month, refused", trail.Filter{Since: days(200), Until: days(170), Verdict: "reject"})
	page("before a year", trail.Filter{Until: days(365)})
	page("user at an application", trail.Filter{User: "user000000000007", Application: "vpn3"})
	page("application, wrong code", trail.Filter{Application: "vpn3", Reason: "wrong_code"})
	page("rare application, refused", trail.Filter{Application: "rare", Verdict: "reject"})
	page("two rare things", trail.Filter{Application: "rare", Method: "sms"})
	page("rare application a year ago", trail.Filter{Application: "rare", Until: days(360)})
	page("application, rare method", trail.Filter{Application: "vpn2", Method: "sms"})
	page("reason that never came with an application", trail.Filter{Application: "vpn0", Reason: "fraud_reported"})
	page("method, refused", trail.Filter{Method: "sms", Verdict: "reject"})
	page("accepted without a method for a month", trail.Filter{Verdict: "accept", Reason: "exempt_network", Since: days(30)})
	all = append(all, question{"file of 100,000 sign-ins: reading them", func(ctx context.Context) (n int, err error) {
		for f := (trail.Filter{Limit: 1000}); n < 100_000; {
			found, next, err := x.Attempts(ctx, f)
			if n += len(found); err != nil || next == 0 {
				return n, err
			}
			f.Before = next
		}
		return n, nil
	}})
	for _, span := range []struct {
		name string
		days int
		step time.Duration
	}{{"a day", 1, trail.TallyStep}, {"a week", 7, 6 * time.Hour}, {"30 days", 30, 24 * time.Hour}, {"a year", 364, 7 * 24 * time.Hour}} {
		until := now.Truncate(time.Hour)
		since := until.AddDate(0, 0, -span.days)
		edges := []time.Time{}
		for e := since; !e.After(until); e = e.Add(span.step) {
			edges = append(edges, e)
		}
		tally := func(name, application string) {
			all = append(all, question{"report of " + span.name + ": " + name, func(ctx context.Context) (int, error) {
				counts, err := x.Tally(ctx, edges, application)
				return len(counts), err
			}})
		}
		tally("figures", "")
		tally("figures of one application", "vpn3")
		people := func(name, method string, reasons ...mfa.Reason) {
			all = append(all, question{"report of " + span.name + ": people " + name, func(ctx context.Context) (int, error) {
				found, _, err := x.People(ctx, reasons, method, trail.Filter{Since: since, Until: until})
				return len(found), err
			}})
		}
		people("without a second factor", "", mfa.ExemptUser, mfa.ExemptNetwork)
		people("bypassed", string(mfa.MethodTAP), mfa.ExemptNetwork)
		people("blocked", "", mfa.Blocked, mfa.Denied)
		people("locked", "", mfa.Locked, mfa.FirstFactorLocked)
		people("fraud", "", mfa.FraudReported)
	}
	return all
}
