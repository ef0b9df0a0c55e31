package directory

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// fake is an LDAP server that does what a test tells it: answer is called for each
// request and returns the bytes to send, and whether to close the connection after them.
type fake struct {
	url    string
	binds  atomic.Int64 // requests seen
	finds  atomic.Int64
	conns  atomic.Int64
	mu     sync.Mutex
	answer func(r request) (send []byte, hangUp bool)
}

type request struct {
	id       int64
	op       ber.Tag // ldap.ApplicationBindRequest, ...
	name     string  // bind: the DN
	password string  // bind
}

func newFake(t *testing.T, answer func(r request) ([]byte, bool)) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{url: "ldap://" + l.Addr().String(), answer: answer}
	var all sync.WaitGroup
	stop := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		close(stop)
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.conns.Add(1)
			all.Go(func() {
				ended := make(chan struct{})
				defer close(ended)
				all.Go(func() {
					select {
					case <-stop:
					case <-ended:
					}
					_ = c.Close()
				})
				f.serve(c)
			})
		}
	})
	return f
}

func (f *fake) serve(c net.Conn) {
	for {
		p, err := ber.ReadPacket(c)
		if err != nil || len(p.Children) < 2 {
			return
		}
		op := p.Children[1]
		r := request{id: p.Children[0].Value.(int64), op: op.Tag}
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			f.binds.Add(1)
			r.name, r.password = op.Children[1].Value.(string), op.Children[2].Data.String()
		case ldap.ApplicationSearchRequest:
			f.finds.Add(1)
		}
		f.mu.Lock()
		send, hangUp := f.answer(r)
		f.mu.Unlock()
		if _, err := c.Write(send); err != nil || hangUp {
			return
		}
	}
}

// set changes what f does.
func (f *fake) set(answer func(r request) ([]byte, bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func message(id int64, op *ber.Packet) []byte {
	p := ber.NewSequence("LDAP Response")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, "MessageID"))
	p.AppendChild(op)
	return p.Bytes()
}

// result is an answer to r with a code, whatever was asked.
func result(r request, code int64, diagnostic string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, r.op+1, nil, "response")
	if r.op == ldap.ApplicationSearchRequest {
		op.Tag, op.Identifier.Tag = ldap.ApplicationSearchResultDone, ldap.ApplicationSearchResultDone
	}
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, "code"))
	op.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", "matched"))
	op.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, diagnostic, "diagnostic"))
	if code == ldap.LDAPResultReferral {
		ref := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "referral")
		ref.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "ldap://elsewhere.example/", "uri"))
		op.AppendChild(ref)
	}
	return message(r.id, op)
}

func entry(r request, dn string, groups ...string) []byte {
	if len(groups) == 0 {
		return entryWith(r, dn, nil)
	}
	return entryWith(r, dn, map[string][]string{"memberOf": groups})
}

// entryWith is an entry with any attributes.
func entryWith(r request, dn string, attributes map[string][]string) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "entry")
	op.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, dn, "dn"))
	list := ber.NewSequence("attributes")
	for name, all := range attributes {
		a := ber.NewSequence("attribute")
		a.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, name, "type"))
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "values")
		for _, g := range all {
			values.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, g, "value"))
		}
		a.AppendChild(values)
		list.AppendChild(a)
	}
	op.AppendChild(list)
	return message(r.id, op)
}

// reference is a continuation of a search elsewhere, as Active Directory adds it.
func reference(r request) []byte {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "reference")
	op.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "ldap://ForestDnsZones.corp.example/", "uri"))
	return message(r.id, op)
}

// wellBehaved is a directory with one user, CN=Alice, whose password is "r1ght".
func wellBehaved(r request) ([]byte, bool) {
	switch {
	case r.op == ldap.ApplicationSearchRequest:
		return append(entry(r, "CN=Alice,DC=corp", "CN=vpn,OU=groups,DC=corp"), result(r, 0, "")...), false
	case r.op == ldap.ApplicationBindRequest && (r.name == "CN=service" && r.password == "service-secret" || r.name == "CN=Alice,DC=corp" && r.password == "r1ght"):
		return result(r, 0, ""), false
	case r.op == ldap.ApplicationBindRequest:
		return result(r, ldap.LDAPResultInvalidCredentials, ""), false
	}
	return nil, true
}

// hangs never answers.
func hangs(request) ([]byte, bool) { return nil, false }

// drops closes the connection instead of an answer.
func drops(request) ([]byte, bool) { return nil, true }

// corp is a directory on these servers.
func corp(urls ...string) mfa.Directory {
	return mfa.Directory{Name: "corp", Kind: "ldap", URLs: urls, BindDN: "CN=service", BindPassword: secret.FromString("service-secret"),
		BaseDN: "DC=corp", UserFilter: "(uid={login})", GroupAttr: "memberOf"}
}

// one is a group with one directory, which can be changed.
type one struct {
	mu sync.Mutex
	d  mfa.Directory
}

func (o *one) Directory(name string) (mfa.Directory, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if name != o.d.Name {
		return mfa.Directory{}, mfa.ErrNotFound
	}
	return o.d, nil
}

func (o *one) set(d mfa.Directory) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.d = d
}

// serveTLS accepts TLS connections until the test ends, and returns its address.
func serveTLS(t *testing.T, cert, key string) string {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}
