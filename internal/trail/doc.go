// Package trail keeps the append-only, hash-chained file that is both audit trail and
// ledger: what this server answered, and what it remembers of spent codes and failures.
//
// # Format
//
// A trail is a folder of segments, trail-00000001.jsonl and so on. Each line is one JSON
// object:
//
//	{"hash":"64 hexadecimal digits","seq":7,"synced":6,"attempt":{...}}
//
// The hash is SHA-256 over the 32 bytes of the hash of the line before (32 zero bytes
// before the first) and the bytes of this line from "seq" up to but not including the
// newline; those begin at byte 75. So a verifier is a few lines in any language. seq
// counts lines from 1 without a gap, over all segments. synced stands on the first line
// of each write and says up to which line everything was on disk when it was written.
// Then comes one of settled, attempt or act (the fields of mfa.Record), segment (first
// line of each segment: which, whose, after what) or removed (old segments were removed
// by retention: up to which line).
//
// The segment in use ends in spaces, written ahead so that the disk need not grow the
// file with each sync. They are white space between JSON values and are cut off when the
// segment is closed.
//
// # What a crash leaves
//
// A write that was not finished when the power went leaves an incomplete tail: Open
// cuts it off and says so. Nothing in it was acknowledged. A complete line that is wrong
// is damage, and Open cuts nothing: it leaves the segment as it is and begins a new one
// whose first line tells of the break, so that Verify reports it from then on.
package trail
