package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// tokenPrefix makes our tokens known to people and to scanners for leaked secrets.
const tokenPrefix = "cs_"

// ErrToken says that a token is not good; to whom it is shown, it says no more.
var ErrToken = errors.New("the API token is not valid or has expired")

// ListAPITokens returns all tokens, the expired ones included.
func (s *Service) ListAPITokens(context.Context) (APITokenList, error) {
	out := APITokenList{APITokens: []APIToken{}}
	for _, t := range s.APITokens.APITokens() {
		out.APITokens = append(out.APITokens, s.apiToken(t))
	}
	slices.SortFunc(out.APITokens, func(a, b APIToken) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *Service) apiToken(t mfa.APIToken) APIToken {
	v := APIToken{ID: t.ID, Name: t.Name, Scopes: list(t.Scopes), Created: t.Created, Expires: moment(t.Expires), Used: moment(t.Used), By: t.By}
	if t.Application != "" {
		for _, a := range s.Applications.Applications() {
			if a.ID == t.Application {
				v.Application = a.Name
			}
		}
	}
	return v
}

// CreateAPIToken makes a token of 256 random bits. Only this answer holds it; what is
// kept is its SHA-256.
func (s *Service) CreateAPIToken(ctx context.Context, by string, r APITokenRequest) (APIToken, error) {
	name, err := objectName(r.Name)
	if err != nil {
		return APIToken{}, invalid("name: %v", err)
	}
	scopes, err := each(len(Scopes()), oneOf(Scopes()...))(r.Scopes)
	if err != nil {
		return APIToken{}, invalid("scopes: %v", err)
	}
	if len(scopes) == 0 {
		return APIToken{}, invalid("scopes: want one at least of %s", strings.Join(Scopes(), ", "))
	}
	app, err := s.tokenApplication(r)
	if err != nil {
		return APIToken{}, err
	}
	if r.Seconds < 60 || r.Seconds > 10*365*86400 {
		return APIToken{}, invalid("a token lives at least a minute and at most ten years")
	}
	if slices.ContainsFunc(s.APITokens.APITokens(), func(t mfa.APIToken) bool { return t.Name == name }) {
		return APIToken{}, fmt.Errorf("api token %q: %w", name, mfa.ErrExists)
	}
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return APIToken{}, err
	}
	text := secret.FromString(tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
	made, err := s.APITokens.CreateAPIToken(ctx, mfa.APIToken{ID: mfa.NewID(nil), Name: name, Digest: sha256.Sum256(text.Expose()),
		Scopes: scopes, Application: app, Created: s.Now(), Expires: s.Now().Add(time.Duration(r.Seconds) * time.Second), By: by})
	if err != nil {
		return APIToken{}, err
	}
	if err := s.record(ctx, by, "api-token create", name, describeToken(made)); err != nil {
		return APIToken{}, err
	}
	v := s.apiToken(made)
	v.Token = &secret.Wire{Text: text}
	return v, nil
}

// tokenApplication returns the application that a token is to authenticate for, or "".
func (s *Service) tokenApplication(r APITokenRequest) (mfa.ApplicationID, error) {
	switch wants := slices.Contains(r.Scopes, ScopeAuthenticate); {
	case !wants && r.Application != "":
		return "", invalid("application: belongs to the scope %s only", ScopeAuthenticate)
	case !wants:
		return "", nil
	case r.Application == "":
		return "", invalid("application is missing: a token with the scope %s asks for one application, of kind %s", ScopeAuthenticate, mfa.KindAPI)
	}
	a, err := s.Applications.ApplicationByName(r.Application)
	if err != nil {
		return "", invalid("application: %v (application list shows those there are)", err)
	}
	if a.Kind != mfa.KindAPI {
		return "", invalid("application: %s is of kind %s; want one of kind %s", a.Name, a.Kind, mfa.KindAPI)
	}
	return a.ID, nil
}

// describeToken tells a token for the trail.
func describeToken(t mfa.APIToken) string {
	d := "id " + t.ID + ", " + strings.Join(t.Scopes, " and ")
	if t.Application != "" {
		d += ", for application id " + string(t.Application)
	}
	return d + ", until " + t.Expires.UTC().Format(time.RFC3339)
}

// RevokeAPIToken ends a token at once; name may also be its id.
func (s *Service) RevokeAPIToken(ctx context.Context, by, name string) error {
	for _, t := range s.APITokens.APITokens() {
		if t.Name == name || t.ID == name {
			if err := s.APITokens.RemoveAPIToken(ctx, t.ID); err != nil {
				return err
			}
			return s.record(ctx, by, "api-token revoke", t.Name, describeToken(t))
		}
	}
	return fmt.Errorf("api token %q: %w", name, mfa.ErrNotFound)
}

// TokenCaller returns who bears the token and what they may, or ErrToken.
func (s *Service) TokenCaller(token secret.Text) (Caller, error) {
	if token.Len() > 128 || !strings.HasPrefix(string(token.Expose()), tokenPrefix) {
		return Caller{}, ErrToken
	}
	t, err := s.APITokens.APITokenByDigest(sha256.Sum256(token.Expose()))
	switch {
	case errors.Is(err, mfa.ErrNotFound):
		return Caller{}, ErrToken
	case err != nil:
		return Caller{}, err
	case !t.Expires.IsZero() && !s.Now().Before(t.Expires):
		return Caller{}, ErrToken
	}
	s.noteUse(t)
	c := Caller{By: "token:" + t.Name, Reach: mfa.Reach{All: true}, Application: t.Application}
	for _, scope := range t.Scopes {
		c.Permissions |= ScopePermissions(scope)
	}
	return c, nil
}
