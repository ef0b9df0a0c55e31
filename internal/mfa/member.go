package mfa

import (
	"bytes"
	"time"
)

// The roles of a server in its group.
const (
	RoleServer  = "server"
	RoleWitness = "witness" // votes, but runs no front-end and holds no keys
	// RoleCoordinator is that of an independent coordinator beside others of its kind.
	RoleCoordinator = "coordinator"
)

// Member is one server of the group, as its master wrote it at admission or renewal.
type Member struct {
	Name        string    `json:"name"`
	Role        string    `json:"role"`                  // RoleServer or RoleWitness
	Peer        string    `json:"peer"`                  // host:port of the peer port, as others reach it
	HTTPS       string    `json:"https,omitempty"`       // host:port; "" if off
	Coordinator string    `json:"coordinator,omitempty"` // host:port of the coordinator's port; "" if off
	Key         string    `json:"key"`                   // SHA-256 of the SubjectPublicKeyInfo of its certificate, 64 hexadecimal digits
	Sign        []byte    `json:"sign"`                  // Ed25519 public key that signs its epoch file and answers
	Wrap        string    `json:"wrap,omitempty"`        // age recipient that the group's keyset is wrapped to; "" for a witness
	MemberID    string    `json:"member_id,omitempty"`   // of the database, 16 hexadecimal digits; "" until it has been added there
	Joined      time.Time `json:"joined,omitzero"`
	Schema      int       `json:"schema,omitempty"`  // newest of records that its program knows; 0: 1
	Version     string    `json:"version,omitempty"` // of the program, as last told
	By          string    `json:"by,omitempty"`      // who admitted it
}

// Same reports whether o, which asks for admission, is the server of this record: with the same
// keys, by the same code, and not in the database yet.
func (m Member) Same(o Member) bool {
	return m.Name == o.Name && m.Role == o.Role && m.Key == o.Key && m.Key != "" && m.Wrap == o.Wrap && bytes.Equal(m.Sign, o.Sign) && m.By == o.By && m.MemberID == ""
}
