package console

import (
	"math"
	"net/http"
	"time"

	"countersign/internal/admin"
	"countersign/internal/group"
)

// maxOffset is how far a clock may be off, in seconds, before the page points at it.
const maxOffset = 2.0

// state is what the status page shows.
type state struct {
	Alarms   []admin.Alarm
	Warnings []string
	Master   string
	Led      *time.Time // since when Master is, as far as this server knows
	Epoch    uint64
	Alive    int
	Users    int
	Servers  []serverState
	Offer    offer
	By       string // the server that saw it
	Time     time.Time
}

// serverState is one server.
type serverState struct {
	group.ServerView
	Here   bool
	Leads  bool
	Days   int // until its certificate expires
	Skewed bool
	Lag    int
}

// state tells how the group is. Whatever cannot be told is left out: the page opens in any
// case.
func (c *Console) state(r *http.Request) state {
	s := state{By: c.Server, Time: c.Now()}
	st, err := c.Admin.Status(r.Context())
	if err != nil {
		s.Warnings = append(s.Warnings, err.Error())
	}
	s.Led = st.MasterSince
	s.Alarms, s.Master, s.Epoch, s.Users = st.Alarms, st.Master, st.Epoch, st.Users
	for _, w := range st.Warnings {
		if !told(s.Alarms, w) {
			s.Warnings = append(s.Warnings, w)
		}
	}
	o, err := c.Group.Overview(r.Context())
	if err != nil {
		s.Warnings = append(s.Warnings, err.Error())
		return s
	}
	s.By, s.Time = o.By, o.Time
	lag := map[string]int64{c.Server: st.Lag} // as of a second ago: each hears the others once a second
	for _, m := range st.Members {
		if m.Name != c.Server {
			lag[m.Name] = m.Lag
		}
	}
	for _, v := range o.Servers {
		one := serverState{ServerView: v, Here: v.Name == c.Server, Leads: v.Name == s.Master && v.Role == "master", Lag: int(lag[v.Name]),
			Days: int(v.Expires.Sub(s.Time).Hours() / 24), Skewed: math.Abs(v.ClockOffset) > maxOffset}
		if v.Alive {
			s.Alive++
		}
		s.Servers = append(s.Servers, one)
	}
	return s
}

// told reports whether a warning says what an alarm says.
func told(alarms []admin.Alarm, warning string) bool {
	for _, a := range alarms {
		if warning == a.Detail+": "+a.NextStep {
			return true
		}
	}
	return false
}

func statusPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	s := c.state(r)
	s.Offer = c.offer(r, v)
	c.show(w, r, http.StatusOK, "status", view{Nav: "status", Who: v, Data: s})
	return nil
}

func statusLive(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.render(w, r, http.StatusOK, "status", "live", view{Who: v, Data: c.state(r)})
	return nil
}
