package smpp

import "fmt"

// Status is what an answer says.
type Status uint32

// The statuses that somebody branches on.
const (
	OK             Status = 0
	InvalidCommand Status = 0x03
	AlreadyBound   Status = 0x05
	QueueFull      Status = 0x14
	InvalidTarget  Status = 0x0B
	Throttled      Status = 0x58
	SystemError    Status = 0x08
	TemporaryError Status = 0x64
	UnknownError   Status = 0xFF
)

// statuses are the names of those that an answer to a bind or a submit can have (SMPP 3.4,
// 5.1.3; 5.0, 4.7.6).
var statuses = map[Status]string{
	OK: "ESME_ROK", 0x01: "ESME_RINVMSGLEN", 0x02: "ESME_RINVCMDLEN", InvalidCommand: "ESME_RINVCMDID", 0x04: "ESME_RINVBNDSTS",
	AlreadyBound: "ESME_RALYBND", 0x06: "ESME_RINVPRTFLG", 0x07: "ESME_RINVREGDLVFLG", SystemError: "ESME_RSYSERR",
	0x0A: "ESME_RINVSRCADR", InvalidTarget: "ESME_RINVDSTADR", 0x0C: "ESME_RINVMSGID", 0x0D: "ESME_RBINDFAIL", 0x0E: "ESME_RINVPASWD",
	0x0F: "ESME_RINVSYSID", QueueFull: "ESME_RMSGQFUL", 0x15: "ESME_RINVSERTYP", 0x43: "ESME_RINVESMCLASS", 0x44: "ESME_RCNTSUBDL",
	0x45: "ESME_RSUBMITFAIL", 0x48: "ESME_RINVSRCTON", 0x49: "ESME_RINVSRCNPI", 0x50: "ESME_RINVDSTTON", 0x51: "ESME_RINVDSTNPI",
	0x53: "ESME_RINVSYSTYP", Throttled: "ESME_RTHROTTLED", 0x61: "ESME_RINVSCHED", 0x62: "ESME_RINVEXPIRY", TemporaryError: "ESME_RX_T_APPN",
	0x65: "ESME_RX_P_APPN", 0x66: "ESME_RX_R_APPN", 0xC0: "ESME_RINVOPTPARSTREAM", 0xC1: "ESME_ROPTPARNOTALLWD", 0xC2: "ESME_RINVPARLEN",
	0xC3: "ESME_RMISSINGOPTPARAM", 0xC4: "ESME_RINVOPTPARAMVAL", 0xFE: "ESME_RDELIVERYFAILURE", UnknownError: "ESME_RUNKNOWNERR",
	0x100: "ESME_RSERTYPUNAUTH", 0x101: "ESME_RPROHIBITED", 0x102: "ESME_RSERTYPUNAVAIL", 0x103: "ESME_RSERTYPDENIED", 0x104: "ESME_RINVDCS",
}

// String returns number and name.
func (s Status) String() string {
	if name := statuses[s]; name != "" {
		return fmt.Sprintf("0x%02X %s", uint32(s), name)
	}
	return fmt.Sprintf("0x%X", uint32(s))
}
