package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/phone"
	"countersign/internal/provider"
	"countersign/internal/secret"
)

// Gateways is what admin needs of the database for gateways. Create refuses a name that is
// taken with mfa.ErrExists; Update runs change on a fresh copy, perhaps more than once.
type Gateways interface {
	Gateways() []mfa.Gateway
	Gateway(name string) (mfa.Gateway, error)
	CreateGateway(ctx context.Context, g mfa.Gateway) (mfa.Gateway, error)
	UpdateGateway(ctx context.Context, name string, change func(*mfa.Gateway) error) (mfa.Gateway, error)
	RemoveGateway(ctx context.Context, name string) error
}

// Messenger knows how gateways fare at this server, and tries one.
type Messenger interface {
	GatewayHealth(g mfa.Gateway) GatewayHealth
	// TestGateway tries a gateway step by step. With to it sends a message there.
	TestGateway(ctx context.Context, g mfa.Gateway, to string) []Check
}

// Gateway is a gateway as the API shows it; its password and the values of headers never.
type Gateway struct {
	Name             string         `json:"name"`
	Kind             string         `json:"kind" enum:"mail,sms,call"`
	Protocol         string         `json:"protocol" enum:"smtp,http,smpp,sip"`
	Order            int            `json:"order" doc:"of those of a kind the lowest is asked first"`
	Disabled         bool           `json:"disabled"`
	Address          string         `json:"address"`
	TLS              string         `json:"tls,omitempty" doc:"tls, starttls or none"`
	CAs              string         `json:"ca_pem" doc:"PEM; empty: the system's authorities"`
	Login            string         `json:"login"`
	HasPassword      bool           `json:"has_password"`
	From             string         `json:"from" doc:"mail: the sender's address; sms, call: number or name that they come from"`
	TimeoutSeconds   int            `json:"timeout_seconds" doc:"of one try; 0: 4"`
	PrivateAddresses bool           `json:"private_addresses" doc:"http: it may be at an address that is not of the public Internet"`
	Countries        []string       `json:"countries" doc:"sms, call: those that it may send to (ISO 3166)"`
	CapDay           int            `json:"cap_day" doc:"sms: most parts, call: most calls in a day (UTC); 0: no cap"`
	CapMonth         int            `json:"cap_month" doc:"sms: most parts, call: most calls in a month (UTC); 0: no cap"`
	HTTP             *GatewayHTTP   `json:"http,omitempty"`
	ReceiptsURL      string         `json:"receipts_url,omitempty" doc:"http: where the provider reaches this group to tell what becomes of messages; absent: it tells nothing"`
	SMPP             *GatewaySMPP   `json:"smpp,omitempty"`
	SIP              *GatewaySIP    `json:"sip,omitempty"`
	Created          time.Time      `json:"created"`
	Changed          time.Time      `json:"changed"`
	Health           *GatewayHealth `json:"health,omitempty" doc:"at the server that answers, since it was started"`
}

// GatewayHTTP says how a provider's API is asked.
type GatewayHTTP struct {
	Profile string            `json:"profile,omitempty" maxLength:"64" doc:"that it was made from"`
	Method  string            `json:"method,omitempty" enum:"POST,GET,PUT"`
	Format  string            `json:"format,omitempty" enum:"json,form"`
	Body    string            `json:"body,omitempty" maxLength:"8192" doc:"json: a document; form: name=value lines; {number}, {digits}, {text}, {sender}, {login}, {password}, {basic}, {id} and {callback} are filled in; a field with {callback} is left out without receipts_url"`
	Headers map[string]string `json:"headers,omitempty" doc:"their values are sealed, and shown as (sealed)"`
	Accept  []mfa.HTTPRule    `json:"accept,omitempty" maxItems:"16" doc:"of which one must fit; none: any status 2xx"`
	Refuse  []mfa.HTTPRule    `json:"refuse,omitempty" maxItems:"64" doc:"what answers mean; looked at first"`
	ID      string            `json:"id,omitempty" maxLength:"128" doc:"path of the provider's name for the message"`
	Receipt *mfa.HTTPReceipt  `json:"receipt,omitempty" doc:"how what the provider sends to {callback} is read"`
}

