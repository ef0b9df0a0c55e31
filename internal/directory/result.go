package directory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/mfa"
)

// adReasons are the sub-codes that Active Directory puts behind result 49: Windows error
// codes, in hexadecimal.
var adReasons = map[uint32]mfa.Reason{
	0x525: mfa.NotInDirectory,           // no such user
	0x52e: mfa.WrongPassword,            // wrong password (also: no such user)
	0x52f: mfa.LogonNotAllowed,          // account restriction
	0x530: mfa.LogonNotAllowed,          // not at this hour
	0x531: mfa.LogonNotAllowed,          // not at this workstation
	0x532: mfa.PasswordExpired,          // password expired
	0x533: mfa.AccountDisabled,          // account disabled
	0x534: mfa.LogonNotAllowed,          // logon type not granted
	0x701: mfa.AccountExpired,           // account expired
	0x773: mfa.PasswordMustChange,       // must be changed first
	0x775: mfa.AccountLockedInDirectory, // locked out
}

// adSubCode finds the sub-code in the diagnostic message of Active Directory or Samba:
// "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v2580".
func adSubCode(diagnostic string) (code uint32, ok bool) {
	_, rest, ok := strings.Cut(diagnostic, "AcceptSecurityContext error, data ")
	if !ok {
		return 0, false
	}
	digits, _, ok := strings.Cut(rest, ",")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	return uint32(n), err == nil
}

// credentialsReason says why a directory answered invalidCredentials (49).
func credentialsReason(diagnostic string) mfa.Reason {
	if code, ok := adSubCode(diagnostic); ok {
		if r, ok := adReasons[code]; ok {
			return r
		}
	}
	return mfa.WrongPassword
}

// lostError is the end of a connection: nothing was answered, or nothing that can be
// read. The server may be dead, or the connection merely old.
type lostError struct{ err error }

func (e lostError) Error() string { return e.err.Error() }
func (e lostError) Unwrap() error { return e.err }

// answer returns what the server answered, or false if err is not an answer of it.
func answer(err error) (*ldap.Error, bool) {
	var e *ldap.Error
	if errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork {
		return e, true
	}
	return nil, false
}

// unwell reports whether another server may do better: no answer, or busy (51) or
// unavailable (52).
func unwell(err error) bool {
	var l lostError
	return errors.As(err, &l) || ldap.IsErrorAnyOf(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable)
}

// describe makes a server's answer readable, bounded and printable.
func describe(e *ldap.Error) error {
	if e.ResultCode == ldap.LDAPResultReferral {
		return errors.New("the server refers to another one (result 10) and referrals are not followed: list the server that holds base_dn in urls")
	}
	name := ldap.LDAPResultCodeMap[e.ResultCode]
	if name == "" {
		name = "unknown"
	}
	diag := diagnostic(e)
	if diag == "" {
		return fmt.Errorf("result %d, %s", e.ResultCode, name)
	}
	return fmt.Errorf("result %d, %s: %s", e.ResultCode, name, diag)
}

func diagnostic(e *ldap.Error) string {
	if e.Err == nil {
		return ""
	}
	return printable(e.Err.Error(), 200)
}

// printable returns at most n runes of s without control characters.
func printable(s string, n int) string {
	out := make([]rune, 0, min(len(s), n))
	for _, r := range s {
		if len(out) == n {
			break
		}
		if unicode.IsPrint(r) {
			out = append(out, r)
		}
	}
	return string(out)
}
