package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"countersign/internal/oath"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

const (
	radiusWait  = 3 * time.Second // for one answer
	radiusTries = 3
)

// SignIn is one sign-in of a demo's user over RADIUS, as a VPN gateway would do it:
// password first, then the code in the challenge. It prints what goes over the wire and
// both answers.
func SignIn(ctx context.Context, dataDir string, out io.Writer, now func() time.Time) error {
	d, err := ReadDemo(dataDir)
	if err != nil {
		return err
	}
	if len(d.RADIUS) == 0 {
		return fmt.Errorf("%s names no RADIUS address; start the demo once more", dataDir)
	}
	seed, err := oath.ParseSecret(secret.FromString(d.TOTPSecret))
	if err != nil {
		return err
	}
	token, err := oath.NewTOTP(seed, oath.DefaultAlgorithm, oath.DefaultDigits, oath.DefaultPeriod)
	if err != nil {
		return err
	}
	c, err := dialRADIUS(ctx, d.RADIUS[0], secret.FromString(d.Secret))
	if err != nil {
		return err
	}
	defer c.conn.Close()

	fmt.Fprintf(out, "> Access-Request  to %s  User-Name=%s  User-Password=%s\n", d.RADIUS[0], d.User, d.Password)
	first, err := c.ask(ctx, func(w *radius.Writer, auth [16]byte) error {
		return c.request(w, auth, d.User, d.Password)
	})
	if err != nil {
		return err
	}
	first.print(out)
	if first.code != radius.AccessChallenge {
		return fmt.Errorf("the server answered %s where a challenge was expected; see: countersign audit list --data %s", first.code, dataDir)
	}

	step, err := nextStep(ctx, d.LastStep, out, now)
	if err != nil {
		return err
	}
	d.LastStep = step
	if err := d.write(dataDir); err != nil {
		return err
	}
	code := token.HOTP(step)
	fmt.Fprintf(out, "> Access-Request  to %s  User-Name=%s  User-Password=%s  State=%x...\n", d.RADIUS[0], d.User, code, first.state[:min(4, len(first.state))])
	second, err := c.ask(ctx, func(w *radius.Writer, auth [16]byte) error {
		return errors.Join(c.request(w, auth, d.User, code), w.Add(radius.State, first.state))
	})
	if err != nil {
		return err
	}
	second.print(out)
	if second.code != radius.AccessAccept {
		return fmt.Errorf("the server answered %s; each code is good once: if another client has just used this one, run this again for the next; else see: countersign audit list --data %s", second.code, dataDir)
	}
	return nil
}

// nextStep returns a time step whose code was not used yet, and waits for one if need be:
// each code is good once, and the server takes those of the step before and after as well.
func nextStep(ctx context.Context, last uint64, out io.Writer, now func() time.Time) (uint64, error) {
	for {
		t := now()
		step := uint64(t.Unix()) / oath.DefaultPeriod
		if step > last {
			return step, nil
		}
		if last == step {
			return step + 1, nil // what a token whose clock is a little ahead would show
		}
		wait := time.Unix(int64(last)*oath.DefaultPeriod, 0).Sub(t)
		if last > step+10 {
			return step, nil // the clock was set back; the server decides
		}
		fmt.Fprintf(out, "  (each code is good once; waiting %d s for the next)\n", int(wait.Seconds())+1)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		case <-timer.C:
		}
	}
}

// radiusClient is one socket to one server.
type radiusClient struct {
	conn net.Conn
	key  *radius.Key
	id   byte
}

// answer is a verified reply.
type answer struct {
	code    radius.Code
	message string
	state   []byte
	signed  bool
}

func dialRADIUS(ctx context.Context, address string, s secret.Text) (*radiusClient, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return nil, fmt.Errorf("RADIUS server %s: %w", address, err)
	}
	return &radiusClient{conn: conn, key: radius.NewKey(s)}, nil
}

// request adds what every request of ours holds.
func (c *radiusClient) request(w *radius.Writer, auth [16]byte, user, password string) error {
	hidden, err := c.key.Hide(nil, []byte(password), auth)
	if err != nil {
		return err
	}
	return errors.Join(w.AddText(radius.UserName, user), w.Add(radius.UserPassword, hidden),
		w.AddText(radius.NASIdentifier, "countersign demo"))
}

// ask sends one request, again while no answer comes, and returns the verified answer.
func (c *radiusClient) ask(ctx context.Context, fill func(w *radius.Writer, auth [16]byte) error) (answer, error) {
	var auth [16]byte
	if _, err := rand.Read(auth[:]); err != nil {
		return answer{}, err
	}
	c.id++
	w := radius.NewRequest(make([]byte, 0, 4096), radius.AccessRequest, c.id, auth)
	if err := fill(&w, auth); err != nil {
		return answer{}, err
	}
	packet := w.SignRequest(c.key)
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 4096)
	var last error
	for range radiusTries {
		if _, err := c.conn.Write(packet); err != nil {
			return answer{}, fmt.Errorf("RADIUS server %s: %w", c.conn.RemoteAddr(), err)
		}
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(radiusWait))
		n, err := c.conn.Read(buf)
		if err != nil {
			last = err
			continue
		}
		p, err := radius.Parse(buf[:n])
		if err != nil || p.Identifier() != c.id {
			last = errors.Join(err, errors.New("an answer that is not to our request"))
			continue
		}
		a := answer{code: p.Code()}
		if a.signed, err = c.key.VerifyReply(p, auth); err != nil {
			return answer{}, fmt.Errorf("RADIUS server %s: the answer is not genuine: %w", c.conn.RemoteAddr(), err)
		}
		for t, v := range p.Attributes() {
			switch t {
			case radius.ReplyMessage:
				a.message += string(v)
			case radius.State:
				a.state = append([]byte(nil), v...)
			}
		}
		return a, nil
	}
	return answer{}, fmt.Errorf("RADIUS server %s did not answer: %w (is the demo running? countersign server --demo)", c.conn.RemoteAddr(), last)
}

// print shows the answer.
func (a answer) print(out io.Writer) {
	signed := "  (Message-Authenticator verified)"
	if !a.signed {
		signed = "  (no Message-Authenticator)"
	}
	fmt.Fprintf(out, "< %s", a.code)
	if a.message != "" {
		fmt.Fprintf(out, "  Reply-Message=%q", a.message)
	}
	fmt.Fprintln(out, signed)
}
