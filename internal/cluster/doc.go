// Package cluster keeps the group's database: one embedded etcd member behind about ten
// methods. It is the only package that knows etcd.
//
// A Node is one member of one epoch (one etcd cluster id). It has no client port. If it has
// a peer port (Options.Peer), whoever owns the listener mounts PeerHandler there. Reads
// that must be right (Get, Scan, Barrier) and writes need a master and go to it from any
// member; Watch reads the local copy, needs none, and works alone after a restart too.
//
// A server comes in as a learner (AddLearner on the master; Join and CatchUp on the new
// one), gets a vote by Promote, and goes by Remove. There is no way back from a vote but
// Remove and a new membership; ids and copies of the database are never used twice.
//
// The data folder:
//
//	DATA/lock                   held while a process has the folder open
//	DATA/epoch.json             which database counts: group, epoch, cluster id, signed
//	DATA/db/epoch-N.COPY/       etcd's own files; COPY counts up, no folder is used twice
//	DATA/db/epoch-N.COPY.parked  there once a later epoch has taken that copy's place
//	DATA/joining                there while a new copy is being filled: its name
//	DATA/snapshots/             local snapshots, one an hour
//	DATA/ballast                reserve that is given up when the disk runs full
//
// What is acknowledged has been synced to disk by etcd's write-ahead log. What a power cut
// may take is the unsynced rest, which etcd cuts off at the next start; package trail has
// the file seam that simulates one for what this program writes itself.
package cluster
