package mfa

import (
	"time"

	"countersign/internal/secret"
)

// What a gateway carries.
const (
	GatewayMail = "mail"
	GatewaySMS  = "sms"
	GatewayCall = "call"
)

// How a gateway is spoken to.
const (
	GatewaySMTP = "smtp" // mail
	GatewayHTTP = "http" // sms: a provider's API
	GatewaySIP  = "sip"  // call: a provider's trunk, or an exchange of one's own
	GatewaySMPP = "smpp" // sms: SMPP 3.4 or 5.0, as a transceiver
)

// How a connection to a gateway is secured.
const (
	GatewayTLS      = "tls"      // from the first byte
	GatewayStartTLS = "starttls" // smtp: before anything is said; a server without it is refused
	GatewayPlain    = "none"     // not at all
)

// Gateway is something that carries a message to a person. Password and the values of HTTP
// headers are sealed at rest.
type Gateway struct {
	Name      string
	Kind      string // what it carries: "mail", "sms", "call"
	Protocol  string // "smtp", "http", "smpp", "sip"
	Order     int    // of those of a kind the lowest is asked first
	Disabled  bool
	Address   string // smtp, smpp, sip: host:port; http: URL, in which placeholders may stand
	TLS       string // smtp, smpp
	CAs       string // PEM; empty: the system's
	Login     string
	Password  secret.Text
	From      string        // mail: the sender's address; sms, call: number or name that it comes from
	Timeout   time.Duration // of one try; 0: 4 s
	Private   bool          // http: its address may be a private one
	Countries []string      // sms, call: countries (ISO 3166) that it may send to; none: it sends nowhere
	CapDay    int           // sms: most parts, call: most calls in a day (UTC); 0: no cap
	CapMonth  int           // sms: most parts, call: most calls in a month (UTC); 0: no cap
	HTTP      HTTPTemplate
	Receipts  string // http: where the provider reaches this group, https://HOST; "": it tells nothing of what becomes of messages
	SIP       SIPTrunk
	SMPP      SMPPOptions
	Created   time.Time
	Changed   time.Time
}

// SIPTrunk says how calls are placed.
type SIPTrunk struct {
	Transport string        `json:"transport,omitempty"`  // "udp", "tcp", "tls"
	Domain    string        `json:"domain,omitempty"`     // of its SIP addresses; "": the host of the gateway's address
	Dial      string        `json:"dial,omitempty"`       // what is dialled: {number}, or {digits} without the +; "": {number}
	Ring      time.Duration `json:"ring_ns,omitempty"`    // until somebody picks up; 0: 30 s
	Calls     int           `json:"calls,omitempty"`      // at once, of one server; 0: 10
	FirstPort int           `json:"first_port,omitempty"` // UDP ports of this side for audio; 0: any
	LastPort  int           `json:"last_port,omitempty"`
}

// HTTPTemplate says how a provider's API is asked and how its answer is read. In URL, Body and
// header values {number}, {digits}, {text}, {sender}, {login}, {password}, {basic}, {id} and {callback}
// stand for what is sent.
type HTTPTemplate struct {
	Profile string            `json:"profile,omitempty"` // that it was made from
	Method  string            `json:"method,omitempty"`  // POST, GET, PUT
	Format  string            `json:"format,omitempty"`  // "json", "form"
	Body    string            `json:"body,omitempty"`    // json: a document; form: name=value lines
	Headers map[string]string `json:"-"`                 // sealed
	Accept  []HTTPRule        `json:"accept,omitempty"`  // one must fit, else it was not accepted; none: any status 2xx
	Refuse  []HTTPRule        `json:"refuse,omitempty"`  // looked at first
	ID      string            `json:"id,omitempty"`      // path of the provider's name for the message
	Receipt HTTPReceipt       `json:"receipt,omitzero"`  // how what the provider sends to {callback} is read
}

// HTTPReceipt says how a provider tells what has become of a message: in a form, in the query of a
// GET, or in a JSON document. The zero value: not at all.
type HTTPReceipt struct {
	State   string   `json:"state,omitempty" maxLength:"128" doc:"path of the word that says what has become of the message"`
	Arrived []string `json:"arrived,omitempty" maxItems:"16" doc:"words for one that arrived"`
	Lost    []string `json:"lost,omitempty" maxItems:"32" doc:"words for one that will not; any other says nothing yet"`
	Error   string   `json:"error,omitempty" maxLength:"128" doc:"path of the provider's own code of what went wrong"`
}

// HTTPRule fits an answer by its status and by one value in its JSON document.
type HTTPRule struct {
	Status int    `json:"status,omitempty" doc:"of the answer; 0: any"`
	Path   string `json:"path,omitempty" doc:"of a value, as in messages.0.status; empty: none is looked at"`
	Value  string `json:"value,omitempty" doc:"that it must have"`
	Reason string `json:"reason,omitempty" doc:"refuse: what it means"`
}

// The versions of SMPP, the alphabets, and how the parts of a long message are told.
const (
	SMPP34      = "3.4"
	SMPP50      = "5.0"
	AlphabetGSM = "gsm"  // the GSM default alphabet with its extension, one octet each (data_coding 0); UCS-2 where that is not enough
	AlphabetUCS = "ucs2" // always UCS-2 (data_coding 8)
	PartsByUDH  = "udh"  // by a header in the text
	PartsBySAR  = "sar"  // by optional parameters
)

// SMPPOptions says how a gateway of protocol smpp is spoken to. What is empty is as the
// comment says.
type SMPPOptions struct {
	Version    string        `json:"version,omitempty"` // SMPP34
	SystemType string        `json:"system_type,omitempty"`
	Window     int           `json:"window,omitempty"`      // messages under way at once; 10
	Enquire    time.Duration `json:"enquire_ns,omitempty"`  // how often an idle link is tried; 30 s
	Parts      string        `json:"parts,omitempty"`       // PartsByUDH
	Alphabet   string        `json:"alphabet,omitempty"`    // AlphabetGSM
	NoReceipts bool          `json:"no_receipts,omitempty"` // it gives none, so none is missed
	Refuse     []SMPPRule    `json:"refuse,omitempty"`      // what the provider's own statuses mean
}

// SMPPRule says what a status means.
type SMPPRule struct {
	Status int    `json:"status" minimum:"1" maximum:"2147483647" doc:"of an answer to a bind or a message, as in 1041 for 0x411"`
	Reason string `json:"reason" doc:"what it means"`
}

// What becomes of a message, as the group is told.
const (
	FateArrived = "arrived"
	FateLost    = "lost"   // it will never arrive
	FateResent  = "resent" // the same, and another gateway has it
)

// Delivery is what became of a message.
type Delivery struct {
	Tag  []byte // stands for the message at its gateway
	Fate string
	Why  string // as the gateway says it
}
