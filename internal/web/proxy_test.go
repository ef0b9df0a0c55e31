package web_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"countersign/internal/web"
)

// behind returns from whom a request comes, as next sees it.
func behind(t *testing.T, proxies web.Proxies, log *slog.Logger, peer string, said ...string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://nyc1.example/", nil)
	r.RemoteAddr = peer
	for _, s := range said {
		r.Header.Add("X-Forwarded-For", s)
	}
	var got string
	proxies.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, got = web.Source(r) }), log).ServeHTTP(httptest.NewRecorder(), r)
	return got
}

// Nobody but a proxy that the node file names says where a request comes from, and that one
// only what it saw itself.
func TestProxies(t *testing.T) {
	proxies := web.Proxies{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("2001:db8::5/128")}
	for name, c := range map[string]struct {
		peer string
		said []string
		want string
	}{
		"no proxy, nothing said":           {"203.0.113.7:4711", nil, "203.0.113.7"},
		"a stranger says":                  {"203.0.113.7:4711", []string{"198.51.100.1"}, "203.0.113.7"},
		"a stranger says to be a proxy":    {"203.0.113.7:4711", []string{"198.51.100.1, 10.0.0.5"}, "203.0.113.7"},
		"by the proxy":                     {"10.0.0.5:80", []string{"203.0.113.7"}, "203.0.113.7"},
		"by the proxy, which says nothing": {"10.0.0.5:80", nil, "10.0.0.5"},
		"by the proxy, mapped":             {"[::ffff:10.0.0.5]:80", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		"by two":                           {"10.0.0.5:80", []string{"203.0.113.7, 10.0.0.6"}, "203.0.113.7"},
		"by two, two lines":                {"10.0.0.5:80", []string{"203.0.113.7", "10.0.0.6"}, "203.0.113.7"},
		"over IPv6":                        {"[2001:db8::5]:80", []string{"2001:db8::77"}, "2001:db8::77"},
		"the client says something":        {"10.0.0.5:80", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		"the client says a line":           {"10.0.0.5:80", []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
		"the client says to be a proxy":    {"10.0.0.5:80", []string{"198.51.100.1, 10.0.0.9, 203.0.113.7"}, "203.0.113.7"},
		"another proxy that is not ours":   {"10.0.0.5:80", []string{"198.51.100.1, 10.9.9.9"}, "10.9.9.9"},
		"all of them proxies":              {"10.0.0.5:80", []string{"10.0.0.7, 10.0.0.6"}, "10.0.0.7"},
		"with a port":                      {"10.0.0.5:80", []string{"203.0.113.7:50123"}, "203.0.113.7"},
		"IPv6 with a port":                 {"10.0.0.5:80", []string{"[2001:db8::77]:50123"}, "2001:db8::77"},
		"IPv6 in brackets":                 {"10.0.0.5:80", []string{"[2001:db8::77]"}, "2001:db8::77"},
		"nonsense":                         {"10.0.0.5:80", []string{"unknown"}, "10.0.0.5"},
		"nonsense left of the client":      {"10.0.0.5:80", []string{"<script>, 203.0.113.7"}, "203.0.113.7"},
		"nonsense behind a proxy":          {"10.0.0.5:80", []string{"203.0.113.7, x, 10.0.0.6"}, "10.0.0.6"},
		"with a zone":                      {"10.0.0.5:80", []string{"fe80::1%eth0"}, "10.0.0.5"},
		"empty":                            {"10.0.0.5:80", []string{""}, "10.0.0.5"},
		"commas":                           {"10.0.0.5:80", []string{",,,"}, "10.0.0.5"},
		"very long":                        {"10.0.0.5:80", []string{"203.0.113.7" + strings.Repeat(", 10.0.0.6", 5000)}, "10.0.0.6"},
	} {
		if got := behind(t, proxies, slog.New(slog.DiscardHandler), c.peer, c.said...); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A proxy that the node file does not name is told of once, and by its address.
func TestUnnamedProxyIsLogged(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	h := web.Proxies(nil).Handler(http.NotFoundHandler(), log)
	for range 3 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://nyc1.example/", nil)
		r.RemoteAddr = "10.0.0.5:80"
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if said := out.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "trusted_proxies") || !strings.Contains(said, "10.0.0.5") {
		t.Errorf("logged %q", said)
	}
}

// Whatever a proxy passes on, the source of a request is an address that is in the chain.
func FuzzProxies(f *testing.F) {
	for _, s := range []string{"203.0.113.7", "1.2.3.4, 10.0.0.6", "[::1]:80, 10.0.0.6", ", ,", "10.0.0.6:99999"} {
		f.Add(s)
	}
	proxies := web.Proxies{netip.MustParsePrefix("10.0.0.0/24")}
	f.Fuzz(func(t *testing.T, said string) {
		got := behind(t, proxies, slog.New(slog.DiscardHandler), "10.0.0.5:80", said)
		a, err := netip.ParseAddr(got)
		if err != nil {
			t.Fatalf("%q comes from %q", said, got)
		}
		if stranger := behind(t, proxies, slog.New(slog.DiscardHandler), "203.0.113.7:1", said); stranger != "203.0.113.7" {
			t.Fatalf("a stranger who says %q is believed to be %s", said, stranger)
		}
		if a.String() != "10.0.0.5" && !strings.ContainsAny(said, "0123456789abcdefABCDEF:") {
			t.Fatalf("%q comes from %s", said, a)
		}
	})
}
