package mfa

import "time"

// The roles of a server in its group.
const (
	RoleServer  = "server"
	RoleWitness = "witness" // votes, but runs no front-end and holds no keys
)

// Member is one server of the group, as its master wrote it at admission or renewal.
type Member struct {
	Name        string
	Role        string    // RoleServer or RoleWitness
	Peer        string    // host:port of the peer port, as others reach it
	HTTPS       string    // host:port; "" if off
	Coordinator string    // host:port of the coordinator's port; "" if off
	Key         string    // SHA-256 of the SubjectPublicKeyInfo of its certificate, 64 hexadecimal digits
	Sign        []byte    // Ed25519 public key that signs its epoch file and answers
	Wrap        string    // age recipient that the group's keyset is wrapped to; "" for a witness
	MemberID    string    // of the database, 16 hexadecimal digits; "" until it has been added there
	Joined      time.Time
	Version     string // of the program, as last told
	By          string // who admitted it
}
