// Package mfa holds the nouns of Countersign: who asks (Application), who signs in
// (User), with what (Credential), what was asked (Request), what was answered
// (Decision) and why (Reason). It has no behaviour beyond its own invariants, no clock
// and no I/O. Every zero value refuses.
package mfa