// GatewaySMPP says how a gateway of protocol smpp is spoken to.
type GatewaySMPP struct {
	Version        string         `json:"version" enum:"3.4,5.0"`
	SystemType     string         `json:"system_type"`
	Window         int            `json:"window" doc:"messages under way at once"`
	EnquireSeconds int            `json:"enquire_seconds" doc:"how often an idle link is tried"`
	Parts          string         `json:"parts" enum:"udh,sar" doc:"how the parts of a long message are told: by a header in the text or by optional parameters"`
	Alphabet       string         `json:"alphabet" enum:"gsm,ucs2" doc:"gsm: its default alphabet, and UCS-2 where that is not enough; ucs2: always that"`
	Receipts       bool           `json:"receipts" doc:"it tells what becomes of messages"`
	Refuse         []mfa.SMPPRule `json:"refuse" doc:"what the provider's own statuses mean"`
}

// GatewaySMPPChange changes that: what is absent stays as it is.
type GatewaySMPPChange struct {
	Version        *string         `json:"version,omitempty" enum:"3.4,5.0"`
	SystemType     *string         `json:"system_type,omitempty" maxLength:"12"`
	Window         *int            `json:"window,omitempty" minimum:"1" maximum:"1000"`
	EnquireSeconds *int            `json:"enquire_seconds,omitempty" minimum:"1" maximum:"600"`
	Parts          *string         `json:"parts,omitempty" enum:"udh,sar"`
	Alphabet       *string         `json:"alphabet,omitempty" enum:"gsm,ucs2"`
	Receipts       *bool           `json:"receipts,omitempty"`
	Refuse         *[]mfa.SMPPRule `json:"refuse,omitempty" maxItems:"64"`
}

// GatewayHealth is how a gateway has fared.
type GatewayHealth struct {
	State       string     `json:"state" enum:"unused,ok,ailing,doubtful,disabled" doc:"ailing: asked after the others for now; doubtful: the same, because what it took did not arrive"`
	Sent        int        `json:"sent"`
	Failed      int        `json:"failed"`
	LastSent    *time.Time `json:"last_sent,omitempty"`
	LastFailed  *time.Time `json:"last_failed,omitempty"`
	Reason      string     `json:"reason,omitempty" doc:"of the last failure"`
	Error       string     `json:"error,omitempty"`
	Delivered   int        `json:"delivered" doc:"of those sent, as its receipts say"`
	Undelivered int        `json:"undelivered" doc:"the same: those that did not arrive"`
	Unconfirmed int        `json:"unconfirmed" doc:"those of which no receipt came in time"`
}

// GatewayList is all gateways, in the order in which they are asked.
type GatewayList struct {
	Gateways []Gateway `json:"gateways"`
	Next     string    `json:"next,omitempty"`
}

// GatewayChange makes a gateway or changes one: what is absent stays as it is.
type GatewayChange struct {
	Name             *string            `json:"name,omitempty" maxLength:"64"`
	Kind             *string            `json:"kind,omitempty" enum:"mail,sms,call"`
	Protocol         *string            `json:"protocol,omitempty" enum:"smtp,http,smpp,sip" doc:"default smtp for mail, http for sms, sip for call"`
	Order            *int               `json:"order,omitempty" minimum:"0" maximum:"1000"`
	Disabled         *bool              `json:"disabled,omitempty"`
	Address          *string            `json:"address,omitempty" maxLength:"1024" doc:"smtp, smpp, sip: host:port; http: a URL"`
	TLS              *string            `json:"tls,omitempty" enum:"tls,starttls,none" doc:"smtp: default starttls; smpp: tls (default) or none"`
	CAs              *string            `json:"ca_pem,omitempty" maxLength:"65536"`
	Login            *string            `json:"login,omitempty" maxLength:"256"`
	Password         *secret.Wire       `json:"password,omitempty" writeOnly:"true"`
	From             *string            `json:"from,omitempty" maxLength:"256"`
	TimeoutSeconds   *int               `json:"timeout_seconds,omitempty" minimum:"0" maximum:"30"`
	PrivateAddresses *bool              `json:"private_addresses,omitempty"`
	Countries        *[]string          `json:"countries,omitempty" maxItems:"256"`
	CapDay           *int               `json:"cap_day,omitempty" minimum:"0" maximum:"100000000"`
	CapMonth         *int               `json:"cap_month,omitempty" minimum:"0" maximum:"100000000"`
	Profile          *string            `json:"profile,omitempty" maxLength:"64" doc:"http: fill in what is not given from the profile of a provider"`
	ReceiptsURL      *string            `json:"receipts_url,omitempty" maxLength:"512" doc:"http: scheme and host, with a path if need be; empty: the provider tells nothing"`
	HTTP             *GatewayHTTP       `json:"http,omitempty" doc:"replaces all of it; a header whose value is (sealed) keeps the one it has"`
	SIP              *GatewaySIP        `json:"sip,omitempty" doc:"what is absent stays as it is"`
	SMPP             *GatewaySMPPChange `json:"smpp,omitempty"`
	IfMatch          string             `json:"-"`
}

