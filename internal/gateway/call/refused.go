package call

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/mfa"
)

// refused says what a final answer of SIP means that is none of success. What the telephone
// network says of the call itself (ITU-T Q.850, in a Reason header, RFC 3326) is the better word.
func refused(res *sip.Response) error {
	why := byStatus(res.StatusCode)
	cause := causeOf(res)
	if better, ok := byCause[cause]; ok && res.StatusCode >= 400 && why != mfa.GatewayNoCredit {
		why = better
	}
	said := fmt.Sprintf("SIP %d %.60s", res.StatusCode, res.Reason)
	if cause != 0 {
		said += fmt.Sprintf(", cause %d of the telephone network", cause)
	}
	return fmt.Errorf("%w: %s", why, said)
}

func byStatus(status int) mfa.Reason {
	switch status {
	case 486, 600:
		return mfa.CallBusy
	case 603, 607, 608, 433:
		return mfa.CallRejected
	case 480, 408, 487:
		return mfa.CallNoAnswer
	case 404, 410, 414, 416, 484, 485, 604:
		return mfa.RecipientRefused
	case 402:
		return mfa.GatewayNoCredit
	case 500, 502, 503, 504:
		return mfa.GatewayDown
	}
	return mfa.GatewayRefused
}

// byCause are the causes that say more than most trunks' status does.
var byCause = map[int]mfa.Reason{
	1: mfa.RecipientRefused, 22: mfa.RecipientRefused, 28: mfa.RecipientRefused, // no such number, it has changed, it is incomplete
	17: mfa.CallBusy,
	18: mfa.CallNoAnswer, 19: mfa.CallNoAnswer, 20: mfa.CallNoAnswer, // no reply, nobody picks up, switched off
	21: mfa.CallRejected,
	34: mfa.GatewayDown, 38: mfa.GatewayDown, 41: mfa.GatewayDown, 42: mfa.GatewayDown, // no line free, out of order, congestion
}

// causeOf returns the cause in a header as in `Reason: Q.850;cause=17;text="User busy"`; 0: none.
func causeOf(res *sip.Response) int {
	for _, h := range res.GetHeaders("Reason") {
		protocol, rest, _ := strings.Cut(h.Value(), ";")
		if !strings.EqualFold(strings.TrimSpace(protocol), "Q.850") {
			continue
		}
		for p := range strings.SplitSeq(rest, ";") {
			if v, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "cause="); ok {
				n, _ := strconv.Atoi(strings.Trim(v, `" `))
				return n
			}
		}
	}
	return 0
}
