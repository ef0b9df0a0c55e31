package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"

	mail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"countersign/internal/mfa"
)

// mailer speaks SMTP (RFC 5321) with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314).
type mailer struct{ now func() time.Time }

func (mailer) close() {}

func (m mailer) send(ctx context.Context, g mfa.Gateway, msg Message) (Receipt, error) {
	letter, err := m.letter(g, msg)
	if err != nil {
		return Receipt{}, err
	}
	ref := ""
	err = m.session(ctx, g, func(c *mail.Client, s *smtp.Client) error {
		if err := c.SendWithSMTPClient(s, letter); err != nil {
			return notSent(letter, err)
		}
		ref = letter.GetMessageID()
		return nil
	})
	return Receipt{Ref: ref}, err
}

// letter makes the mail. Whatever could end a header line is refused by the parts it is made of.
func (m mailer) letter(g mfa.Gateway, msg Message) (*mail.Msg, error) {
	l := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := l.From(g.From); err != nil {
		return nil, fmt.Errorf("%w: sender %q: %w", mfa.GatewayRefused, g.From, err)
	}
	if err := l.To(msg.To); err != nil {
		return nil, fmt.Errorf("%w: the address is none", mfa.RecipientRefused)
	}
	l.Subject(strings.Join(strings.Fields(msg.Subject), " "))
	l.SetDateWithValue(m.now())
	l.SetMessageID()
	l.SetGenHeader("Auto-Submitted", "auto-generated")             // RFC 3834: nobody's absence is to be told to us
	l.SetGenHeader("X-Auto-Response-Suppress", "All")              // the same to Exchange
	l.SetBodyString(mail.TypeTextPlain, string(msg.Text.Expose())) // a copy that go-mail keeps until it is sent
	return l, nil
}

// session connects, secures and authenticates, as g says, and ends the connection in any case.
func (m mailer) session(ctx context.Context, g mfa.Gateway, do func(*mail.Client, *smtp.Client) error) error {
	host, portText, err := net.SplitHostPort(g.Address)
	if err != nil {
		return fmt.Errorf("%w: address %q: %w", mfa.GatewayRefused, g.Address, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("%w: address %q: %w", mfa.GatewayRefused, g.Address, err)
	}
	config, err := tlsConfig(g, host, m.now)
	if err != nil {
		return err
	}
	left := tryTimeout
	if end, ok := ctx.Deadline(); ok {
		left = max(time.Until(end), time.Millisecond)
	}
	var conn net.Conn
	stop := func() bool { return true }
	connect := func(dialing context.Context, network, address string) (net.Conn, error) {
		c, err := dial(dialing, g, network, address, config)
		if conn = c; err == nil { // the deadline is kept by the library, a caller that gives up is not
			stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		}
		return c, err
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTLSConfig(config), mail.WithTimeout(left), mail.WithDialContextFunc(connect)}
	switch g.TLS {
	case mfa.GatewayTLS:
		options = append(options, mail.WithSSL())
	case mfa.GatewayPlain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if g.Login != "" {
		safe := []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthCramMD5}
		if g.TLS != mfa.GatewayPlain {
			safe = []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5}
		}
		options = append(options, mail.WithOpportunisticSMTPAuth(safe...), mail.WithUsername(g.Login), mail.WithPassword(string(g.Password.Expose())))
	}
	c, err := mail.NewClient(host, options...)
	if err != nil {
		return fmt.Errorf("%w: %w", mfa.GatewayRefused, err)
	}
	defer func() {
		stop()
		if conn != nil {
			_ = conn.Close() // the library leaves it open when the session does not come about
		}
	}()
	s, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return notOpened(g, err)
	}
	defer func() { _ = c.CloseWithSMTPClient(s) }()
	return do(c, s)
}

// dial connects, with TLS from the first byte if g says so.
func dial(ctx context.Context, g mfa.Gateway, network, address string, config *tls.Config) (net.Conn, error) {
	if g.TLS == mfa.GatewayTLS {
		c, err := (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err // not a nil *tls.Conn in an interface
		}
		return c, nil
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// tlsConfig checks the gateway's certificate against its own authorities or the system's.
func tlsConfig(g mfa.Gateway, host string, now func() time.Time) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, Time: now}
	if g.CAs != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(g.CAs)) {
			return nil, fmt.Errorf("%w: ca_pem holds no certificate", mfa.GatewayRefused)
		}
	}
	return c, nil
}

// notOpened judges why there is no session.
func notOpened(g mfa.Gateway, err error) error {
	var answer *textproto.Error
	switch text := err.Error(); {
	case errors.As(err, &answer) && forNow(answer.Code, answer.Msg) != mfa.ReasonNone:
		return fmt.Errorf("%w: %s: %w", forNow(answer.Code, answer.Msg), g.Address, err)
	case errors.As(err, &answer) && answer.Code/100 == 5:
		return fmt.Errorf("%w: %s: %w", mfa.GatewayRefused, g.Address, err)
	case strings.Contains(text, "STARTTLS"):
		return fmt.Errorf("%w: %s offers no STARTTLS, so nothing is sent (set tls to tls or none if that is meant): %w", mfa.GatewayRefused, g.Address, err)
	case strings.Contains(strings.ToLower(text), "smtp auth"):
		return fmt.Errorf("%w: %s takes no login of a kind that is safe over this connection: %w", mfa.GatewayRefused, g.Address, err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %s closed the connection", mfa.GatewayDown, g.Address)
	}
	return fmt.Errorf("%s: %w", g.Address, err)
}

// notSent judges why the server did not take the mail.
func notSent(l *mail.Msg, err error) error {
	var e *mail.SendError
	if l.HasSendError() && errors.As(l.SendError(), &e) || errors.As(err, &e) {
		switch {
		case e.Reason == mail.ErrSMTPRcptTo && e.ErrorCode()/100 == 5:
			return fmt.Errorf("%w: the server answered %d to the address", mfa.RecipientRefused, e.ErrorCode()) // its text has the address in it
		case e.Reason != mail.ErrSMTPRcptTo && forNow(e.ErrorCode(), e.Error()) != mfa.ReasonNone:
			return fmt.Errorf("%w: the server answered %d, for now, to %s", forNow(e.ErrorCode(), e.Error()), e.ErrorCode(), e.Reason)
		case e.ErrorCode()/100 == 4:
			return fmt.Errorf("%w: the server answered %d, for now, to %s", mfa.GatewayRefused, e.ErrorCode(), e.Reason)
		case e.ErrorCode()/100 == 5:
			return fmt.Errorf("%w: the server answered %d to %s", mfa.GatewayRefused, e.ErrorCode(), e.Reason)
		}
	}
	return err
}

// forNow tells what an answer of SMTP means that is about how much we send; mfa.ReasonNone: it is not.
// RFC 3463 has x.7.x for the server's policy, which with a 4 is that we go on too fast. There is no
// code for an account that is used up: what the great providers say is told by its words.
func forNow(code int, said string) mfa.Reason {
	said = strings.ToLower(said)
	switch {
	case code/100 != 4 && code/100 != 5:
	case strings.Contains(said, "credits exceeded"), strings.Contains(said, "message quota exceeded"):
		return mfa.GatewayNoCredit
	case code/100 == 4 && tooFast.MatchString(said):
		return mfa.GatewaySlow
	}
	return mfa.ReasonNone
}

var tooFast = regexp.MustCompile(`\b4\.7\.[0-9]|throttl|rate limit|too many`)
