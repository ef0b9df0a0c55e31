package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// PagesOptions say how pages are measured. All fields must be set.
type PagesOptions struct {
	Binary string
	Dir    string // empty, on the disk to be measured
	Users  int    // in the database, at least 2: the first is an owner, the second uses the portal
	Rounds int    // requests for each page
	Log    *slog.Logger
}

// Page is one page as a browser gets it.
type Page struct {
	Name   string  `json:"name"`
	Path   string  `json:"path"`
	HTML   int     `json:"html_bytes"`
	Cold   int     `json:"cold_bytes"`            // page, style, script and icon, as they are sent
	Packed int     `json:"cold_compressed_bytes"` // the same if a proxy in front compresses the page too
	Plain  int     `json:"cold_plain_bytes"`      // and to a browser that takes nothing compressed
	Median float64 `json:"median_ms"`             // from the request to the last byte, over TLS on one machine
	Tenth  float64 `json:"p90_ms"`                // nine of ten take no longer
}

// Pages is what one run measured. Its JSON form is stable.
type Pages struct {
	Environment Environment `json:"environment"`
	Users       int         `json:"users"`
	Rounds      int         `json:"rounds"`
	Pages       []Page      `json:"pages"`
}

// WriteTable prints it.
func (r *Pages) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d processors, load %.1f before; %d users; %d requests for each page, one after the other\n\n", r.Environment.CPU, r.Environment.Cores, r.Environment.Load, r.Users, r.Rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PAGE\tHTML kB\tCOLD kB\tIF A PROXY COMPRESSES\tPLAIN\tMEDIAN MS\tP90 MS")
	for _, p := range r.Pages {
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\n", p.Name, kB(p.HTML), kB(p.Cold), kB(p.Packed), kB(p.Plain), p.Median, p.Tenth)
	}
	return t.Flush()
}

func kB(bytes int) float64 { return float64(bytes) / 1000 }

const pagesConf = `name: bench
data_dir: %[1]s/data
listen:
  https: "%[4]s"
  metrics: "%[3]s"
log: {level: warn}
`

const benchPassword = "correct horse battery"

// RunPages founds a server with so many users and asks for the pages of its console, its portal
// and its groups, one request after the other, as an owner and as a user.
func RunPages(ctx context.Context, o PagesOptions) (r *Pages, err error) {
	r = &Pages{Environment: environment(ctx, o.Dir), Users: o.Users, Rounds: o.Rounds}
	in, err := found(ctx, o.Binary, o.Dir, pagesConf)
	if err != nil {
		return nil, err
	}
	server, _, err := in.serve(ctx, in.alive)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	p := population(o.Users)
	o.Log.Info("importing", "users", o.Users)
	if _, err := in.importUsers(ctx, p); err != nil {
		return nil, err
	}
	for _, user := range []int{0, 1} {
		if err := in.do(ctx, benchPassword, "user", "set", p.login(user), "--password-stdin"); err != nil {
			return nil, err
		}
	}
	if err := in.do(ctx, "", "administrator", "add", p.login(0), "--role", "owner"); err != nil {
		return nil, err
	}
	v := visits{base: "https://" + in.https.String(), rounds: o.Rounds, files: map[string]file{}}
	return r, v.all(ctx, p, r)
}

// visits asks for pages.
type visits struct {
	base   string
	rounds int
	client *http.Client
	files  map[string]file // that pages load, by path
}

type file struct{ plain, sent, packed int }

var (
	handleField = regexp.MustCompile(`name="handle" value="([^"]+)"`)
	loaded      = regexp.MustCompile(`(?:href|src)="(/(?:portal/)?assets/[^"]+)"`)
	userLink    = regexp.MustCompile(`href="(/users/[a-z2-7]{16})"`)
)

