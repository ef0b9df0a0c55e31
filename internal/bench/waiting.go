package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"countersign/internal/device"
)

// WaitingOptions say how sign-ins that wait for their users are measured. All fields must be set.
type WaitingOptions struct {
	Binary  string
	Dir     string        // empty, on the disk to be measured
	Waiting int           // sign-ins, each of another user with a device of theirs
	Rest    time.Duration // for which processor time is looked at before and while they wait
	Log     *slog.Logger
}

// Waiting is what one run measured. Its JSON form is stable.
type Waiting struct {
	Environment Environment `json:"environment"`
	Waiting     int         `json:"waiting"`
	Activated   float64     `json:"activated_per_second"` // devices, by their own calls over TLS
	Asked       float64     `json:"asked_per_second"`     // requests, until the last was kept and its user asked
	Before      Footprint   `json:"before"`               // with all users and devices, and nobody waiting
	While       Footprint   `json:"while"`
	Each        int64       `json:"bytes_each"` // resident memory for each that waits
}

// Footprint is what a server takes while nothing happens.
type Footprint struct {
	RSS        int64   `json:"rss_bytes"`
	Stack      int64   `json:"stack_bytes"` // in use
	Goroutines int     `json:"goroutines"`
	CPU        float64 `json:"cpu"` // processors: 0.01 is a hundredth of one
}

// WriteTable prints it.
func (r *Waiting) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d processors, load %.1f before; %d sign-ins wait, asked %.0f/s; devices activated %.0f/s\n\n",
		r.Environment.CPU, r.Environment.Cores, r.Environment.Load, r.Waiting, r.Asked, r.Activated)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tRSS MB\tSTACKS MB\tGOROUTINES\tPROCESSORS")
	for _, row := range []struct {
		name string
		f    Footprint
	}{{"nobody waits", r.Before}, {"all wait", r.While}} {
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%d\t%.3f\n", row.name, mB(row.f.RSS), mB(row.f.Stack), row.f.Goroutines, row.f.CPU)
	}
	fmt.Fprintf(t, "each that waits\t%.1f kB\n", float64(r.Each)/1000)
	return t.Flush()
}

func mB(bytes int64) float64 { return float64(bytes) / 1e6 }

const waitingConf = `name: bench
data_dir: %[1]s/data
listen:
  https: "%[4]s"
  radius: ["%[2]s"]
  metrics: "%[3]s"
log: {level: warn}
`

// RunWaiting founds a server whose users have a device each, has one sign-in of each wait for
// its user at once, and looks at what the server's process takes.
func RunWaiting(ctx context.Context, o WaitingOptions) (r *Waiting, err error) {
	r = &Waiting{Environment: environment(ctx, o.Dir), Waiting: o.Waiting}
	in, err := found(ctx, o.Binary, o.Dir, waitingConf)
	if err != nil {
		return nil, err
	}
	server, _, err := in.serve(ctx, in.alive)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	p := population(o.Waiting)
	if _, err := in.importUsers(ctx, p); err != nil {
		return nil, err
	}
	if err := in.do(ctx, "", "policy", "set", "wait_seconds=300"); err != nil {
		return nil, err
	}
	if err := in.do(ctx, sharedSecret, "application", "add", "bench", "--kind", "radius", "--address", "127.0.0.0/8", "--secret-stdin",
		"--first-factor", "none", "--methods", "push", "--waiting", "inside", "--rate", "1000000"); err != nil {
		return nil, err
	}
	o.Log.Info("activating", "devices", o.Waiting)
	start := time.Now()
	if err := (&activations{dir: o.Dir, https: in.https}).all(ctx, p); err != nil {
		return nil, err
	}
	r.Activated = float64(o.Waiting) / time.Since(start).Seconds()
	if err := server.stop(); err != nil { // what it took to get here is not what waiting takes
		return nil, err
	}
	if server, _, err = in.serve(ctx, in.answers); err != nil {
		return nil, err
	}
	if r.Before, err = in.footprint(ctx, server, o.Rest); err != nil {
		return nil, err
	}
	o.Log.Info("asking", "users", o.Waiting)
	w, err := in.ask(ctx, server, p, r.Before)
	if err != nil {
		return nil, err
	}
	defer w.close()
	r.Asked = float64(o.Waiting) / w.took.Seconds()
	if r.While, err = in.footprint(ctx, server, o.Rest); err != nil {
		return nil, err
	}
	r.Each = (r.While.RSS - r.Before.RSS) / int64(o.Waiting)
	return r, w.silent()
}

// footprint looks at a server for a while in which nothing happens.
func (in *installation) footprint(ctx context.Context, server *process, rest time.Duration) (f Footprint, err error) {
	before, start := server.cpu(), time.Now()
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return f, ctx.Err()
	}
	f.CPU = (server.cpu() - before).Seconds() / time.Since(start).Seconds()
	f.RSS = server.rss()
	v, err := in.scrape(ctx, "go_memstats_stack_inuse_bytes", "go_goroutines")
	if err != nil {
		return f, err
	}
	f.Stack, f.Goroutines = int64(v[0]), int(v[1])
	return f, nil
}

