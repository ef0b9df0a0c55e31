package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/login"
)

type policyVerbs struct {
	Show    policyShow    `cmd:"" help:"Show the group's defaults."`
	Set     policySet     `cmd:"" help:"Change some of them, or a rule."`
	List    policyList    `cmd:"" help:"List the rules in their order."`
	Add     policyAdd     `cmd:"" help:"Add a rule: where it applies, and what it says. To each question the first rule counts that applies and answers it."`
	Move    policyMove    `cmd:"" help:"Put a rule elsewhere in the order."`
	Remove  policyRemove  `cmd:"" help:"Remove a rule."`
	Explain policyExplain `cmd:"" help:"Tell which rule decides for a user at an application."`
}

type policyShow struct{}

func (policyShow) Run(ctx context.Context, e *env) error {
	return change[admin.Policy](ctx, e, http.MethodGet, "/policy", nil)
}

type policySet struct {
	Setting []string `arg:"" help:"The name of a rule, or NAME=VALUE, names as policy show has them; login_domains=CORP=corp.example,LAB=lab.example; self_service=totp,recovery; passkey_site=mfa.corp.example; passkey_alone=portal,console; message_texts.sms.en=TEXT (empty: the built-in one)."`
	NewName *string  `name:"name" help:"New name of the rule."`
	ruleFlags
}

func (v *policySet) Run(ctx context.Context, e *env) error {
	if rule, err := v.ofRule(); err != nil {
		return err
	} else if rule {
		return v.setRule(ctx, e)
	}
	in, texts := map[string]json.RawMessage{}, map[string]string{}
	for _, s := range v.Setting {
		name, value, ok := strings.Cut(s, "=")
		name = strings.ReplaceAll(name, "-", "_")
		if !ok || name == "" {
			return usage("%q: want NAME=VALUE", s)
		}
		if text, ok := strings.CutPrefix(name, "message_texts."); ok {
			texts[text] = value
			continue
		}
		raw, err := settingValue(name, value)
		if err != nil {
			return usage("%v", err)
		}
		in[name] = raw
	}
	if len(texts) > 0 {
		raw, err := json.Marshal(texts)
		if err != nil {
			return err
		}
		in["message_texts"] = raw
	}
	err := change[admin.Policy](ctx, e, http.MethodPatch, "/policy", in)
	var said apiError
	if _, site := in["passkey_site"]; site && errors.As(err, &said) && said.status == http.StatusConflict && strings.HasPrefix(said.detail, "passkey_site: ") {
		return v.otherSite(ctx, e, in, said.detail)
	}
	return err
}

// otherSite makes a change by which passkeys stop working, as the server has told, once that was
// confirmed.
func (*policySet) otherSite(ctx context.Context, e *env, in map[string]json.RawMessage, lost string) error {
	var now admin.Policy
	if err := e.call(ctx, http.MethodGet, "/policy", nil, nil, &now); err != nil {
		return err
	}
	lost, _, _ = strings.Cut(lost, ";")
	if err := e.confirm("%s. Change it?", printable(lost)); err != nil {
		return err
	}
	var v admin.Policy
	if err := e.call(ctx, http.MethodPatch, "/policy", url.Values{"confirm": {now.PasskeySite}}, in, &v); err != nil {
		return err
	}
	return e.show(v)
}

// settingValue makes JSON of what was typed: a number, words or domains.
func settingValue(name, value string) (json.RawMessage, error) {
	switch name {
	case "message_language", "pin", "passkey_site", "passkey_verification":
		return json.Marshal(value)
	case "fraud_blocks", "pin_weak", "pass_approval":
		if value != "true" && value != "false" {
			return nil, fmt.Errorf("%s=%s: want true or false", name, value)
		}
		return json.RawMessage(value), nil
	case "self_service", "passkey_origins", "passkey_alone", "passkey_models_allow", "passkey_models_deny":
		return json.Marshal(*many(strings.Split(value, ",")))
	}
	if name != "login_domains" {
		if _, err := strconv.ParseInt(value, 10, 32); err != nil {
			return nil, fmt.Errorf("%s=%s: want a number", name, value)
		}
		return json.RawMessage(strings.TrimPrefix(value, "+")), nil
	}
	domains := []login.Domain{}
	for _, d := range *many(strings.Split(value, ",")) {
		parsed, err := login.ParseDomain(d)
		if err != nil {
			return nil, err
		}
		domains = append(domains, parsed)
	}
	return json.Marshal(domains)
}

