// Package config reads the node file: what one server must know before it can reach its
// database (name, data folder, addresses, log). Everything else lives in the database.
//
// The file is YAML and strict. All of its mistakes are told at once, one line each:
//
//	countersign.yaml:4: unknown key "listen.radus"; did you mean "radius"? (allowed here: ...)
//
// Environment variables override the file, and flags override both; the table in
// settings.go names each.
package config

import (
	"log/slog"
	"net/netip"
)

// DefaultDataDir is where a server keeps its data unless told otherwise.
const DefaultDataDir = "/var/lib/countersign"

// DefaultFile is the node file that is read where none is named, if it is there.
const DefaultFile = "/etc/countersign/countersign.yaml"

// Config is the node file with its overrides. Addresses are checked and in the form
// host:port; an empty one means that this front-end is off.
type Config struct {
	Path        string // the file it was read from; empty: none
	Name        string // of this server, unique in the group
	DataDir     string // absolute
	Listen      Listen
	Advertise   Advertise
	Coordinator []string // URLs
	Log         Log
	TLS         TLS

	CountriesFile  string         // CSV that says where addresses are, for policy rules; empty: that is not known
	TrustedProxies []netip.Prefix // reverse proxies in front of https, whose X-Forwarded-For is believed
}

// Listen holds the addresses that this server opens. Port 0 takes any free port.
type Listen struct {
	Peer        string   // replication and server to server
	HTTPS       string   // REST API, and the pages that have no address of their own
	Console     string   // console, and the REST API; empty: on HTTPS
	Portal      string   // user portal; empty: on HTTPS
	RADIUS      []string // authentication, UDP
	Accounting  []string // RADIUS accounting, UDP
	LDAP        []string
	Coordinator string
	Metrics     string // Prometheus and health; loopback if the host is left out
}

// Advertise holds the addresses by which others reach this server; empty: as in Listen.
type Advertise struct {
	Peer        string
	HTTPS       string
	Console     string
	Portal      string
	Coordinator string
}

// Log says where and how much the server writes.
type Log struct {
	Format     string // "text" or "json"
	Level      slog.Level
	File       string                // empty: standard error
	Components map[string]slog.Level // by component; the others use Level
}

// TLS names the certificate of the https listener; both empty: issued by the group's CA. Console
// and Portal are for those of the same names; without any, theirs is that of https.
type TLS struct {
	CertFile string
	KeyFile  string
	Console  Pair
	Portal   Pair
}

// Pair names the files of a certificate and its key.
type Pair struct{ CertFile, KeyFile string }
