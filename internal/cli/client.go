package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	apiPrefix   = "/api/v1"
	callTimeout = 2 * time.Minute
	maxAnswer   = 256 << 20 // bytes of one document
)

// client speaks to one server.
type client struct {
	http   *http.Client
	base   string // URL without a slash at its end
	token  string
	target string // for errors
	socket bool
}

// dial finds the server that the flags and the environment name.
func (e *env) dial() (*client, error) {
	if e.client != nil {
		return e.client, nil
	}
	var err error
	if e.Globals.Server != "" {
		e.client, err = e.remote()
	} else {
		e.client, err = e.local()
	}
	return e.client, err
}

// local is the server on this machine, through its socket.
func (e *env) local() (*client, error) {
	dir, err := e.dataDir()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "admin.sock")
	return &client{
		http: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}},
		base: "http://countersign", target: socket, socket: true,
	}, nil
}

func (e *env) dataDir() (string, error) {
	env := e.Env("COUNTERSIGN_DATA")
	switch {
	case e.Data != "":
		return e.Data, nil
	case e.Config == "" && env != "":
		return env, nil
	case e.DataDir == nil:
		return "", usage("which server? Name its data folder with --data or COUNTERSIGN_DATA")
	}
	return e.DataDir(e.Config)
}

// remote is a server elsewhere. Its token goes nowhere but to that URL over TLS.
func (e *env) remote() (*client, error) {
	u, err := url.Parse(e.Globals.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, usage("--server %q: want https://HOST:PORT", e.Globals.Server)
	}
	token := e.Env("COUNTERSIGN_TOKEN")
	if e.TokenFile != "" {
		b, err := os.ReadFile(e.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		token = string(b)
	}
	if token = strings.TrimSpace(token); token == "" {
		return nil, usage("--server needs an API token in COUNTERSIGN_TOKEN or --token-file")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CAFile != "" {
		pem, err := os.ReadFile(e.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file %s: there is no PEM certificate in it", e.CAFile)
		}
	}
	return &client{
		http: &http.Client{
			Transport:     &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base: "https://" + u.Host, token: token, target: u.Host,
	}, nil
}

// path joins the parts of a path, each one escaped.
func path(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "/" + strings.Join(parts, "/")
}

// call sends in (nil: no body) as JSON and reads the answer into out (nil: dropped).
func (e *env) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body io.Reader
	kind := ""
	if in != nil {
		var err error
		if body, err = jsonBody(in); err != nil {
			return err
		}
		kind = "application/json"
	}
	answer, err := e.send(ctx, method, path, query, body, kind)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("the answer of %s breaks off or is not understood (is it the same version?): %w", e.client.target, err)
	}
	return nil
}

func jsonBody(v any) (io.Reader, error) {
	b, err := json.Marshal(v)
	return bytes.NewReader(b), err
}

// send returns the body of a good answer; the caller closes it.
func (e *env) send(ctx context.Context, method, path string, query url.Values, body io.Reader, kind string) (io.ReadCloser, error) {
	c, err := e.dial()
	if err != nil {
		return nil, err
	}
	target := c.base + apiPrefix + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if res.StatusCode/100 == 2 {
		return res.Body, nil
	}
	defer res.Body.Close()
	var problem struct {
		Detail string `json:"detail"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&problem); err != nil || problem.Detail == "" {
		return nil, fmt.Errorf("%s answered %s, which is not Countersign's way (is the address right?)", c.target, res.Status)
	}
	return nil, apiError{res.StatusCode, problem.Detail}
}

// apiError is what the server said.
type apiError struct {
	status int
	detail string
}

func (e apiError) Error() string { return e.detail }

// errNotRunning says that nobody listens on the socket.
var errNotRunning = errors.New("no server is running")

// unreachable says what to do when no answer came.
func (c *client) unreachable(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case c.socket && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)):
		return fmt.Errorf("cannot reach %s: %w with this data folder; start it (`countersign server --config FILE`, or `systemctl start countersign`), or name another folder with --config, --data or COUNTERSIGN_DATA", c.target, errNotRunning)
	case c.socket && errors.Is(err, os.ErrPermission):
		return fmt.Errorf("cannot open %s: permission denied; become root or the user that the server runs as, or use --server with an API token", c.target)
	case errors.As(err, &unknown):
		return fmt.Errorf("%s: its certificate is of an authority that is not known here; give the group's certificate with --ca-file", c.target)
	case errors.As(err, &name):
		return fmt.Errorf("%s: %w; use a name that the certificate holds", c.target, name)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer in time", c.target)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("cannot reach %s: %w", c.target, err)
}