// GatewayTest asks for a test of a gateway.
type GatewayTest struct {
	To string `json:"to,omitempty" maxLength:"254" doc:"send a message to this number or address, or call this number; empty: neither"`
}

// ProviderProfile is a profile of a provider as the API shows it.
type ProviderProfile struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	URL   string `json:"url"`
	Asks  string `json:"asks" doc:"what it asks for as login and password"`
	Docs  string `json:"docs,omitempty"`
}

// ProviderProfileList is all of them.
type ProviderProfileList struct {
	Profiles []ProviderProfile `json:"profiles"`
}

// ETag names the state of a gateway, its health apart.
func (g Gateway) ETag() string {
	g.Health = nil
	return etag(g)
}

// Page returns one part of the list.
func (l GatewayList) Page(p Page) GatewayList {
	// In the order in which they are asked, which is no order of names: a cursor is a place in it.
	start := 0
	if i := slices.IndexFunc(l.Gateways, func(g Gateway) bool { return g.Name == p.After }); i >= 0 {
		start = i + 1
	}
	limit := p.Limit
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	rest := l.Gateways[start:]
	l.Next = ""
	if len(rest) > limit {
		rest = rest[:limit]
		l.Next = rest[limit-1].Name
	}
	l.Gateways = list(rest)
	return l
}

// ListGateways returns all gateways: by kind, in the order in which they are asked.
func (s *Service) ListGateways(context.Context) (GatewayList, error) {
	out := GatewayList{Gateways: []Gateway{}}
	for _, g := range s.Gateways.Gateways() {
		out.Gateways = append(out.Gateways, s.gateway(g))
	}
	return out, nil
}

// Gateway returns one gateway.
func (s *Service) Gateway(_ context.Context, name string) (Gateway, error) {
	g, err := s.Gateways.Gateway(name)
	if err != nil {
		return Gateway{}, err
	}
	return s.gateway(g), nil
}

// Profiles returns what is known of providers.
func (s *Service) Profiles(context.Context) (ProviderProfileList, error) {
	out := ProviderProfileList{Profiles: []ProviderProfile{}}
	for _, p := range provider.Profiles() {
		out.Profiles = append(out.Profiles, ProviderProfile{Name: p.Name, Title: p.Title, URL: p.URL, Asks: asks(p), Docs: p.Docs})
	}
	return out, nil
}

func asks(p provider.Profile) string {
	if p.Login == "" {
		return "password: " + p.Secret
	}
	return "login: " + p.Login + "; password: " + p.Secret
}

const sealedValue = "(sealed)"

