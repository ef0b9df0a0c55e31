package adminapi

import (
	"context"
	"net/http"

	"countersign/internal/admin"
	"countersign/internal/enroll"
)

// CredentialPath names one credential of a user by its id, the beginning of it, or its
// method, if only one fits.
type CredentialPath struct {
	UserPath
	ID string `path:"id" maxLength:"64"`
}

func (a *API) credentials() {
	s := a.enroll
	const all, one = "/users/{login}/credentials", "/users/{login}/credentials/{id}"
	route(a, admin.ScopeRead, http.MethodGet, all, "List a user's credentials", func(ctx context.Context, _ string, in *UserPath) (enroll.CredentialList, error) {
		return s.List(ctx, in.Login)
	})
	type add struct {
		UserPath
		Body enroll.Request
	}
	route(a, admin.ScopeWrite, http.MethodPost, all, "Give a user a credential", func(ctx context.Context, by string, in *add) (enroll.Created, error) {
		return s.Add(ctx, by, in.Login, in.Body)
	})
	type codes struct {
		CredentialPath
		Body enroll.Codes
	}
	route(a, admin.ScopeWrite, http.MethodPost, one+"/confirm", "Prove a credential with one code", func(ctx context.Context, by string, in *codes) (enroll.Credential, error) {
		return s.Confirm(ctx, by, in.Login, in.ID, in.Body)
	})
	route(a, admin.ScopeWrite, http.MethodPost, one+"/resync", "Resynchronise a token with two consecutive codes", func(ctx context.Context, by string, in *codes) (enroll.Credential, error) {
		return s.Resync(ctx, by, in.Login, in.ID, in.Body)
	})
	route(a, admin.ScopeWrite, http.MethodPost, one+"/disable", "Switch a credential off", func(ctx context.Context, by string, in *CredentialPath) (enroll.Credential, error) {
		return s.Disable(ctx, by, in.Login, in.ID, true)
	})
	route(a, admin.ScopeWrite, http.MethodPost, one+"/enable", "Switch a credential on", func(ctx context.Context, by string, in *CredentialPath) (enroll.Credential, error) {
		return s.Disable(ctx, by, in.Login, in.ID, false)
	})
	route(a, admin.ScopeWrite, http.MethodDelete, one, "Remove a credential", func(ctx context.Context, by string, in *CredentialPath) (admin.Removed, error) {
		return admin.Removed{Removed: in.ID}, s.Remove(ctx, by, in.Login, in.ID)
	})
}
