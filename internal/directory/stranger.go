package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// nameAttributes hold the names that people sign in with, in the usual schemas; those of
// user_filter come on top. Some are made by Active Directory only when asked for by name.
var nameAttributes = []string{"uid", "cn", "mail", "mailAlternateAddress", "sAMAccountName", "userPrincipalName",
	"msDS-PrincipalName", "proxyAddresses"}

// maxNames is how many names one entry may have. More are an error and not cut off: the
// one that is known here might be missing.
const maxNames = 200

// checkStranger is check for somebody who is unknown here.
func (p *pool) checkStranger(ctx context.Context, typed string, password secret.Text) (groups, names []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*p.timeout)
	defer cancel()
	if err := sendable(password); err != nil {
		return nil, nil, err
	}
	who, err := identify(typed)
	if err != nil {
		return nil, nil, err
	}
	e, err := p.proveStranger(ctx, who, password)
	if err == nil {
		groups, err = p.groups(e)
	}
	if err == nil {
		names, err = p.names(e)
	}
	if err != nil {
		return nil, nil, p.name(err)
	}
	return groups, names, nil
}

// proveStranger returns the entry of the one whose password it is. Where users bind with
// their own name, the server may know somebody under it whom the search does not find, so
// they have to bind as the entry that was found, too.
func (p *pool) proveStranger(ctx context.Context, who identity, password secret.Text) (e *ldap.Entry, err error) {
	if len(p.filter.equals) == 0 || p.filter.inexact {
		return nil, errors.New("people who are unknown here can be let in only if user_filter compares {login} and {user} for equality, " +
			"as in (|(uid={login})(mail={login})): otherwise their other names cannot be told (correct user_filter, or the application's unknown_users)")
	}
	attributes := slices.Clone(nameAttributes)
	for _, a := range p.filter.equals {
		attributes = append(attributes, a.attribute)
	}
	if p.GroupAttr != "" {
		attributes = append(attributes, p.GroupAttr)
	}
	find := func(ctx context.Context, s *server, c *conn) (err error) {
		e, err = p.find(ctx, s, c, who, attributes)
		return err
	}
	if p.direct() {
		name := p.bindName(who)
		err = p.do(ctx, asUser, func(ctx context.Context, s *server, c *conn) error {
			if err := p.bind(ctx, s, c, name, password); err != nil {
				return err
			}
			return asOurs(find(ctx, s, c), "names of %s: the password is right, but the search with user_filter below base_dn", name)
		})
	} else {
		err = p.do(ctx, asService, find)
	}
	if err != nil {
		return nil, err
	}
	return e, p.do(ctx, asUser, func(ctx context.Context, s *server, c *conn) error {
		return p.bind(ctx, s, c, e.DN, password)
	})
}

// names returns every name under which the one with this entry may be known: what its
// attributes and its DN say, without what user_filter puts around it, and short names
// with the domains that the entry and the settings name.
func (p *pool) names(e *ldap.Entry) ([]string, error) {
	var names, domains []string
	add := func(list *[]string, s string) {
		if s = strings.TrimSpace(s); s != "" && !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	add(&domains, p.UPNSuffix)
	rdn, domain := parts(e.DN)
	add(&domains, domain)
	if _, domain := parts("cn=x," + p.BaseDN); domain != "" {
		add(&domains, domain)
	}
	readable := false
	for _, a := range e.Attributes {
		attribute, _, _ := strings.Cut(a.Name, ";")
		compared := p.filter.around(attribute)
		if !slices.ContainsFunc(nameAttributes, func(n string) bool { return strings.EqualFold(n, attribute) }) && len(compared) == 0 {
			continue
		}
		if len(names)+len(a.Values) > maxNames {
			return nil, fmt.Errorf("%s has more than %d names, too many to see whether one of them is known here", printable(e.DN, 256), maxNames)
		}
		for _, v := range a.Values {
			add(&names, v)
			if _, address, ok := strings.Cut(v, ":"); ok { // smtp:alice@corp.example
				add(&names, address)
			}
			for _, as := range compared {
				readable = true
				add(&names, as.inside(v))
			}
		}
	}
	if !readable {
		return nil, fmt.Errorf("the names of %s cannot be read: bind_dn may search by the attributes of user_filter but not read them (give it the right to)",
			printable(e.DN, 256))
	}
	for _, v := range rdn {
		add(&names, v)
	}
	for _, n := range names {
		if _, domain, ok := strings.Cut(n, "@"); ok {
			add(&domains, domain)
		}
	}
	for _, n := range slices.Clone(names) {
		if strings.ContainsAny(n, `@\`) {
			continue
		}
		for _, d := range domains {
			names = append(names, n+"@"+d)
		}
	}
	return names, nil
}

// around returns the comparisons with an attribute.
func (f filter) around(attribute string) (all []assertion) {
	for _, a := range f.equals {
		compared, _, _ := strings.Cut(a.attribute, ";")
		if strings.EqualFold(compared, attribute) {
			all = append(all, a)
		}
	}
	return all
}

// inside returns v without what the filter puts around the name, or "" if v does not have
// that.
func (a assertion) inside(v string) string {
	if len(v) < len(a.before)+len(a.after) || !strings.EqualFold(v[:len(a.before)], a.before) || !strings.EqualFold(v[len(v)-len(a.after):], a.after) {
		return ""
	}
	return v[len(a.before) : len(v)-len(a.after)]
}

// parts returns the values of dn's first RDN, and "corp.example" of DC=corp,DC=example.
func parts(dn string) (rdn []string, domain string) {
	d, err := ldap.ParseDN(dn)
	if err != nil {
		return nil, ""
	}
	var dc []string
	for i, r := range d.RDNs {
		for _, a := range r.Attributes {
			if i == 0 {
				rdn = append(rdn, a.Value)
			}
			if strings.EqualFold(a.Type, "dc") && i > 0 {
				dc = append(dc, a.Value)
			}
		}
	}
	return rdn, strings.Join(dc, ".")
}

// nobodysName and nobodysPassword are what pretend binds with.
const (
	nobodysName     = "countersign-nobody"
	nobodysPassword = "no password of anybody"
)

// maxPretended is how many are asked for nobody's sake at once. Further ones are not: a flood
// of made-up names must leave the connections to those who are somebody.
const maxPretended = maxConns / 4

// pretend asks the directory what a check would, with a name and a password that are
// nobody's: whoever is unknown here is not guessed at.
func (p *pool) pretend(ctx context.Context, typed string, password secret.Text) {
	ctx, cancel := context.WithTimeout(ctx, 2*p.timeout)
	defer cancel()
	who, err := identify(typed)
	if err != nil || sendable(password) != nil {
		return
	}
	select {
	case p.pretending <- struct{}{}:
		defer func() { <-p.pretending }()
	default:
		return
	}
	name := "CN=" + nobodysName + "," + p.BaseDN
	if p.direct() {
		name = nobodysName + "@" + p.UPNSuffix
	} else if err := p.do(ctx, asService, func(ctx context.Context, s *server, c *conn) error {
		_, err := p.find(ctx, s, c, who, p.attributes())
		return err
	}); err != nil && !errors.Is(err, mfa.NotInDirectory) && !errors.Is(err, mfa.AmbiguousInDirectory) {
		return
	}
	_ = p.do(ctx, asUser, func(ctx context.Context, s *server, c *conn) error {
		return p.bind(ctx, s, c, name, secret.FromString(nobodysPassword))
	})
}
