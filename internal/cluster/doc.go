// Package cluster keeps the group's database: one embedded etcd member behind about ten
// methods. It is the only package that knows etcd.
//
// A Node is one member of one epoch (one etcd cluster id). It has no client port and, as
// long as the group has one server, no peer port either. Reads that must be right (Get,
// Scan, Barrier) are linearizable; Watch reads the local copy and needs no master.
//
// The data folder:
//
//	DATA/lock                   held while a process has the folder open
//	DATA/epoch.json             which database counts: group, epoch, cluster id, signed
//	DATA/db/epoch-N.COPY/       etcd's own files; COPY counts up, no folder is used twice
//	DATA/snapshots/             local snapshots, one an hour
//	DATA/ballast                reserve that is given up when the disk runs full
//
// What is acknowledged has been synced to disk by etcd's write-ahead log. What a power cut
// may take is the unsynced rest, which etcd cuts off at the next start; package trail has
// the file seam that simulates one for what this program writes itself.
package cluster
