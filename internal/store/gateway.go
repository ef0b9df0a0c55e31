package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// gatewayRecord is gw/NAME. Sealed holds the password and the values of headers.
type gatewayRecord struct {
	V         int              `json:"v"`
	Kind      string           `json:"kind"`
	Protocol  string           `json:"protocol"`
	Order     int              `json:"order"`
	Disabled  bool             `json:"disabled,omitempty"`
	Address   string           `json:"address"`
	TLS       string           `json:"tls,omitempty"`
	CAs       string           `json:"cas,omitempty"`
	Login     string           `json:"login,omitempty"`
	From      string           `json:"from,omitempty"`
	Timeout   time.Duration    `json:"timeout_ns,omitempty"`
	Private   bool             `json:"private,omitempty"`
	Countries []string         `json:"countries,omitempty"`
	CapDay    int              `json:"cap_day,omitempty"`
	CapMonth  int              `json:"cap_month,omitempty"`
	HTTP      mfa.HTTPTemplate `json:"http,omitzero"`
	Receipts  string           `json:"receipts_url,omitempty"`
	SMPP      mfa.SMPPOptions  `json:"smpp,omitzero"`
	SIP       mfa.SIPTrunk     `json:"sip,omitzero"`
	Created   time.Time        `json:"created,omitzero"`
	Changed   time.Time        `json:"changed,omitzero"`
	Sealed    []byte           `json:"sealed"`

	opened mfa.Gateway // with its secrets
}

// gatewaySecrets is the sealed part.
type gatewaySecrets struct {
	Password []byte            `json:"password,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
}

func gatewayKey(name string) string { return prefixGateway + name }

func (s *Store) sealGateway(g mfa.Gateway) (gatewayRecord, error) {
	plain := format(gatewaySecrets{g.Password.Expose(), g.HTTP.Headers})
	sealed, err := s.ring.Seal("gateway", g.Name, gatewayKey(g.Name), plain)
	clear(plain)
	return gatewayRecord{V: schema, Kind: g.Kind, Protocol: g.Protocol, Order: g.Order, Disabled: g.Disabled, Address: g.Address, TLS: g.TLS,
		CAs: g.CAs, Login: g.Login, From: g.From, Timeout: g.Timeout, Private: g.Private, Countries: g.Countries, CapDay: g.CapDay,
		CapMonth: g.CapMonth, HTTP: g.HTTP, Receipts: g.Receipts, SMPP: g.SMPP, SIP: g.SIP, Created: g.Created.UTC(), Changed: g.Changed.UTC(), Sealed: sealed}, err
}

func (s *Store) parseGateway(name string, b []byte) (r gatewayRecord, err error) {
	if err := parse(gatewayKey(name), b, &r, &r.V); err != nil {
		return r, err
	}
	plain, err := s.ring.Open("gateway", name, gatewayKey(name), r.Sealed)
	if err != nil {
		return r, fmt.Errorf("record %s: %w", gatewayKey(name), err)
	}
	var kept gatewaySecrets
	if err := json.Unmarshal(plain.Expose(), &kept); err != nil {
		return r, fmt.Errorf("record %s, sealed part: it is no JSON object", gatewayKey(name)) // the error itself could quote it
	}
	g := mfa.Gateway{Name: name, Kind: r.Kind, Protocol: r.Protocol, Order: r.Order, Disabled: r.Disabled, Address: r.Address, TLS: r.TLS,
		CAs: r.CAs, Login: r.Login, Password: secret.New(kept.Password), From: r.From, Timeout: r.Timeout, Private: r.Private, Countries: r.Countries,
		CapDay: r.CapDay, CapMonth: r.CapMonth, HTTP: r.HTTP, Receipts: r.Receipts, SMPP: r.SMPP, SIP: r.SIP, Created: r.Created, Changed: r.Changed}
	g.HTTP.Headers = kept.Headers
	r.opened = g
	return r, nil
}

// Gateway returns the gateway of that name, or mfa.ErrNotFound.
func (s *Store) Gateway(name string) (mfa.Gateway, error) {
	c := s.catalog()
	if r, ok := c.gateways[name]; ok {
		return r.opened, nil
	}
	return mfa.Gateway{}, s.missing(c, gatewayKey(name), fmt.Sprintf("gateway %q", name))
}

// Gateways returns all gateways: by kind, then in the order in which they are asked, then by
// name. They are not to be changed.
func (s *Store) Gateways() []mfa.Gateway {
	c := s.catalog()
	list := make([]mfa.Gateway, 0, len(c.gateways))
	for _, r := range c.gateways {
		list = append(list, r.opened)
	}
	slices.SortFunc(list, func(a, b mfa.Gateway) int {
		if n := strings.Compare(a.Kind, b.Kind); n != 0 {
			return n
		}
		if a.Order != b.Order {
			return a.Order - b.Order
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// gateway reads gw/NAME, which must exist.
func (t *tx) gateway(ctx context.Context, name string) (mfa.Gateway, error) {
	b, err := t.get(ctx, gatewayKey(name))
	if err != nil {
		return mfa.Gateway{}, err
	}
	if b == nil {
		return mfa.Gateway{}, mfa.ErrNotFound
	}
	r, err := t.s.parseGateway(name, b)
	return r.opened, err
}

// CreateGateway stores a new gateway. It assigns what is empty of times.
func (s *Store) CreateGateway(ctx context.Context, g mfa.Gateway) (mfa.Gateway, error) {
	if g.Name == "" || strings.ContainsAny(g.Name, "/\x00") {
		return mfa.Gateway{}, fmt.Errorf("gateway name %q: may not be empty nor hold a slash: %w", g.Name, mfa.ErrInvalid)
	}
	if g.Created.IsZero() {
		g.Created = s.now()
	}
	if g.Changed.IsZero() {
		g.Changed = g.Created
	}
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		if b, err := t.get(ctx, gatewayKey(g.Name)); err != nil {
			return err
		} else if b != nil {
			return mfa.ErrExists
		}
		r, err := s.sealGateway(g)
		t.put(gatewayKey(g.Name), r)
		return err
	})
	if err != nil {
		return mfa.Gateway{}, fmt.Errorf("create gateway %q: %w", g.Name, err)
	}
	return g, nil
}

// UpdateGateway runs change on a fresh copy of the gateway, perhaps more than once, and stores
// what it made of it. The name stays. change replaces slices and maps, it does not write into
// them.
func (s *Store) UpdateGateway(ctx context.Context, name string, change func(*mfa.Gateway) error) (mfa.Gateway, error) {
	var g mfa.Gateway
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		old, err := t.gateway(ctx, name)
		if err != nil {
			return err
		}
		g = old
		if err := change(&g); err != nil {
			return err
		}
		g.Name, g.Created, g.Changed = name, old.Created, s.now()
		r, err := s.sealGateway(g)
		t.put(gatewayKey(name), r)
		return err
	})
	if err != nil {
		return mfa.Gateway{}, fmt.Errorf("change gateway %q: %w", name, err)
	}
	return g, nil
}

// RemoveGateway deletes the gateway.
func (s *Store) RemoveGateway(ctx context.Context, name string) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.gateway(ctx, name); err != nil {
			return err
		}
		t.del(gatewayKey(name))
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove gateway %q: %w", name, err)
	}
	return nil
}
