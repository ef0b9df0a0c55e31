package enroll_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
)

// door is a portal.
type door struct {
	url, by string
}

func (d door) PortalURL() string { return d.url }
func (d door) EntranceOf(context.Context, mfa.UserID) (string, bool, error) {
	return d.by, d.by != "mail", nil
}

func TestInvitation(t *testing.T) {
	r := newRig(t)
	if _, err := r.Invite(t.Context(), "root", "alice", enroll.InviteRequest{}); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), "listen.https") {
		t.Errorf("without a portal: %v", err)
	}
	r.Portal = door{"https://nyc1.example/portal", "VPN"}
	first, err := r.Invite(t.Context(), "root", "alice", enroll.InviteRequest{Why: "first day"})
	if err != nil || first.Code != nil || first.Link == nil || !first.Password || !first.Expires.Equal(noon.Add(24*time.Hour)) {
		t.Fatalf("%+v, %v", first, err)
	}
	u, err := url.Parse(string(first.Link.Expose()))
	if err != nil || u.Host != "nyc1.example" || u.Path != "/portal/welcome" || len(u.Query().Get("code")) != 9 {
		t.Errorf("link %v, %v", u, err)
	}
	other := r.give(t, enroll.Request{Method: mfa.MethodTAP, Why: "phone lost", Scope: []string{"VPN"}})
	second, err := r.Invite(t.Context(), "root", "alice", enroll.InviteRequest{Code: true})
	if err != nil || second.Code == nil || second.Link != nil || !second.Expires.Equal(noon.Add(15*time.Minute)) || second.URL != "https://nyc1.example/portal/welcome" {
		t.Fatalf("%+v, %v", second, err)
	}
	all, err := r.List(t.Context(), "alice")
	if err != nil || len(all.Credentials) != 2 { // the pass by hand, and the second invitation
		t.Fatalf("%+v, %v", all.Credentials, err)
	}
	for _, c := range all.Credentials {
		if c.ID != other.ID && (c.Method != mfa.MethodTAP || c.Uses != 1 || len(c.Scope) != 1 || c.Scope[0] != "VPN" || c.Why != "invitation by code") {
			t.Errorf("made %+v", c)
		}
	}
	if got := acts(r); strings.Contains(got, u.Query().Get("code")) || strings.Contains(got, string(second.Code.Expose())) || !strings.Contains(got, "invitation by link: first day") {
		t.Errorf("the trail:\n%s", got)
	}
	r.Portal = door{"https://nyc1.example/portal", "mail"}
	if none, err := r.Invite(t.Context(), "root", "alice", enroll.InviteRequest{}); err != nil || none.Password {
		t.Errorf("of who has no password: %+v, %v", none, err)
	}
	for _, bad := range []enroll.InviteRequest{{Seconds: 30}, {Seconds: 8 * 86400}, {Code: true, Seconds: 7200}, {Seconds: -60}, {Why: strings.Repeat("x", 300)}, {Why: "a\nb"}} {
		if _, err := r.Invite(t.Context(), "root", "alice", bad); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := r.Invite(t.Context(), "root", "nobody", enroll.InviteRequest{}); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
}
