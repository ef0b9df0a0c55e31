// Package node assembles a server out of all other packages and runs it: it founds a
// group, opens what a data folder holds, starts the front-ends, stops everything in the
// right order, and makes and restores backups. It is the only place where the engine,
// the outside world and the edges meet.
//
// The data folder:
//
//	DATA/keys/wrap.key     what the group's keyset is wrapped to (mode 0600)
//	DATA/keys/sign.key     what signs the epoch file (mode 0600)
//	DATA/keys/peer.key     its TLS key, peer.pem the certificate, for the peer port (mode 0600)
//	DATA/members.json      copy of the member records, see roster.go
//	DATA/epochs.json       what servers of later epochs have signed, see testimony.go
//	DATA/heard.json        what other servers last reported, see kept.go
//	DATA/schema.json       the schema of the records that the group writes, see schema.go
//	DATA/left.json         this server has left its group
//	DATA/left/             what `activate` moved away then
//	DATA/epoch.json, db/   the database, see package cluster
//	DATA/trail/            see package trail; DATA/index/ is derived from it
//	DATA/admin.sock        admin API (mode 0600)
//	DATA/ca.pem            certificate of the group's CA, for clients to trust
//	DATA/demo.json         only of a demo: what to try it with (mode 0600)
package node

import "path/filepath"

// Names in the data folder.
const (
	keysDir    = "keys"
	trailDir   = "trail"
	indexDir   = "index"
	socketName = "admin.sock"
	caName     = "ca.pem"
	demoName   = "demo.json"
	restoreDir = ".restore"
	leftDir    = "left"
)

// known are the names that are ours in a folder without a database.
func known() []string {
	return []string{keysDir, trailDir, indexDir, socketName, caName, demoName, restoreDir, rosterName, testimonyName, keptName, schemaName, leftName, leftDir}
}

// SocketPath is where the admin API of the server with that data folder listens.
func SocketPath(dataDir string) string { return filepath.Join(dataDir, socketName) }