// gateway converts for the API.
func (s *Service) gateway(g mfa.Gateway) Gateway {
	v := Gateway{Name: g.Name, Kind: g.Kind, Protocol: g.Protocol, Order: g.Order, Disabled: g.Disabled, Address: g.Address, TLS: g.TLS, CAs: g.CAs,
		Login: g.Login, HasPassword: !g.Password.Empty(), From: g.From, TimeoutSeconds: int(g.Timeout / time.Second), PrivateAddresses: g.Private,
		Countries: list(g.Countries), CapDay: g.CapDay, CapMonth: g.CapMonth, Created: g.Created, Changed: g.Changed}
	if g.Protocol == mfa.GatewayHTTP {
		h := g.HTTP
		v.ReceiptsURL = g.Receipts
		v.HTTP = &GatewayHTTP{Profile: h.Profile, Method: h.Method, Format: h.Format, Body: h.Body, Accept: h.Accept, Refuse: h.Refuse, ID: h.ID}
		if h.Receipt.State != "" {
			v.HTTP.Receipt = &h.Receipt
		}
		if len(h.Headers) > 0 {
			v.HTTP.Headers = map[string]string{}
			for name := range h.Headers {
				v.HTTP.Headers[name] = sealedValue
			}
		}
	}
	if g.Protocol == mfa.GatewaySIP {
		v.SIP = gatewaySIP(g.SIP)
	}
	if g.Protocol == mfa.GatewaySMPP {
		v.SMPP = gatewaySMPP(g.SMPP)
	}
	health := s.Messenger.GatewayHealth(g)
	if g.Disabled {
		health.State = "disabled"
	}
	v.Health = &health
	return v
}

// hiddenGateway are fields of a gateway that would fill the trail or tell nothing.
var hiddenGateway = []string{"ca_pem", "http"}

// withoutHealth is what the trail is told of a gateway.
func withoutHealth(g Gateway) Gateway {
	g.Health = nil
	return g
}

// AddGateway makes a gateway.
func (s *Service) AddGateway(ctx context.Context, by string, c GatewayChange) (Gateway, error) {
	if c.Name == nil || c.Kind == nil {
		return Gateway{}, invalid("name and kind are needed")
	}
	g := mfa.Gateway{Order: 10, Created: s.Now(), Changed: s.Now()}
	if err := applyGateway(&g, c); err != nil {
		return Gateway{}, err
	}
	made, err := s.Gateways.CreateGateway(ctx, g)
	if err != nil {
		return Gateway{}, err
	}
	if err := s.record(ctx, by, "gateway add", made.Name, fields(contents(withoutHealth(s.gateway(made)), hiddenGateway...))); err != nil {
		return Gateway{}, err
	}
	return s.gateway(made), nil
}

// SetGateway changes a gateway. Its name and kind stay.
func (s *Service) SetGateway(ctx context.Context, by, name string, c GatewayChange) (Gateway, error) {
	if c.Name != nil && *c.Name != name {
		return Gateway{}, invalid("the name of a gateway cannot change; add another one")
	}
	var before Gateway
	changed, err := s.Gateways.UpdateGateway(ctx, name, func(g *mfa.Gateway) error {
		before = s.gateway(*g)
		if err := unchanged(c.IfMatch, before.ETag()); err != nil {
			return err
		}
		if c.Kind != nil && *c.Kind != g.Kind {
			return invalid("the kind of a gateway cannot change; add another one")
		}
		g.Changed = s.Now()
		had := *g
		if err := applyGateway(g, c); err != nil {
			return err
		}
		return c.entrusted(had, *g)
	})
	if err != nil {
		return Gateway{}, err
	}
	detail := difference(withoutHealth(before), withoutHealth(s.gateway(changed)), hiddenGateway...)
	if c.Password != nil {
		detail = append(detail, "password")
	}
	if err := s.record(ctx, by, "gateway set", name, fields(detail)); err != nil {
		return Gateway{}, err
	}
	return s.gateway(changed), nil
}

// RemoveGateway deletes a gateway.
func (s *Service) RemoveGateway(ctx context.Context, by, name string) error {
	g, err := s.Gateways.Gateway(name)
	if err != nil {
		return err
	}
	if err := s.Gateways.RemoveGateway(ctx, name); err != nil {
		return err
	}
	return s.record(ctx, by, "gateway remove", name, fields(contents(withoutHealth(s.gateway(g)), hiddenGateway...)))
}

