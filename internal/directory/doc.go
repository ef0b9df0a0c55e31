// Package directory checks first factors: local passwords, kept as argon2id hashes in
// the database, and passwords that an LDAP directory or Active Directory knows.
//
// A Checker answers nil, a mfa.Reason for what the user did wrong, or another error for
// what we, or the directory, did (DESIGN law 6): then nobody is told "wrong password".
//
// # Local passwords
//
// A password is 1 to 1024 bytes. If it is UTF-8 and PRECIS OpaqueString takes it (RFC
// 8265 section 4: NFC, every space an ASCII space), that form is hashed; anything else,
// control characters and NUL among it, is hashed byte for byte. At the check the form is
// tried first and then, where it differs, the bytes as they came: hashes imported from
// elsewhere were made from those. Besides our own argon2id, imported hashes are verified
// (argon2id PHC within bounds, bcrypt, {SSHA}) and replaced by our own after the first
// success.
//
// Hashing costs memory and a core, so that only as many run as there are cores, and the
// others wait in a queue that is fair between users and bounded (file gate.go).
//
// # Directories
//
// The name that is looked up is the user's registered login (mfa.User.Login), never what
// was typed; only for a user who is unknown here it is the normalised form of what was
// typed. Of a stranger whose password is right all names of the entry are told, so that
// nobody passes as unknown under another name of theirs. In the user filter {login} stands for that login and {user} for its part before
// the @ or behind the \. The password is sent as it was typed, over TLS only (but for
// loopback), and never if it is empty or holds a NUL: some servers cut it there, and an
// empty password would be an unauthenticated bind (RFC 4513 section 5.1.2), which
// succeeds for everybody.
package directory
