package node

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/internal/group"
)

// An alarm is told once, when it has lasted, and once when it is over.
func TestAlarmsAreTold(t *testing.T) {
	var out buffer
	a := alarms{log: slog.New(slog.NewTextHandler(&out, nil))}
	now := time.Now()
	lag := group.Alarm{Name: group.AlarmLag, Server: "n2", Detail: "far behind", NextStep: "wait"}
	cert := group.Alarm{Name: group.AlarmCertificate, Server: "n1", Detail: "expires", NextStep: "renew"}
	steady := group.Steady(group.AlarmLag)
	for _, step := range []struct {
		after  time.Duration
		found  []group.Alarm
		raised string
		told   int // lines so far
	}{
		{0, []group.Alarm{lag}, "", 0},
		{steady - time.Second, []group.Alarm{lag}, "", 0},
		{steady, nil, "", 0}, // it went before it was one
		{2 * steady, []group.Alarm{lag}, "", 0},
		{3 * steady, []group.Alarm{lag}, "lag", 1},
		{4 * steady, []group.Alarm{cert, lag}, "lag certificate_expiring", 2},
		{5 * steady, []group.Alarm{cert}, "certificate_expiring", 3},
		{6 * steady, nil, "", 4},
	} {
		a.update(now.Add(step.after), step.found)
		var names []string
		for _, one := range a.Raised() {
			names = append(names, one.Name)
		}
		if got := strings.Join(names, " "); got != step.raised || strings.Count(out.String(), "\n") != step.told {
			t.Errorf("after %s: raised %q, want %q; told\n%s", step.after, got, step.raised, &out)
		}
	}
	if !strings.Contains(out.String(), `msg=alarm alarm=lag server=n2 detail="far behind" next=wait`) || !strings.Contains(out.String(), `msg="alarm over" alarm=lag server=n2 after=30s`) {
		t.Errorf("told\n%s", &out)
	}
}

// A server alone has no alarms, and a metric for each that there is.
func TestAlarmMetrics(t *testing.T) {
	o := options(folder(t))
	r := start(t, o, demo)
	defer r.end()
	body := get(t, "http://"+r.at.Metrics+"/metrics", http.StatusOK, nil)
	for _, name := range group.AlarmNames {
		if !strings.Contains(body, `countersign_alarm{name="`+name+`"} 0`) {
			t.Errorf("metrics lack alarm %s", name)
		}
	}
}