// TestGateway tries a gateway step by step. A message that it sends costs money, so it is
// recorded.
func (s *Service) TestGateway(ctx context.Context, by, name string, r GatewayTest) (CheckList, error) {
	g, err := s.Gateways.Gateway(name)
	if err != nil {
		return CheckList{}, err
	}
	to := strings.TrimSpace(r.To)
	if to != "" && g.Kind != mfa.GatewayMail {
		if to, err = phone.Parse(to); err != nil {
			return CheckList{}, invalid("to: %v", err)
		}
	}
	if to != "" && g.Kind == mfa.GatewayMail {
		if to, err = mailAddress(to); err != nil {
			return CheckList{}, invalid("to: %v", err)
		}
	}
	out := checkList(s.Messenger.TestGateway(ctx, g, to))
	detail := "nothing sent"
	if to != "" {
		detail = "to " + Masked(g.Kind, to)
	}
	return out, s.record(ctx, by, "gateway test", name, detail)
}

// Masked is what the trail tells of a number or an address.
func Masked(kind, to string) string {
	if kind != mfa.GatewayMail {
		return phone.Mask(to)
	}
	at := strings.LastIndexByte(to, '@')
	if at < 1 {
		return "***"
	}
	return to[:1] + "***" + to[at:]
}

// applyGateway changes g as c says, or says what is bad about c.
func applyGateway(g *mfa.Gateway, c GatewayChange) error {
	var bad error
	set(&bad, "name", &g.Name, c.Name, objectName)
	set(&bad, "kind", &g.Kind, c.Kind, oneOf(mfa.GatewayMail, mfa.GatewaySMS, mfa.GatewayCall))
	if g.Protocol == "" {
		g.Protocol = map[string]string{mfa.GatewayMail: mfa.GatewaySMTP, mfa.GatewaySMS: mfa.GatewayHTTP, mfa.GatewayCall: mfa.GatewaySIP}[g.Kind]
	}
	set(&bad, "protocol", &g.Protocol, c.Protocol, oneOf(mfa.GatewaySMTP, mfa.GatewayHTTP, mfa.GatewaySMPP, mfa.GatewaySIP))
	set(&bad, "order", &g.Order, c.Order, between(0, 1000))
	set(&bad, "disabled", &g.Disabled, c.Disabled, same[bool])
	set(&bad, "address", &g.Address, c.Address, line(1024))
	set(&bad, "tls", &g.TLS, c.TLS, oneOf(mfa.GatewayTLS, mfa.GatewayStartTLS, mfa.GatewayPlain))
	set(&bad, "ca_pem", &g.CAs, c.CAs, certificates)
	set(&bad, "login", &g.Login, c.Login, line(256))
	set(&bad, "password", &g.Password, c.Password, func(w secret.Wire) (secret.Text, error) { return w.Text, nil })
	set(&bad, "from", &g.From, c.From, line(256))
	set(&bad, "timeout_seconds", &g.Timeout, c.TimeoutSeconds, func(n int) (time.Duration, error) {
		n, err := between(0, 30)(n)
		return time.Duration(n) * time.Second, err
	})
	set(&bad, "private_addresses", &g.Private, c.PrivateAddresses, same[bool])
	set(&bad, "receipts_url", &g.Receipts, c.ReceiptsURL, line(512))
	set(&bad, "countries", &g.Countries, c.Countries, each(256, country))
	set(&bad, "cap_day", &g.CapDay, c.CapDay, between(0, 1e8))
	set(&bad, "cap_month", &g.CapMonth, c.CapMonth, between(0, 1e8))
	if bad != nil {
		return bad
	}
	if err := errors.Join(applyTemplate(g, c), applySIP(g, c.SIP)); err != nil {
		return err
	}
	if err := applySMPP(g, c.SMPP); err != nil {
		return err
	}
	return checkGateway(g)
}