// all visits the console as the first user and the portal as the second.
func (v *visits) all(ctx context.Context, p population, r *Pages) error {
	if err := v.enter(ctx, "/sign-in", p, 0); err != nil {
		return err
	}
	list, err := v.get(ctx, "/users", nil)
	if err != nil {
		return err
	}
	one := userLink.FindSubmatch(list)
	if one == nil {
		return errors.New("the list of users has no user")
	}
	for _, page := range []struct{ name, path string }{
		{"console: status", "/"}, {"console: users", "/users"}, {"console: search, many found", "/users?search=user0"}, {"console: search, one found", "/users?search=user012345"},
		{"console: search, none found", "/users?search=nobody"}, {"console: users, denied", "/users?state=denied"}, {"console: search, exempt", "/users?search=user&state=exempt"},
		{"console: users without a factor", "/users?factor=none"}, {"console: blocked", "/reports/blocked"}, {"console: locked", "/reports/locked"}, {"console: user", string(one[1])}, {"console: sign-ins", "/attempts"},
		{"console: report", "/reports/sign-ins"}, {"console: enrolment", "/reports/enrolment"}, {"console: applications", "/applications"}, {"console: policy", "/policy"},
		{"console: administrators", "/administrators"}, {"console: audit", "/audit"}, {"management portal: groups", "/groups"}, {"management portal: a group", "/groups/bench"},
	} {
		if err := v.measure(ctx, page.name, page.path, r); err != nil {
			return err
		}
	}
	if err := v.enter(ctx, "/portal/sign-in", p, 1); err != nil {
		return err
	}
	for _, page := range []struct{ name, path string }{
		{"portal: home", "/portal/"}, {"portal: sign-ins", "/portal/sign-ins"}, {"portal: new token", "/portal/token"}, {"portal: password", "/portal/password"},
	} {
		if err := v.measure(ctx, page.name, page.path, r); err != nil {
			return err
		}
	}
	v.forget()
	for _, page := range []struct{ name, path string }{{"console: sign-in", "/sign-in"}, {"portal: sign-in", "/portal/sign-in"}} {
		if err := v.measure(ctx, page.name, page.path, r); err != nil {
			return err
		}
	}
	return nil
}

// forget begins as a browser that nobody has used.
func (v *visits) forget() {
	jar, _ := cookiejar.New(nil)                                                                                                               // never an error
	v.client = &http.Client{Jar: jar, Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // our own server on loopback
		DisableCompression: true, MaxIdleConnsPerHost: 1}}
}

// enter signs a user in, with password and code.
func (v *visits) enter(ctx context.Context, at string, p population, user int) error {
	v.forget()
	key, err := p.key(user)
	if err != nil {
		return err
	}
	asked, err := v.post(ctx, at, url.Values{"login": {p.login(user)}, "password": {benchPassword}})
	if err != nil {
		return err
	}
	handle := handleField.FindSubmatch(asked)
	if handle == nil {
		return fmt.Errorf("%s asks for no code", at)
	}
	code := key.TOTP(time.Now())
	in, err := v.post(ctx, at, url.Values{"login": {p.login(user)}, "handle": {string(handle[1])}, "code": {code}})
	if err == nil && bytes.Contains(in, []byte(`name="password"`)) {
		err = fmt.Errorf("%s: the sign-in of %s was refused", at, p.login(user))
	}
	return err
}

func (v *visits) post(ctx context.Context, path string, form url.Values) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.do(r)
}

func (v *visits) get(ctx context.Context, path string, header http.Header) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	return v.do(r)
}

func (v *visits) do(r *http.Request) ([]byte, error) {
	a, err := v.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, a.Status)
	}
	return b, err
}

// measure asks for a page again and again, after once that is not counted.
func (v *visits) measure(ctx context.Context, name, path string, r *Pages) error {
	html, err := v.get(ctx, path, nil)
	if err != nil {
		return err
	}
	p := Page{Name: name, Path: path, HTML: len(html), Cold: len(html), Plain: len(html), Packed: packed(html)}
	for _, m := range loaded.FindAllSubmatch(html, -1) {
		f, err := v.load(ctx, string(m[1]))
		if err != nil {
			return err
		}
		p.Cold, p.Plain, p.Packed = p.Cold+f.sent, p.Plain+f.plain, p.Packed+f.packed
	}
	var took []float64
	for range v.rounds {
		start := time.Now()
		if _, err := v.get(ctx, path, nil); err != nil {
			return err
		}
		took = append(took, float64(time.Since(start).Microseconds())/1000)
	}
	slices.Sort(took)
	p.Median, p.Tenth = took[len(took)/2], took[len(took)*9/10]
	r.Pages = append(r.Pages, p)
	return nil
}

// load is the weight of a file that a page loads.
func (v *visits) load(ctx context.Context, path string) (f file, err error) {
	if f, ok := v.files[path]; ok {
		return f, nil
	}
	plain, err := v.get(ctx, path, nil)
	if err != nil {
		return f, err
	}
	sent, err := v.get(ctx, path, http.Header{"Accept-Encoding": {"gzip"}})
	f = file{plain: len(plain), sent: len(sent), packed: min(len(sent), packed(plain))}
	v.files[path] = f
	return f, err
}

// packed is the size of b, compressed.
func packed(b []byte) int {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b) // into memory
	_ = z.Close()
	return out.Len()
}