// activations makes a device of each user's, as an administrator's code and the device's own
// call do.
type activations struct {
	dir   string
	https netip.AddrPort
	admin *http.Client
}

const (
	atOnce     = 32 // activations
	perAddress = 20 // activations, which is less than the server lets one address make at once
)

func (a *activations) all(ctx context.Context, p population) error {
	a.admin = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(a.dir, "data", "admin.sock"))
	}}}
	defer a.admin.CloseIdleConnections()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var working sync.WaitGroup
	parts := make(chan int)
	for range atOnce {
		working.Go(func() {
			for n := range parts {
				if err := a.part(ctx, p, n); err != nil {
					fail(err)
				}
			}
		})
	}
	for n := range (int(p) + perAddress - 1) / perAddress {
		select {
		case parts <- n:
		case <-ctx.Done():
		}
	}
	close(parts)
	working.Wait()
	return context.Cause(ctx)
}

// part makes the devices of the nth users, from an address of their own.
func (a *activations) part(ctx context.Context, p population, n int) error {
	from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))} //nolint:gosec // small
	phone := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: from}).DialContext,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // our own server on loopback
	defer phone.CloseIdleConnections()
	for user := n * perAddress; user < min((n+1)*perAddress, int(p)); user++ {
		if err := a.one(ctx, phone, p.login(user)); err != nil {
			return fmt.Errorf("device of %s: %w", p.login(user), err)
		}
	}
	return nil
}

// one makes a device of one user's.
func (a *activations) one(ctx context.Context, phone *http.Client, login string) error {
	var made struct {
		Code string `json:"activation_code"`
	}
	if err := call(ctx, a.admin, "http://bench/api/v1/users/"+login+"/credentials", map[string]string{"method": "push"}, &made); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return err
	}
	digest := sha256.Sum256(device.Activation(made.Code))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return err
	}
	var proof [64]byte
	r.FillBytes(proof[:32])
	s.FillBytes(proof[32:])
	return call(ctx, phone, "https://"+a.https.String()+"/authenticator/api/activate", map[string]string{"code": made.Code, "name": "Phone",
		"public_key": base64.RawURLEncoding.EncodeToString(public), "proof": base64.RawURLEncoding.EncodeToString(proof[:])}, nil)
}

// call posts JSON and reads what comes of it.
func call(ctx context.Context, c *http.Client, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := c.Do(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	switch {
	case err != nil:
		return err
	case a.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%s: %.300s", a.Status, b)
	case out == nil:
		return nil
	}
	return json.Unmarshal(b, out)
}

// waiters are requests that nobody answers yet.
type waiters struct {
	flows   []flow
	answers atomic.Int64
	took    time.Duration // until all waited
}

const (
	perFlow = 256 // identifiers of one source port
	look    = 500 * time.Millisecond
	calm    = 0.3                    // processors more than before, of a server that has kept and asked what there is
	slack   = 50                     // goroutines that the server had before by chance
	pace    = 500 * time.Microsecond // between two requests: nobody's buffers are to be measured
)

// ask sends one request of each user and returns when all of them wait: each has a goroutine of
// its own at the server, and that is about as calm as it was before.
func (in *installation) ask(ctx context.Context, server *process, p population, before Footprint) (w *waiters, err error) {
	w = &waiters{}
	d, start := radiusDialect(p, true), time.Now()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for user := range int(p) {
		if user%perFlow == 0 {
			f, err := dial(in.radius)
			if err != nil {
				return nil, err
			}
			w.flows = append(w.flows, f)
			go w.listen(f)
		}
		r, err := d.prepare(passcode{user: user}, byte(user%perFlow)) //nolint:gosec // small
		if err != nil {
			return nil, err
		}
		if _, err := w.flows[len(w.flows)-1].conn.Write(r.packet); err != nil {
			return nil, err
		}
		<-tick.C
	}
	var held int
	for {
		w.took = time.Since(start)
		now, err := in.footprint(ctx, server, look)
		if err != nil {
			return nil, err
		}
		if held = now.Goroutines - before.Goroutines; held+slack >= int(p) && now.CPU < before.CPU+calm {
			return w, w.silent()
		}
		if time.Since(start) > 2*time.Minute {
			return nil, fmt.Errorf("after two minutes %d of %d requests wait, with %.2f processors in use; %d were answered", held, int(p), now.CPU, w.answers.Load())
		}
	}
}

// listen counts answers: there are none while all wait.
func (w *waiters) listen(f flow) {
	var b [4096]byte
	for {
		if _, err := f.conn.Read(b[:]); err != nil {
			return
		}
		w.answers.Add(1)
	}
}

// silent reports whether all of them still wait.
func (w *waiters) silent() error {
	if n := w.answers.Load(); n > 0 {
		return fmt.Errorf("%d of the requests that were to wait have been answered", n)
	}
	return nil
}

func (w *waiters) close() {
	for _, f := range w.flows {
		_ = f.conn.Close()
	}
}
