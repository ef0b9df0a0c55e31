package mfatest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// MailServer is an SMTP server that can be told how to fail, which a real one cannot. It speaks without TLS.
type MailServer struct {
	Address string
	mu      sync.Mutex
	manner  MailManner
	letters []string
}

// MailManner is how a MailServer behaves. The zero value takes every mail; a text is the whole answer
// to one command.
type MailManner struct {
	Silent   bool // it accepts connections and says nothing
	Greeting string
	Auth     string // to a login
	Mail     string // to MAIL FROM
	Rcpt     string
	Data     string // to the end of the text
	Forget   bool   // it takes everything and delivers nothing
}

// NewMailServer starts one.
func NewMailServer(t testing.TB) *MailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &MailServer{Address: l.Addr().String()}
	var open sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); open.Wait() })
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { s.serve(c) })
		}
	})
	return s
}

// Set changes how it behaves from the next connection on.
func (s *MailServer) Set(m MailManner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manner = m
}

// Letters returns what it has taken, headers and text of each.
func (s *MailServer) Letters() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.letters...)
}

// serve has one conversation (RFC 5321), with a login by CRAM-MD5 that any password is right for.
func (s *MailServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	s.mu.Lock()
	m := s.manner
	s.mu.Unlock()
	lines := bufio.NewScanner(c)
	say := func(told, otherwise string) {
		if told == "" {
			told = otherwise
		}
		_, _ = fmt.Fprintf(c, "%s\r\n", told)
	}
	if m.Silent {
		lines.Scan() // until the other side has had enough
		return
	}
	say(m.Greeting, "220 mail.test.example ESMTP")
	for lines.Scan() {
		switch verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " "); verb {
		case "EHLO":
			say("", "250-mail.test.example\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH CRAM-MD5")
		case "AUTH":
			say("", "334 PDFAdGVzdD4=")
			lines.Scan()
			say(m.Auth, "235 2.7.0 welcome")
		case "MAIL":
			say(m.Mail, "250 2.1.0 go on")
		case "RCPT":
			say(m.Rcpt, "250 2.1.5 go on")
		case "DATA":
			say("", "354 go on")
			s.keep(letter(lines), m)
			say(m.Data, "250 2.0.0 taken")
		case "QUIT":
			say("", "221 2.0.0 bye")
			return
		default:
			say("", "250 2.0.0 fine")
		}
	}
}

func letter(lines *bufio.Scanner) string {
	var b strings.Builder
	for lines.Scan() && lines.Text() != "." {
		b.WriteString(lines.Text() + "\n")
	}
	return b.String()
}

func (s *MailServer) keep(letter string, m MailManner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Data == "" && !m.Forget {
		s.letters = append(s.letters, letter)
	}
}