// applyTemplate fills in a profile and takes over what was given.
func applyTemplate(g *mfa.Gateway, c GatewayChange) error {
	if g.Protocol != mfa.GatewayHTTP && (c.Profile != nil || c.HTTP != nil || g.Receipts != "") {
		return invalid("profile, http and receipts_url are for gateways of protocol http")
	}
	if c.Profile != nil {
		p, err := provider.ByName(*c.Profile)
		if err != nil {
			return invalid("profile: %v", err)
		}
		g.HTTP = p.HTTPTemplate
		if c.Address == nil {
			g.Address = p.URL
		}
	}
	if c.HTTP != nil {
		h := *c.HTTP
		headers := maps.Clone(h.Headers)
		for name, v := range headers {
			if v == sealedValue {
				if headers[name] = g.HTTP.Headers[name]; headers[name] == "" {
					return invalid("header %s: %s keeps a value, and there is none", name, sealedValue)
				}
			}
		}
		g.HTTP = mfa.HTTPTemplate{Profile: h.Profile, Method: h.Method, Format: h.Format, Body: h.Body, Headers: headers, Accept: h.Accept, Refuse: h.Refuse, ID: h.ID}
		if h.Receipt != nil {
			g.HTTP.Receipt = *h.Receipt
		}
	}
	return nil
}

// checkGateway reports what does not go together.
func checkGateway(g *mfa.Gateway) error {
	if g.Login != "" && g.Password.Empty() && g.Protocol != mfa.GatewayHTTP {
		return invalid("a login without a password")
	}
	if g.Kind == mfa.GatewayMail {
		if g.Protocol != mfa.GatewaySMTP {
			return invalid("protocol: mail goes by smtp")
		}
		return checkMail(g)
	}
	if len(g.Countries) == 0 {
		return invalid("countries: name those that messages and calls may go to (--country DE); whoever can have them go anywhere can make you pay for numbers of their own")
	}
	if g.Kind == mfa.GatewayCall {
		return checkCall(g)
	}
	if g.Protocol == mfa.GatewaySMPP {
		return checkSMPP(g)
	}
	if g.Protocol != mfa.GatewayHTTP {
		return invalid("protocol: text messages go by http or smpp")
	}
	if g.HTTP.Method == "" {
		return invalid("profile or http is missing: how is the provider asked? (`countersign gateway profiles` shows what is known)")
	}
	if err := provider.Check(g.Address, g.HTTP, g.Private); err != nil {
		return invalid("%v", err)
	}
	return checkReceipts(g)
}

// checkReceipts reports what is wrong with where the provider tells what becomes of messages.
func checkReceipts(g *mfa.Gateway) error {
	if g.Receipts == "" {
		return nil
	}
	u, err := url.Parse(g.Receipts)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !g.Private) {
		return invalid("receipts_url: want https://HOST, as in https://mfa.corp.example, by which the provider reaches the servers of this group (http:// is for a gateway inside, with private_addresses)")
	}
	if !provider.CanTell(g.HTTP) {
		return invalid("receipts_url: the template does not ask the provider for receipts: {callback} is not in its body, or receipt.state is missing (give the profile once more, if it has them; or change the template)")
	}
	return nil
}

func checkMail(g *mfa.Gateway) (err error) {
	if g.TLS == "" {
		g.TLS = mfa.GatewayStartTLS
	}
	ports := map[string]string{mfa.GatewayTLS: "465", mfa.GatewayStartTLS: "587", mfa.GatewayPlain: "25"}
	if g.Address, err = hostPort(g.Address, ports[g.TLS]); err != nil {
		return invalid("address: %v", err)
	}
	if g.From, err = mailAddress(g.From); err != nil {
		return invalid("from: %v", err)
	}
	return nil
}

// hostPort completes an address by a port.
func hostPort(s, port string) (string, error) {
	if _, _, err := net.SplitHostPort(s); err != nil {
		s = net.JoinHostPort(strings.Trim(s, "[]"), port)
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, " /@?#") {
		return "", fmt.Errorf("%q: want HOST or HOST:PORT", s)
	}
	if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("%q: the port is no number from 1 to 65535", s)
	}
	return s, nil
}

// mailAddress parses one bare address.
func mailAddress(s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != strings.TrimSpace(s) {
		return "", errors.New("want one mail address, as in mfa@corp.example")
	}
	return a.Address, nil
}

func country(s string) (string, error) {
	s = strings.ToUpper(strings.TrimSpace(s))
	if !phone.IsCountry(s) {
		return "", fmt.Errorf("%q is no country's code of two letters (ISO 3166: DE, US)", clip(s))
	}
	return s, nil
}
