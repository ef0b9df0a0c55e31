package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// tokenList is what the page of API tokens shows: the form of a new one, and those there are.
type tokenList struct {
	Tokens       []apiToken
	Name         string
	Application  string
	Days         string
	Scopes       []scopeBox
	Applications []string // of kind api
	Made         string   // the token, once
	MadeName     string
}

// apiToken is one token.
type apiToken struct {
	admin.APIToken
	Over bool // it has expired
}

// scopeBox is one scope that a token can have.
type scopeBox struct {
	Name string
	Has  bool
}

func tokensPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return c.showTokens(w, r, v, http.StatusOK, tokenList{Days: "90"}, nil, "")
}

func (c *Console) showTokens(w http.ResponseWriter, r *http.Request, v *visitor, status int, l tokenList, scopes []string, said string) error {
	all, err := c.desk(v).ListAPITokens(r.Context())
	if err != nil {
		return err
	}
	for _, t := range all.APITokens {
		l.Tokens = append(l.Tokens, apiToken{t, t.Expires != nil && !c.Now().Before(*t.Expires)})
	}
	for _, s := range admin.Scopes() {
		l.Scopes = append(l.Scopes, scopeBox{s, slices.Contains(scopes, s)})
	}
	apps, err := c.desk(v).ListApplications(r.Context())
	if err != nil {
		return err
	}
	for _, a := range apps.Applications {
		if a.Kind == mfa.KindAPI {
			l.Applications = append(l.Applications, a.Name)
		}
	}
	c.show(w, r, status, "tokens", view{Nav: "settings", Sub: "tokens", Who: v, Data: l, Error: said})
	return nil
}

const day = 24 * time.Hour

func createToken(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	l := tokenList{Name: get("name"), Application: get("application"), Days: get("days")}
	scopes := r.PostForm["scope"]
	q := admin.APITokenRequest{Name: l.Name, Scopes: scopes}
	if slices.Contains(scopes, admin.ScopeAuthenticate) { // of others the choice means nothing
		q.Application = l.Application
	}
	days, err := strconv.ParseInt(l.Days, 10, 16)
	if err != nil || days < 1 {
		err = c.noNumber(r, "token.days", l.Days)
	}
	q.Seconds = days * int64(day/time.Second)
	var made admin.APIToken
	if err == nil {
		made, err = c.desk(v).CreateAPIToken(r.Context(), q)
	}
	if mistake(err) {
		return c.showTokens(w, r, v, web.StatusOf(err), l, scopes, err.Error())
	} else if err != nil {
		return err
	}
	return c.showTokens(w, r, v, http.StatusOK, tokenList{Days: "90", MadeName: made.Name, Made: string(made.Token.Expose())}, nil, "")
}

func revokeToken(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	if err := c.desk(v).RevokeAPIToken(r.Context(), r.PostFormValue("id")); err != nil {
		return err
	}
	done(w, r, "/tokens", "done.revoked")
	return nil
}
