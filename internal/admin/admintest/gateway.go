package admintest

import (
	"context"
	"fmt"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// Gateways implements admin.Gateways.
func (m *Memory) Gateways() []mfa.Gateway { return values(m, m.gateways) }

// Gateway implements admin.Gateways.
func (m *Memory) Gateway(name string) (mfa.Gateway, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, ok := m.gateways[name]
	if !ok {
		return g, fmt.Errorf("gateway %q: %w", name, mfa.ErrNotFound)
	}
	return g, nil
}

// CreateGateway implements admin.Gateways.
func (m *Memory) CreateGateway(_ context.Context, g mfa.Gateway) (mfa.Gateway, error) {
	if _, err := m.Gateway(g.Name); err == nil {
		return g, mfa.ErrExists
	}
	return g, put(m, m.gateways, g.Name, g)
}

// UpdateGateway implements admin.Gateways.
func (m *Memory) UpdateGateway(_ context.Context, name string, change func(*mfa.Gateway) error) (mfa.Gateway, error) {
	return edit(m, m.gateways, name, change)
}

// RemoveGateway implements admin.Gateways.
func (m *Memory) RemoveGateway(_ context.Context, name string) error {
	return remove(m, m.gateways, name)
}

// Recordings implements admin.Recordings.
func (m *Memory) Recordings() []mfa.Recording { return values(m, m.recordings) }

// PutRecording implements admin.Recordings.
func (m *Memory) PutRecording(_ context.Context, r mfa.Recording) error {
	return put(m, m.recordings, r.Name, r)
}

// RemoveRecording implements admin.Recordings.
func (m *Memory) RemoveRecording(_ context.Context, name string) error {
	return remove(m, m.recordings, name)
}

// GatewayHealth implements admin.Messenger: nothing was sent yet.
func (*Node) GatewayHealth(mfa.Gateway) admin.GatewayHealth {
	return admin.GatewayHealth{State: "unused"}
}

// TestGateway implements admin.Messenger: it works.
func (*Node) TestGateway(_ context.Context, g mfa.Gateway, to string) []admin.Check {
	return []admin.Check{{Name: "send", Target: g.Address, Layer: g.Protocol, OK: true, Detail: to}}
}
