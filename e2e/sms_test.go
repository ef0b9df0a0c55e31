package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// handset is a provider's API and the phone behind it.
type handset struct {
	mu    sync.Mutex
	texts []string
	down  bool
}

func (h *handset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct{ To, Text string }
	err := json.NewDecoder(r.Body).Decode(&m)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil || m.To != "+491701234567" || r.Header.Get("Authorization") != "Bearer provider token":
		w.WriteHeader(http.StatusBadRequest)
	default:
		h.texts = append(h.texts, m.Text)
		w.WriteHeader(http.StatusCreated)
	}
}

func (h *handset) set(down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = down
}

var sixDigits = regexp.MustCompile(`[0-9]{6}`)

// last returns how many texts have arrived, and the code in the last one.
func (h *handset) last() (int, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.texts) == 0 {
		return 0, ""
	}
	return len(h.texts), sixDigits.FindString(h.texts[len(h.texts)-1])
}

// A code by text message: begun on one server, sent once more by and answered on the other,
// and what is told when the gateway is down.
func TestSMSOverRADIUS(t *testing.T) {
	phone := &handset{}
	provider := httptest.NewServer(phone)
	t.Cleanup(provider.Close)
	all := newGroup(t, 2)
	s, other := all[0], all[1]
	s.user("alice", "correct horse")
	s.application("vpn", "127.0.0.1/32", "--retries", "1")
	s.cliIn("provider token\n", "gateway", "add", "provider", "--kind", "sms", "--profile", "json", "--address", provider.URL+"/send", "--private-addresses",
		"--password-stdin", "--from", "Corp", "--country", "DE")
	if r := s.try("", "gateway", "test", "provider", "--to", "+491701234567"); r.code != 0 {
		t.Fatalf("test: %s%s", r.stdout, r.stderr)
	}
	var made struct{ ID, Challenge string }
	s.json(&made, "credential", "add", "alice", "--method", "sms", "--to", "+49 170 1234567")
	n, code := phone.last()
	if n != 2 || made.Challenge == "" {
		t.Fatalf("%d texts, challenge %q", n, made.Challenge)
	}
	if out := radclient(t, s.radius, "auth", "User-Name=alice", `User-Password="correct horse"`); !strings.Contains(out, "Received Access-Reject") {
		t.Fatalf("a number that nobody has proven: %s", out)
	}
	s.cliIn(code+"\n", "credential", "confirm", "alice", made.ID, "--challenge", made.Challenge, "--code-stdin")
	await(t, "the credential at the other server", func() bool {
		return strings.Contains(other.try("", "credential", "list", "alice", "--json").stdout, made.ID)
	})

	asked := radclient(t, s.radius, "auth", "User-Name=alice", `User-Password="correct horse"`)
	state := stateLine.FindStringSubmatch(asked)
	if state == nil || !strings.Contains(asked, "+49********67") {
		t.Fatalf("no challenge:\n%s", asked)
	}
	again := radclient(t, other.radius, "auth", "User-Name=alice", "User-Password=resend", "State="+state[1])
	_, received, _ := strings.Cut(again, "Received Access-Challenge") // before it stands what was sent
	if state = stateLine.FindStringSubmatch(received); state == nil {
		t.Fatalf("no second challenge:\n%s", again)
	}
	n, code = phone.last()
	if n != 4 {
		t.Fatalf("%d texts, want 4", n)
	}
	if out := radclient(t, s.radius, "auth", "User-Name=alice", "User-Password="+code, "State="+state[1]); !strings.Contains(out, "Received Access-Accept") {
		t.Fatalf("the code of the second text, at the first server:\n%s", out)
	}
	if out := radclient(t, other.radius, "auth", "User-Name=alice", "User-Password="+code, "State="+state[1]); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("the code once more:\n%s", out)
	}

	phone.set(true)
	if out := radclient(t, s.radius, "auth", "User-Name=alice", `User-Password="correct horse"`); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("no gateway:\n%s", out)
	}
	got := s.reasons("--user", "alice")
	for _, why := range []string{"credential_unproven", "ok", "gateway_down"} {
		if got[why] != 1 {
			t.Errorf("reasons %v, want one %s: %+v", got, why, s.attempts())
		}
	}
}
