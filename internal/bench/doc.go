// Package bench measures a Countersign server beside two servers that people use today,
// all in one run on one machine: FreeRADIUS with rlm_totp, which keeps nothing, and
// OpenLDAP with slapo-otp, which writes each passcode down before it answers. `make bench`
// runs it; docs/performance.md says what the figures mean.
//
// Rounds of the systems are interleaved and medians are told, because what else the
// machine does changes a figure by more than most changes to a program do. For the same
// reason every round has the processor time of the server's processes beside the rate.
package bench
