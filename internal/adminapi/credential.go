package adminapi

import (
	"context"
	"net/http"
	"slices"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
)

// CredentialPath names one credential of a user by its id, the beginning of it, or its
// method, if only one fits.
type CredentialPath struct {
	UserPath
	ID string `path:"id" maxLength:"64"`
}

func (a *API) credentials() {
	type invite struct {
		UserPath
		Body enroll.InviteRequest
	}
	route(a, needs(mfa.MayIssuePass), http.MethodPost, "/users/{login}/invitation", "Invite a user into the portal", func(ctx context.Context, d desk, in *invite) (enroll.Invitation, error) {
		return d.enroll.Invite(ctx, in.Login, in.Body)
	})
	give := needs(append(slices.Clone(enroll.Givers), mfa.MayGiveToken)...)
	const all, one = "/users/{login}/credentials", "/users/{login}/credentials/{id}"
	route(a, readUsers, http.MethodGet, all, "List a user's credentials", func(ctx context.Context, d desk, in *UserPath) (enroll.CredentialList, error) {
		return d.enroll.List(ctx, in.Login)
	})
	type add struct {
		UserPath
		Body enroll.Request
	}
	route(a, give, http.MethodPost, all, "Give a user a credential", func(ctx context.Context, d desk, in *add) (enroll.Created, error) {
		return d.enroll.Add(ctx, in.Login, in.Body)
	})
	route(a, needs(enroll.Givers...), http.MethodPost, one+"/send", "Send a code that proves a number or an address", func(ctx context.Context, d desk, in *CredentialPath) (enroll.Sent, error) {
		return d.enroll.Send(ctx, in.Login, in.ID)
	})
	type codes struct {
		CredentialPath
		Body enroll.Codes
	}
	route(a, give, http.MethodPost, one+"/confirm", "Prove a credential with one code", func(ctx context.Context, d desk, in *codes) (enroll.Credential, error) {
		return d.enroll.Confirm(ctx, in.Login, in.ID, in.Body)
	})
	route(a, give, http.MethodPost, one+"/resync", "Resynchronise a token with two consecutive codes", func(ctx context.Context, d desk, in *codes) (enroll.Credential, error) {
		return d.enroll.Resync(ctx, in.Login, in.ID, in.Body)
	})
	route(a, needs(enroll.Givers...), http.MethodPost, one+"/disable", "Switch a credential off", func(ctx context.Context, d desk, in *CredentialPath) (enroll.Credential, error) {
		return d.enroll.Disable(ctx, in.Login, in.ID, true)
	})
	route(a, needs(enroll.Givers...), http.MethodPost, one+"/enable", "Switch a credential on", func(ctx context.Context, d desk, in *CredentialPath) (enroll.Credential, error) {
		return d.enroll.Disable(ctx, in.Login, in.ID, false)
	})
	route(a, needs(enroll.Givers...), http.MethodDelete, one, "Remove a credential", func(ctx context.Context, d desk, in *CredentialPath) (admin.Removed, error) {
		return admin.Removed{Removed: in.ID}, d.enroll.Remove(ctx, in.Login, in.ID)
	})
}

// passes are the operations on temporary passes that take two people; those who take care of a
// coordinator have none.
func (a *API) passes() {
	route(a, needs(mfa.MayIssuePass), http.MethodPost, "/users/{login}/credentials/{id}/approve", "Approve a temporary pass that somebody else has issued", func(ctx context.Context, d desk, in *CredentialPath) (enroll.Credential, error) {
		return d.enroll.ApprovePass(ctx, in.Login, in.ID)
	})
	route(a, needs(mfa.MayIssuePass, mfa.MayReadUsers), http.MethodGet, "/passes", "List the temporary passes that await their approval", func(ctx context.Context, d desk, _ *struct{}) (enroll.WaitingPasses, error) {
		return d.enroll.WaitingPasses(ctx)
	})
}