type keyVerbs struct {
	List   keyList   `cmd:"" help:"Show the keyset and how far resealing is."`
	Rotate keyRotate `cmd:"" help:"Make a new key; what older keys seal is resealed in the background."`
}

type keyList struct{}

func (keyList) Run(ctx context.Context, e *env) error {
	var doc admin.KeyList
	if err := e.call(ctx, http.MethodGet, "/keys", nil, nil, &doc); err != nil {
		return err
	}
	return e.keys(doc)
}

func (e *env) keys(doc admin.KeyList) error {
	if err := e.table(doc, doc.Keys, "id", "primary", "created"); err != nil || e.JSON {
		return err
	}
	switch r := doc.Reseal; {
	case r.Error != "":
		e.say("Resealing stopped at %d of %d and goes on by itself: %s", r.Done, r.Total, r.Error)
	case r.Running:
		e.say("Resealing: %d of %d records.", r.Done, r.Total)
	default:
		e.say("Nothing is sealed by an older key.")
	}
	return nil
}

type keyRotate struct {
	Wait bool `help:"Wait until everything is resealed, and show the progress."`
}

func (v *keyRotate) Run(ctx context.Context, e *env) error {
	var doc admin.KeyList
	if err := e.call(ctx, http.MethodPost, "/keys/rotate", nil, nil, &doc); err != nil {
		return err
	}
	for v.Wait && doc.Reseal.Running {
		if e.Terminal && !e.JSON {
			fmt.Fprintf(e.Stderr, "\rresealed %d of %d\x1b[K", doc.Reseal.Done, doc.Reseal.Total)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
		if err := e.call(ctx, http.MethodGet, "/keys", nil, nil, &doc); err != nil {
			return err
		}
	}
	if v.Wait && e.Terminal && !e.JSON {
		fmt.Fprint(e.Stderr, "\r\x1b[K")
	}
	return e.keys(doc)
}

type tokenVerbs struct {
	Create tokenCreate `cmd:"" help:"Make a token; on the server itself only."`
	List   tokenList   `cmd:"" help:"List tokens, the expired ones included."`
	Revoke tokenRevoke `cmd:"" help:"End a token at once."`
}

type tokenCreate struct {
	nameArg
	Scope       []string `required:"" help:"read, write, users:read, users:write, enrol, audit:read, status:read or authenticate; several are allowed." placeholder:"SCOPE"`
	Application string   `help:"authenticate: for which application, of kind api." placeholder:"NAME"`
	Expires     span     `help:"How long it lives." default:"90d" placeholder:"DURATION"`
}

func (v *tokenCreate) Run(ctx context.Context, e *env) error {
	in := admin.APITokenRequest{Name: v.Name, Scopes: v.Scope, Application: v.Application, Seconds: v.Expires.seconds()}
	if err := change[admin.APIToken](ctx, e, http.MethodPost, "/api-tokens", in); err != nil {
		return err
	}
	e.say("The token is not shown again.")
	return nil
}

type tokenList struct{}

func (tokenList) Run(ctx context.Context, e *env) error {
	doc := admin.APITokenList{APITokens: []admin.APIToken{}}
	if err := whole(ctx, e, "/api-tokens", func(p admin.APITokenList) string {
		doc.APITokens = append(doc.APITokens, p.APITokens...)
		return p.Next
	}); err != nil {
		return err
	}
	return e.table(doc, doc.APITokens, "name", "scopes", "application", "created", "expires", "used", "by", "id")
}

type tokenRevoke struct{ nameArg }

func (v *tokenRevoke) Run(ctx context.Context, e *env) error {
	return remove(ctx, e, "API token", v.Name, path("api-tokens", v.Name))
}
