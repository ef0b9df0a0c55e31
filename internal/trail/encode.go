package trail

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/mfa"
)

// appendRecord appends the kind and the JSON of r, with the brace that closes the line:
// "attempt":{...}}. It is written by hand because it lies on the path of every sign-in;
// encoding/json reads it back.
func appendRecord(dst []byte, r mfa.Record) ([]byte, error) {
	start := len(dst)
	set := 0
	if r.Settled != nil {
		set++
		dst = appendSettled(append(dst, `"settled":`...), r.Settled)
	}
	if r.Attempt != nil {
		set++
		dst = appendAttempt(append(dst, `"attempt":`...), r.Attempt)
	}
	if r.Act != nil {
		set++
		dst = appendAct(append(dst, `"act":`...), r.Act)
	}
	if r.Change != nil {
		set++
		dst = appendChange(append(dst, `"change":`...), r.Change)
	}
	if r.Asked != nil {
		set++
		dst = appendAsked(append(dst, `"asked":`...), r.Asked)
	}
	if set != 1 {
		return dst[:start], fmt.Errorf("trail: a record has %d of settled, attempt, act, change and asked set, want 1: %w", set, mfa.ErrInvalid)
	}
	if len(dst)-start > maxLine-lineOverhead {
		return dst[:start], fmt.Errorf("trail: a record of %d bytes is longer than %d: %w", len(dst)-start, maxLine-lineOverhead, mfa.ErrInvalid)
	}
	return append(dst, '}'), nil
}

func appendSettled(dst []byte, s *mfa.Settled) []byte {
	dst = append(dst, `{"leg":"`...)
	if s.Leg != (mfa.LegID{}) {
		dst = hex.AppendEncode(dst, s.Leg[:])
	}
	dst = append(dst, '"')
	dst = appendString(append(dst, `,"attempt":`...), s.Attempt.String())
	dst = appendString(append(dst, `,"user":`...), string(s.User))
	dst = appendTime(append(dst, `,"time":`...), s.Time)
	dst = appendString(append(dst, `,"server":`...), s.Server)
	if s.Credential != "" {
		dst = appendString(append(dst, `,"credential":`...), string(s.Credential))
	}
	if s.Floor != (mfa.Floor{}) {
		dst = appendFloor(append(dst, `,"floor":`...), s.Floor)
	}
	if s.Nonce != 0 {
		dst = strconv.AppendUint(append(dst, `,"nonce":`...), s.Nonce, 10)
	}
	if !s.NonceUntil.IsZero() {
		dst = appendTime(append(dst, `,"nonce_until":`...), s.NonceUntil)
	}
	if s.Failures != 0 {
		dst = strconv.AppendInt(append(dst, `,"failures":`...), int64(s.Failures), 10)
	}
	if s.FirstFails != 0 {
		dst = strconv.AppendInt(append(dst, `,"first_failures":`...), int64(s.FirstFails), 10)
	}
	dst = appendString(append(dst, `,"reason":`...), s.Reason.String())
	dst = appendString(append(dst, `,"state":`...), s.State)
	dst = strconv.AppendUint(append(dst, `,"epoch":`...), s.Epoch, 10)
	if s.Revision != 0 {
		dst = strconv.AppendInt(append(dst, `,"revision":`...), s.Revision, 10)
	}
	if s.Number != 0 {
		dst = strconv.AppendUint(append(dst, `,"number":`...), s.Number, 10)
	}
	if s.Before != (mfa.Floor{}) {
		dst = appendFloor(append(dst, `,"before":`...), s.Before)
	}
	return append(dst, '}')
}

func appendFloor(dst []byte, f mfa.Floor) []byte {
	dst = strconv.AppendUint(append(dst, `{"next":`...), f.Next, 10)
	dst = strconv.AppendInt(append(dst, `,"drift":`...), int64(f.Drift), 10)
	dst = strconv.AppendUint(append(dst, `,"spent":`...), f.Spent, 10)
	return append(dst, '}')
}

