package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/login"
)

const (
	memberPage = 500     // entries in one answer
	maxMembers = 200_000 // of one group
	memberTime = 2 * time.Minute
)

// Members are the people in a group, by the names that user_filter finds them with.
type Members struct {
	logins, users map[string]struct{} // normalised: what {login} and {user} are compared with
	count         int
}

// Len is how many there are.
func (m Members) Len() int { return m.count }

// Include reports whether user_filter, filled in with that registered login, finds one of them.
func (m Members) Include(registered string) bool {
	who, err := identify(registered)
	if err != nil {
		return false
	}
	_, byLogin := m.logins[who.login]
	_, byUser := m.users[who.user]
	return byLogin || byUser
}

// Members asks the directory of that name who is in a group: whose group_attribute has that
// value. It asks with the service account, page by page, and knows the people by the attributes
// that user_filter compares names with.
func (c *Checker) Members(ctx context.Context, directory, group string) (Members, error) {
	p, err := c.find(directory)
	if err != nil {
		return Members{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	m, err := p.members(ctx, group)
	if err != nil {
		return Members{}, fmt.Errorf("directory %q: members of %s: %w", directory, printable(group, 400), err)
	}
	return m, nil
}

func (p *pool) members(ctx context.Context, group string) (m Members, err error) {
	switch {
	case p.direct():
		return m, errors.New("without bind_dn nobody can be asked for but those who sign in (set bind_dn and bind_password)")
	case p.GroupAttr == "":
		return m, errors.New("group_attribute is not set (memberOf in Active Directory)")
	case len(p.filter.equals) == 0 || p.filter.inexact:
		return m, errors.New("user_filter must compare {login} and {user} for equality, as in (|(uid={login})(mail={login})): otherwise entries cannot be told to be users (correct user_filter)")
	}
	filter := "(&(" + p.GroupAttr + "=" + ldap.EscapeFilter(group) + ")" + p.filter.any() + ")"
	err = p.do(ctx, asService, func(ctx context.Context, s *server, c *conn) error {
		m = Members{logins: map[string]struct{}{}, users: map[string]struct{}{}}
		page := ldap.NewControlPaging(memberPage)
		for {
			found, err := p.memberPage(ctx, s, c, filter, page)
			if err != nil {
				return err
			}
			if m.count += len(found.Entries); m.count > maxMembers {
				return fmt.Errorf("more than %d (name a smaller group)", maxMembers)
			}
			for _, e := range found.Entries {
				p.note(m, e)
			}
			next, ok := ldap.FindControl(found.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			if !ok || len(next.Cookie) == 0 {
				return nil
			}
			page.SetCookie(next.Cookie)
		}
	})
	return m, err
}

func (p *pool) memberPage(ctx context.Context, s *server, c *conn, filter string, page ldap.Control) (found *ldap.SearchResult, err error) {
	var attributes []string
	for _, a := range p.filter.equals {
		attributes = append(attributes, a.attribute)
	}
	err = c.do(ctx, p.timeout, func(l *ldap.Conn) (err error) {
		found, err = l.Search(ldap.NewSearchRequest(p.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0,
			int((p.timeout+time.Second-1)/time.Second), false, filter, attributes, []ldap.Control{page}))
		return err
	})
	if a, ok := answer(err); ok && a.code == ldap.LDAPResultSizeLimitExceeded {
		return nil, fmt.Errorf("search on %s below %s: %w (the directory hands bind_dn so many entries and no more: raise that limit, in OpenLDAP `limits dn.exact=\"%s\" size.prtotal=unlimited`)", s.url, p.BaseDN, err, p.BindDN)
	}
	if err != nil {
		return nil, fmt.Errorf("search on %s below %s: %w (%s)", s.url, p.BaseDN, err, searchAdvice(err))
	}
	return found, nil
}

// note adds the names of one entry. One that no login can be passes: nobody has it here.
func (p *pool) note(m Members, e *ldap.Entry) {
	for _, a := range e.Attributes {
		attribute, _, _ := strings.Cut(a.Name, ";")
		for _, compared := range p.filter.around(attribute) {
			for _, v := range a.Values {
				n, err := login.Parse(compared.inside(v))
				switch {
				case err != nil:
				case compared.user:
					m.users[n.String()] = struct{}{}
				default:
					m.logins[n.String()] = struct{}{}
				}
			}
		}
	}
}
