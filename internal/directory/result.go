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

// answerError is an answer of the server that is not success.
type answerError struct {
	code       uint16 // RFC 4511 appendix A
	diagnostic string // as it came
}

func (e answerError) Error() string {
	if e.code == ldap.LDAPResultReferral {
		return "the server refers to another one (result 10) and referrals are not followed: list the server that holds base_dn in urls"
	}
	name := ldap.LDAPResultCodeMap[e.code]
	if name == "" {
		name = "unknown"
	}
	if d := printable(e.diagnostic, 200); d != "" {
		name += ": " + d
	}
	return fmt.Sprintf("result %d, %s", e.code, name)
}

// classify tells the library's errors apart: an answerError, or a lostError.
func classify(err error) error {
	var e *ldap.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return lostError{err}
	case e.ResultCode >= ldap.ErrorNetwork && e.Err != nil:
		return lostError{e.Err}
	case e.ResultCode >= ldap.ErrorNetwork:
		return lostError{err}
	}
	a := answerError{code: e.ResultCode}
	if e.Err != nil {
		a.diagnostic = e.Err.Error()
	}
	return a
}

// answer returns what the server answered, or false if err is no answer.
func answer(err error) (answerError, bool) {
	var a answerError
	ok := errors.As(err, &a)
	return a, ok
}

func lost(err error) bool {
	var l lostError
	return errors.As(err, &l)
}

// unwell reports whether another server may do better: no answer, or busy (51) or
// unavailable (52).
func unwell(err error) bool {
	a, ok := answer(err)
	return lost(err) || ok && (a.code == ldap.LDAPResultBusy || a.code == ldap.LDAPResultUnavailable)
}

// The advice for an error of an operation: what to check.
func serviceBindAdvice(err error) string {
	if a, ok := answer(err); ok && a.code == ldap.LDAPResultInvalidCredentials {
		return "check bind_dn and bind_password"
	}
	return bindAdvice(err)
}

func bindAdvice(err error) string {
	a, ok := answer(err)
	switch {
	case ok && (a.code == ldap.LDAPResultConfidentialityRequired || a.code == ldap.LDAPResultStrongAuthRequired):
		return "the server wants TLS: use ldaps:// in urls, or set start_tls"
	case ok && a.code == ldap.LDAPResultReferral:
		return "check urls"
	}
	return "see the directory server's log"
}

func searchAdvice(err error) string {
	a, ok := answer(err)
	if !ok {
		return "see the directory server's log"
	}
	switch a.code {
	case ldap.LDAPResultNoSuchObject, ldap.LDAPResultReferral:
		return "check base_dn"
	case ldap.LDAPResultOperationsError, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultStrongAuthRequired:
		return "the account may not search: check bind_dn and its rights"
	}
	return "check user_filter and base_dn, and see the directory server's log"
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
