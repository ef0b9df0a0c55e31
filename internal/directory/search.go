package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// maxGroups is how many groups a user may have. More are an error and not cut off: the
// one that a rule asks for might be missing.
const maxGroups = 1500

// check finds the user and binds as them.
func (p *pool) check(ctx context.Context, u mfa.User, password secret.Text) (groups []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*p.timeout)
	defer cancel()
	if err := sendable(password); err != nil {
		return nil, err
	}
	who, err := identify(u.Login)
	switch {
	case err != nil:
		err = fmt.Errorf("user %s: the registered login cannot be used (rename the user)", u.ID)
	case p.direct():
		groups, err = p.bindDirectly(ctx, who, password)
	default:
		groups, err = p.searchThenBind(ctx, who, password)
	}
	return groups, p.name(err)
}

// name says in err, if it is a fault of ours, which directory it is about.
func (p *pool) name(err error) error {
	var reason mfa.Reason
	if err == nil || errors.As(err, &reason) {
		return err
	}
	return fmt.Errorf("directory %q: %w", p.Name, err)
}

// sendable refuses what must not be sent to a directory; see the package's comment.
func sendable(password secret.Text) error {
	if err := checkLength(password); err != nil {
		return err
	}
	if bytes.IndexByte(password.Expose(), 0) >= 0 {
		return mfa.WrongPassword
	}
	return nil
}

// identity is the name under which the directory knows a user.
type identity struct {
	login string // registered: "alice", "alice@corp.example", `corp\alice`
	user  string // its part that names the user: "alice"
}

// identify returns mfa.InvalidLogin for what is no login.
func identify(name string) (identity, error) {
	n, err := login.Parse(name)
	if err != nil {
		return identity{}, err
	}
	return identity{login: n.String(), user: n.User()}, nil
}

func (p *pool) searchThenBind(ctx context.Context, who identity, password secret.Text) (groups []string, err error) {
	var e *ldap.Entry
	err = p.do(ctx, asService, func(ctx context.Context, s *server, c *conn) (err error) {
		e, err = p.find(ctx, s, c, who, p.attributes())
		return err
	})
	if err != nil {
		return nil, err
	}
	if groups, err = p.groups(e); err != nil {
		return nil, err
	}
	err = p.do(ctx, asUser, func(ctx context.Context, s *server, c *conn) error {
		return p.bind(ctx, s, c, e.DN, password)
	})
	if err != nil {
		return nil, err
	}
	return groups, nil
}

// bindDirectly binds with the user's own name, and lets the user look up their groups.
func (p *pool) bindDirectly(ctx context.Context, who identity, password secret.Text) (groups []string, err error) {
	name := p.bindName(who)
	err = p.do(ctx, asUser, func(ctx context.Context, s *server, c *conn) error {
		if err := p.bind(ctx, s, c, name, password); err != nil || p.GroupAttr == "" {
			return err
		}
		e, err := p.find(ctx, s, c, who, p.attributes())
		if err != nil {
			return asOurs(err, "groups of %s: the password is right, but the search with user_filter below base_dn", name)
		}
		groups, err = p.groups(e)
		return err
	})
	return groups, err
}

// bindName returns what a user binds with who is not searched for.
func (p *pool) bindName(who identity) string {
	if strings.ContainsAny(who.login, `@\`) {
		return who.login
	}
	return who.login + "@" + p.UPNSuffix
}

// asOurs makes a Reason of the search, after the user has proven who they are, a fault
// of our settings.
func asOurs(err error, format string, args ...any) error {
	var reason mfa.Reason
	if !errors.As(err, &reason) {
		return err
	}
	return fmt.Errorf(format+" says %s (check user_filter and base_dn)", append(args, reason.String())...)
}

// attributes are those that are asked for of a user's entry.
func (p *pool) attributes() []string {
	if p.GroupAttr == "" {
		return []string{"1.1"} // none (RFC 4511 section 4.5.1.8)
	}
	return []string{p.GroupAttr}
}

// find returns the one entry of a user, with these attributes.
func (p *pool) find(ctx context.Context, s *server, c *conn, who identity, attributes []string) (*ldap.Entry, error) {
	var found *ldap.SearchResult
	err := c.do(ctx, p.timeout, func(l *ldap.Conn) (err error) {
		found, err = l.Search(ldap.NewSearchRequest(p.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases,
			2, int((p.timeout+time.Second-1)/time.Second), false, p.filter.fill(who.login, who.user), attributes, nil))
		return err
	})
	what := fmt.Sprintf("search on %s below %s", s.url, p.BaseDN)
	if a, ok := answer(err); ok && a.code == ldap.LDAPResultSizeLimitExceeded {
		return nil, mfa.AmbiguousInDirectory
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%s)", what, err, searchAdvice(err))
	}
	// Continuation references (found.Referrals) are passed over: Active Directory adds
	// some to every search of a whole domain.
	switch n := len(found.Entries); {
	case n == 0:
		return nil, mfa.NotInDirectory
	case n > 1:
		return nil, mfa.AmbiguousInDirectory
	case found.Entries[0].DN == "":
		return nil, fmt.Errorf("%s: the entry found has no name", what) // binding as nobody would succeed
	}
	return found.Entries[0], nil
}

// bind binds as a user.
func (p *pool) bind(ctx context.Context, s *server, c *conn, name string, password secret.Text) error {
	err := c.do(ctx, p.timeout, func(l *ldap.Conn) error { return l.Bind(name, string(password.Expose())) })
	if err == nil {
		return nil
	}
	if a, ok := answer(err); ok && a.code == ldap.LDAPResultInvalidCredentials {
		return credentialsReason(a.diagnostic)
	}
	return fmt.Errorf("bind to %s as %s: %w (%s)", s.url, printable(name, 256), err, bindAdvice(err))
}

// groups returns the values of group_attribute, and for those that are DNs, their first
// CN besides.
func (p *pool) groups(e *ldap.Entry) ([]string, error) {
	if p.GroupAttr == "" {
		return nil, nil
	}
	var groups []string
	for _, a := range e.Attributes {
		name, options, _ := strings.Cut(a.Name, ";")
		if !strings.EqualFold(name, p.GroupAttr) {
			continue
		}
		if len(a.Values) > maxGroups || strings.HasPrefix(strings.ToLower(options), "range=") {
			return nil, fmt.Errorf("%s has more than %d values of %s (name another group_attribute)", e.DN, maxGroups, p.GroupAttr)
		}
		for _, v := range a.Values {
			groups = append(groups, v)
			if cn := shortName(v); cn != "" {
				groups = append(groups, cn)
			}
		}
	}
	return groups, nil
}

// shortName returns "vpn" for "CN=vpn,OU=groups,DC=corp,DC=example", "" for no such DN.
func shortName(s string) string {
	dn, err := ldap.ParseDN(s)
	if err != nil || len(dn.RDNs) < 2 {
		return ""
	}
	for _, a := range dn.RDNs[0].Attributes {
		if strings.EqualFold(a.Type, "cn") {
			return a.Value
		}
	}
	return ""
}