func appendAttempt(dst []byte, a *mfa.Attempt) []byte {
	dst = appendString(append(dst, `{"attempt_id":`...), a.ID.String())
	dst = appendTime(append(dst, `,"time":`...), a.Time)
	dst = appendString(append(dst, `,"server":`...), a.Server)
	dst = appendString(append(dst, `,"application":`...), a.Application)
	dst = appendString(append(dst, `,"front_end":`...), a.FrontEnd)
	if a.User != "" {
		dst = appendString(append(dst, `,"user":`...), string(a.User))
	}
	dst = appendString(append(dst, `,"login":`...), a.Login)
	if a.Source != "" {
		dst = appendString(append(dst, `,"source":`...), a.Source)
	}
	if a.Peer != "" {
		dst = appendString(append(dst, `,"peer":`...), a.Peer)
	}
	dst = appendString(append(dst, `,"verdict":`...), a.Verdict.String())
	dst = appendString(append(dst, `,"reason":`...), a.Reason.String())
	if a.Method != "" {
		dst = appendString(append(dst, `,"method":`...), string(a.Method))
	}
	if a.Credential != "" {
		dst = appendString(append(dst, `,"credential":`...), string(a.Credential))
	}
	dst = strconv.AppendBool(append(dst, `,"degraded":`...), a.Degraded)
	if a.Unreplicated {
		dst = append(dst, `,"unreplicated":true`...)
	}
	dst = strconv.AppendInt(append(dst, `,"duration_ns":`...), int64(a.Duration), 10)
	for i, s := range a.Trace {
		if i == 0 {
			dst = append(dst, `,"trace":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	if len(a.Trace) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func appendAsked(dst []byte, a *mfa.Asked) []byte {
	dst = strconv.AppendUint(append(dst, `{"nonce":`...), a.Nonce, 10)
	dst = appendTime(append(dst, `,"until":`...), a.Until)
	return append(appendAttempt(append(dst, `,"attempt":`...), &a.Attempt), '}')
}

func appendAct(dst []byte, a *mfa.Act) []byte {
	dst = appendTime(append(dst, `{"time":`...), a.Time)
	dst = appendString(append(dst, `,"server":`...), a.Server)
	dst = appendString(append(dst, `,"by":`...), a.By)
	dst = appendString(append(dst, `,"verb":`...), a.Verb)
	dst = appendString(append(dst, `,"object":`...), a.Object)
	if a.Detail != "" {
		dst = appendString(append(dst, `,"detail":`...), a.Detail)
	}
	if a.Fraud != nil { // seldom
		if b, err := json.Marshal(a.Fraud); err == nil {
			dst = append(append(dst, `,"fraud":`...), bytes.ReplaceAll(b, []byte{0x7f}, []byte(`\u007f`))...)
		}
	}
	return append(dst, '}')
}

func appendChange(dst []byte, c *mfa.Change) []byte {
	dst = appendString(append(dst, `{"what":`...), c.What)
	if c.User != "" {
		dst = appendString(append(dst, `,"user":`...), string(c.User))
	}
	if c.Credential != "" {
		dst = appendString(append(dst, `,"credential":`...), string(c.Credential))
	}
	if c.Token != "" {
		dst = appendString(append(dst, `,"token":`...), c.Token)
	}
	if b := c.Block; b != nil {
		dst = appendString(append(dst, `,"block":{"by":`...), b.By)
		dst = appendTime(append(dst, `,"since":`...), b.Since)
		if !b.Until.IsZero() {
			dst = appendTime(append(dst, `,"until":`...), b.Until)
		}
		if b.Reason != "" {
			dst = appendString(append(dst, `,"reason":`...), b.Reason)
		}
		dst = append(dst, '}')
	}
	dst = appendString(append(dst, `,"by":`...), c.By)
	dst = appendTime(append(dst, `,"time":`...), c.Time)
	dst = appendString(append(dst, `,"server":`...), c.Server)
	dst = strconv.AppendUint(append(dst, `,"number":`...), c.Number, 10)
	return append(dst, '}')
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

// appendString appends s as a JSON string. What a terminal would not print is escaped,
// and what is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0 // s[plain:i] needs no escape
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			dst = append(dst, s[plain:i]...)
			if c == '"' || c == '\\' {
				dst = append(dst, '\\', c)
			} else {
				dst = appendUnit(dst, rune(c))
			}
			i++
			plain = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		dst = append(dst, s[plain:i]...)
		if r > 0xffff {
			r -= 0x10000
			dst = appendUnit(dst, 0xd800+r>>10)
			r = 0xdc00 + r&0x3ff
		}
		dst = appendUnit(dst, r)
		i += size
		plain = i
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

// appendUnit appends one UTF-16 code unit as \uXXXX.
func appendUnit(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
