package admin_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/mfa"
)

// several are the trails of several servers, some of which do not answer.
type several struct {
	*admintest.Trail
	trails map[string]*admintest.Trail
	down   map[string]bool
}

func (s *several) Ask(ctx context.Context, q admin.TrailQuestion) (all []admin.TrailAnswer, err error) {
	for name, tr := range s.trails {
		if s.down[name] {
			all = append(all, admin.TrailAnswer{Server: name, Err: "cable cut"})
			continue
		}
		a, err := tr.Ask(ctx, q)
		if err != nil {
			return nil, err
		}
		a[0].Server = name
		all = append(all, a[0])
	}
	return all, nil
}

// newSeveral has three servers with many attempts, which it returns oldest first.
func newSeveral(t *testing.T, r *rig) (*several, []mfa.Attempt) {
	t.Helper()
	s := &several{Trail: r.trail, trails: map[string]*admintest.Trail{}, down: map[string]bool{}}
	rnd := rand.New(rand.NewPCG(9, 10)) //nolint:gosec // a test
	reasons := []mfa.Reason{mfa.OK, mfa.OK, mfa.WrongCode, mfa.ExemptNetwork, mfa.Locked, mfa.Blocked}
	var all []mfa.Attempt
	for n := range 240 {
		server := fmt.Sprintf("nyc%d", 1+rnd.IntN(3))
		if s.trails[server] == nil {
			s.trails[server] = admintest.NewTrail()
		}
		a := mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: r.Now().Add(time.Duration(n-240) * 37 * time.Minute), Server: server, Login: fmt.Sprintf("user%d", rnd.IntN(5)),
			Application: []string{"vpn", "mail"}[rnd.IntN(2)], Reason: reasons[rnd.IntN(len(reasons))], Method: []mfa.MethodID{"totp", "tap"}[rnd.IntN(2)]}
		if a.Reason.Accepts() {
			a.Verdict = mfa.Accept
		}
		all = append(all, a)
		if err := s.trails[server].Append(t.Context(), mfa.Record{Attempt: &a}); err != nil {
			t.Fatal(err)
		}
	}
	r.Audit = s
	return s, all
}

// TestReportsEqualTheTrails: the sums of each report are those of the records, counted here.
func TestReportsEqualTheTrails(t *testing.T) {
	r := newRig(t)
	s, all := newSeveral(t, r)
	selects := map[string]func(a mfa.Attempt) bool{
		admin.ReportSignIns:        func(mfa.Attempt) bool { return true },
		admin.ReportNoSecondFactor: func(a mfa.Attempt) bool { return a.Reason == mfa.ExemptNetwork },
		admin.ReportBypassed: func(a mfa.Attempt) bool {
			return a.Reason == mfa.ExemptNetwork || a.Reason == mfa.OK && a.Method == mfa.MethodTAP
		},
		admin.ReportBlocked: func(a mfa.Attempt) bool { return a.Reason == mfa.Blocked },
		admin.ReportLocked:  func(a mfa.Attempt) bool { return a.Reason == mfa.Locked },
	}
	names := map[string]func(a mfa.Attempt) string{
		"application": func(a mfa.Attempt) string { return a.Application }, "method": func(a mfa.Attempt) string { return string(a.Method) },
		"reason": func(a mfa.Attempt) string { return a.Reason.String() }, "server": func(a mfa.Attempt) string { return a.Server },
	}
	for name, selected := range selects {
		for _, app := range []string{"", "vpn"} {
			q := admin.ReportQuery{Since: r.Now().Add(-100 * time.Hour), Until: r.Now().Add(-time.Hour), Zone: "Asia/Kathmandu", Application: app}
			rep, err := r.Report(t.Context(), name, q, mfa.Reach{All: true})
			if err != nil {
				t.Fatal(err)
			}
			var in []mfa.Attempt
			for _, a := range all {
				if selected(a) && (app == "" || a.Application == app) && !a.Time.Before(*rep.Since) && a.Time.Before(*rep.Until) {
					in = append(in, a)
				}
			}
			accepted, refused := split(in)
			if len(in) == 0 || rep.Accepted != accepted || rep.Refused != refused {
				t.Errorf("%s %s: %d and %d, want %d and %d", name, app, rep.Accepted, rep.Refused, accepted, refused)
			}
			for i, span := range rep.OverTime {
				end := *rep.Until
				if i+1 < len(rep.OverTime) {
					end = rep.OverTime[i+1].Start
				}
				accepted, refused := split(slices.DeleteFunc(slices.Clone(in), func(a mfa.Attempt) bool { return a.Time.Before(span.Start) || !a.Time.Before(end) }))
				if span.Accepted != accepted || span.Refused != refused {
					t.Errorf("%s from %s: %+v, want %d and %d", name, span.Start, span, accepted, refused)
				}
			}
			for _, p := range rep.Parts {
				for _, c := range p.Counts {
					accepted, refused := split(slices.DeleteFunc(slices.Clone(in), func(a mfa.Attempt) bool { return names[p.By](a) != c.Name }))
					if c.Accepted != accepted || c.Refused != refused {
						t.Errorf("%s by %s: %+v, want %d and %d", name, p.By, c, accepted, refused)
					}
				}
			}
			people := int64(0)
			for _, p := range rep.People {
				people += p.Count
			}
			if name != admin.ReportSignIns && people != int64(len(in)) {
				t.Errorf("%s concerns people %d times, want %d", name, people, len(in))
			}
		}
	}
	if _, err := r.Story(t.Context(), mfa.NewAttemptID(nil)); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("the story of no attempt: %v", err)
	}
	for _, a := range all[:20] {
		if o, err := r.Story(t.Context(), a.ID); err != nil || o.Attempt == nil || o.Attempt.Server != a.Server || !strings.Contains(o.Line, a.Login) {
			t.Errorf("the story of %+v: %+v, %v", a, o, err)
		}
	}
	s.down["nyc3"] = true
	if rep, err := r.Report(t.Context(), admin.ReportSignIns, admin.ReportQuery{}, mfa.Reach{All: true}); err != nil || len(rep.Silent) != 1 || rep.Silent[0].Server != "nyc3" {
		t.Errorf("without nyc3: %+v, %v", rep.Silent, err)
	}
}

func split(all []mfa.Attempt) (accepted, refused int64) {
	for _, a := range all {
		if a.Verdict == mfa.Accept {
			accepted++
		} else {
			refused++
		}
	}
	return accepted, refused
}

// TestReportSpans: spans begin with the reader's days, also where the clocks are set back.
func TestReportSpans(t *testing.T) {
	r := newRig(t)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	since, until := time.Date(2026, 10, 20, 9, 7, 0, 0, berlin), time.Date(2026, 10, 30, 9, 7, 0, 0, berlin)
	rep, err := r.Report(t.Context(), admin.ReportSignIns, admin.ReportQuery{Since: since, Until: until, Zone: "Europe/Berlin"}, mfa.Reach{All: true})
	if err != nil || len(rep.OverTime) != 11 || rep.Since.In(berlin).Format("15:04") != "09:00" || rep.Until.In(berlin).Format("15:04") != "09:15" {
		t.Fatalf("%d spans from %s to %s, %v", len(rep.OverTime), rep.Since, rep.Until, err)
	}
	for i, s := range rep.OverTime[1:] {
		if got, want := s.Start.In(berlin).Format("01-02 15:04"), fmt.Sprintf("10-%02d 00:00", 21+i); got != want {
			t.Errorf("span %d begins at %s, want %s", i+1, got, want)
		}
	}
	for _, q := range []admin.ReportQuery{{Zone: "Local"}, {Zone: "../etc/passwd"}, {Zone: "Mars/Olympus"}, {Since: until, Until: since}, {Since: until.AddDate(-5, 0, 0), Until: until}} {
		if _, err := r.Report(t.Context(), admin.ReportSignIns, q, mfa.Reach{All: true}); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for long, most := range map[time.Duration]int{time.Hour: 5, 12 * time.Hour: 49, 4 * 24 * time.Hour: 97, 93 * 24 * time.Hour: 95, 400 * 24 * time.Hour: 60, 790 * 24 * time.Hour: 30} {
		for _, zone := range []string{"UTC", "Asia/Kathmandu", "America/Sao_Paulo", "Australia/Lord_Howe"} {
			rep, err := r.Report(t.Context(), admin.ReportSignIns, admin.ReportQuery{Since: until.Add(-long), Until: until, Zone: zone}, mfa.Reach{All: true})
			if err != nil || len(rep.OverTime) > most || len(rep.OverTime) < 4 {
				t.Errorf("%s in %s: %d spans, %v; want at most %d", long, zone, len(rep.OverTime), err, most)
			}
		}
	}
}

// TestCSVHoldsNoFormula: what somebody typed as a login is not carried out by a spreadsheet.
func TestCSVHoldsNoFormula(t *testing.T) {
	for cell, want := range map[string]string{"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "\"'\t=1\"", " =1": "\"' =1\"", "alice": "alice", "a=b": "a=b", "": ""} {
		var b strings.Builder
		if err := (admin.Table{Columns: []string{"login", "n"}, Rows: [][]string{{cell, "1"}}}).WriteCSV(&b); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(strings.TrimPrefix(b.String(), "login,n\r\n"), ",1\r\n"); strings.Trim(got, `"`) != strings.Trim(want, `"`) {
			t.Errorf("%q: got %q, want %q", cell, got, want)
		}
	}
}

// TestReportsAreForWhoMaySeeThem: those about attempts for who sees everybody.
func TestReportsAreForWhoMaySeeThem(t *testing.T) {
	r := newRig(t)
	tag := "staff"
	for _, login := range []string{"alice", "bob"} {
		tags := []string{tag}
		if login == "bob" {
			tags = []string{"guest"}
		}
		if _, err := r.AddUser(t.Context(), "test", admin.UserChange{Login: &login, Tags: &tags}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range admin.Reports() {
		if _, err := r.As(mfa.Caller{By: "mallory", Reach: mfa.Reach{All: true}}).Report(t.Context(), name, admin.ReportQuery{}); !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("%s for nobody: %v", name, err)
		}
		if _, err := r.As(mfa.Owner("root")).Report(t.Context(), name, admin.ReportQuery{}); err != nil {
			t.Errorf("%s for an owner: %v", name, err)
		}
	}
	some := mfa.Caller{By: "helen", Permissions: mfa.SetOf(mfa.MayReadUsers, mfa.MayReadAudit), Reach: mfa.Reach{Tags: []string{tag}}}
	if _, err := r.As(some).Report(t.Context(), admin.ReportSignIns, admin.ReportQuery{}); !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("everybody's sign-ins for who sees some users: %v", err)
	}
	if rep, err := r.As(some).Report(t.Context(), admin.ReportEnrolment, admin.ReportQuery{}); err != nil || rep.Coverage.All.Users != 1 {
		t.Errorf("enrolment within reach: %+v, %v", rep.Coverage, err)
	}
}
