package radius

// kind is how an attribute's value is written.
type kind uint8

const (
	text          kind = iota + 1 // 1 to 253 bytes without NUL
	octets                        // the same, or 0x and hexadecimal digits
	integer                       // 32 bits: decimal, 0x hexadecimal or a name of the table values
	ipv4                          // dotted
	ipv6                          // RFC 3162 section 2.1
	prefix6                       // RFC 3162 section 2.3
	taggedText                    // RFC 2868: a tag byte if the tag is not 0
	taggedInteger                 // RFC 2868: a tag byte and 24 bits
)

// attribute is one line of the dictionary. Vendor 0 is the standard space.
type attribute struct {
	vendor uint32
	number uint8
	kind   kind
}

// dictionary names what reply rules may add to an accept. What the server itself writes
// (State, Proxy-State, Message-Authenticator, EAP-Message) and what needs hiding is not
// in it on purpose. Numbers and types are those of the RFCs and of the vendors.
var dictionary = map[string]attribute{
	// RFC 2865, 2869, 3162, 6911: what an Access-Accept may carry.
	"Service-Type":               {0, 6, integer},
	"Framed-Protocol":            {0, 7, integer},
	"Framed-IP-Address":          {0, 8, ipv4},
	"Framed-IP-Netmask":          {0, 9, ipv4},
	"Framed-Routing":             {0, 10, integer},
	"Filter-Id":                  {0, 11, text},
	"Framed-MTU":                 {0, 12, integer},
	"Framed-Compression":         {0, 13, integer},
	"Login-IP-Host":              {0, 14, ipv4},
	"Login-Service":              {0, 15, integer},
	"Login-TCP-Port":             {0, 16, integer},
	"Reply-Message":              {0, 18, text},
	"Callback-Number":            {0, 19, text},
	"Callback-Id":                {0, 20, text},
	"Framed-Route":               {0, 22, text},
	"Class":                      {0, 25, octets},
	"Session-Timeout":            {0, 27, integer},
	"Idle-Timeout":               {0, 28, integer},
	"Termination-Action":         {0, 29, integer},
	"Port-Limit":                 {0, 62, integer},
	"Login-LAT-Service":          {0, 34, text},
	"Acct-Interim-Interval":      {0, 85, integer},
	"Configuration-Token":        {0, 78, text},
	"Framed-Pool":                {0, 88, text},
	"Framed-IPv6-Prefix":         {0, 97, prefix6},
	"Login-IPv6-Host":            {0, 98, ipv6},
	"Framed-IPv6-Route":          {0, 99, text},
	"Framed-IPv6-Pool":           {0, 100, text},
	"Framed-IPv6-Address":        {0, 168, ipv6},
	"DNS-Server-IPv6-Address":    {0, 169, ipv6},
	"Delegated-IPv6-Prefix-Pool": {0, 171, text},
	"Stateful-IPv6-Address-Pool": {0, 172, text},
	"NAS-Filter-Rule":            {0, 92, text},
	"Egress-VLAN-Name":           {0, 58, text},
	"User-Name":                  {0, 1, text},
	"Chargeable-User-Identity":   {0, 89, octets},
	// RFC 2868: tagged.
	"Tunnel-Type":             {0, 64, taggedInteger},
	"Tunnel-Medium-Type":      {0, 65, taggedInteger},
	"Tunnel-Client-Endpoint":  {0, 66, taggedText},
	"Tunnel-Server-Endpoint":  {0, 67, taggedText},
	"Tunnel-Private-Group-Id": {0, 81, taggedText},
	"Tunnel-Assignment-Id":    {0, 82, taggedText},
	"Tunnel-Preference":       {0, 83, taggedInteger},
	"Tunnel-Client-Auth-Id":   {0, 90, taggedText},
	"Tunnel-Server-Auth-Id":   {0, 91, taggedText},
	// Cisco (9), ASA and VPN 3000 (3076).
	"Cisco-AVPair":                {9, 1, text},
	"ASA-Simultaneous-Logins":     {3076, 2, integer},
	"ASA-Primary-DNS":             {3076, 5, ipv4},
	"ASA-Secondary-DNS":           {3076, 6, ipv4},
	"ASA-Tunneling-Protocols":     {3076, 11, integer},
	"ASA-Banner1":                 {3076, 15, text},
	"ASA-Group-Policy":            {3076, 25, text},
	"ASA-IPsec-Split-Tunnel-List": {3076, 27, text},
	"ASA-IPsec-Default-Domain":    {3076, 28, text},
	"CVPN3000-Access-Hours":       {3076, 1, text},
	// Microsoft (311), RFC 2548.
	"MS-Primary-DNS-Server":         {311, 28, ipv4},
	"MS-Secondary-DNS-Server":       {311, 29, ipv4},
	"MS-Primary-NBNS-Server":        {311, 30, ipv4},
	"MS-Secondary-NBNS-Server":      {311, 31, ipv4},
	"MS-Service-Class":              {311, 42, text},
	"MS-Quarantine-Session-Timeout": {311, 37, integer},
	// Fortinet (12356).
	"Fortinet-Group-Name":        {12356, 1, text},
	"Fortinet-Client-IP-Address": {12356, 2, ipv4},
	"Fortinet-Vdom-Name":         {12356, 3, text},
	"Fortinet-Interface-Name":    {12356, 5, text},
	"Fortinet-Access-Profile":    {12356, 6, text},
	// Juniper (2636) and NetScreen (3224).
	"Juniper-Local-User-Name":     {2636, 1, text},
	"Juniper-Allow-Commands":      {2636, 2, text},
	"Juniper-Deny-Commands":       {2636, 3, text},
	"Juniper-Allow-Configuration": {2636, 4, text},
	"Juniper-Deny-Configuration":  {2636, 5, text},
	"Juniper-User-Permissions":    {2636, 10, text},
	"Juniper-Primary-Dns":         {2636, 31, ipv4},
	"Juniper-Secondary-Dns":       {2636, 33, ipv4},
	"Juniper-Ip-Pool-Name":        {2636, 36, text},
	"Juniper-Local-Group-Name":    {2636, 46, text},
	"Juniper-Switching-Filter":    {2636, 48, text},
	"Juniper-AV-Pair":             {2636, 52, text},
	"NS-Admin-Privilege":          {3224, 1, integer},
	"NS-VSYS-Name":                {3224, 2, text},
	"NS-User-Group":               {3224, 3, text},
	"NS-Primary-DNS":              {3224, 4, ipv4},
	"NS-Secondary-DNS":            {3224, 5, ipv4},
	// Palo Alto Networks (25461).
	"PaloAlto-Admin-Role":                   {25461, 1, text},
	"PaloAlto-Admin-Access-Domain":          {25461, 2, text},
	"PaloAlto-Panorama-Admin-Role":          {25461, 3, text},
	"PaloAlto-Panorama-Admin-Access-Domain": {25461, 4, text},
	"PaloAlto-User-Group":                   {25461, 5, text},
	// Citrix (66).
	"Citrix-UID":         {66, 10, integer},
	"Citrix-GID":         {66, 11, integer},
	"Citrix-Home":        {66, 12, text},
	"Citrix-Shell":       {66, 13, text},
	"Citrix-Group-Names": {66, 14, text},
	"Citrix-Group-Ids":   {66, 15, text},
	"Citrix-User-Groups": {66, 16, text},
	// Check Point (2620), F5 (3375), SonicWall (8741), Aruba (14823), MikroTik (14988).
	"CP-Gaia-User-Role":        {2620, 229, text},
	"CP-Gaia-SuperUser-Access": {2620, 230, integer},
	"F5-LTM-User-Role":         {3375, 1, integer},
	"F5-LTM-User-Partition":    {3375, 3, text},
	"F5-LTM-User-Shell":        {3375, 5, text},
	"F5-LTM-User-Info-1":       {3375, 12, text},
	"SonicWall-User-Privilege": {8741, 1, integer},
	"SonicWall-User-Group":     {8741, 3, text},
	"Aruba-User-Role":          {14823, 1, text},
	"Aruba-User-Vlan":          {14823, 2, integer},
	"Aruba-Admin-Role":         {14823, 4, text},
	"Mikrotik-Group":           {14988, 3, text},
	"Mikrotik-Rate-Limit":      {14988, 8, text},
	"Mikrotik-Address-List":    {14988, 19, text},
}

// values names integers.
var values = map[string]map[string]uint32{
	"Service-Type": {
		"Login-User": 1, "Framed-User": 2, "Callback-Login-User": 3, "Callback-Framed-User": 4, "Outbound-User": 5,
		"Administrative-User": 6, "NAS-Prompt-User": 7, "Authenticate-Only": 8, "Callback-NAS-Prompt": 9,
		"Call-Check": 10, "Callback-Administrative": 11,
	},
	"Framed-Protocol":    {"PPP": 1, "SLIP": 2, "ARAP": 3, "Gandalf-SLML": 4, "Xylogics-IPX-SLIP": 5, "X.75-Synchronous": 6},
	"Framed-Compression": {"None": 0, "Van-Jacobson-TCP-IP": 1, "IPX-Header-Compression": 2, "Stac-LZS": 3},
	"Framed-Routing":     {"None": 0, "Broadcast": 1, "Listen": 2, "Broadcast-Listen": 3},
	"Login-Service": {
		"Telnet": 0, "Rlogin": 1, "TCP-Clear": 2, "PortMaster": 3, "LAT": 4, "X25-PAD": 5, "X25-T3POS": 6,
		"TCP-Clear-Quiet": 8,
	},
	"Termination-Action": {"Default": 0, "RADIUS-Request": 1},
	"Tunnel-Type": {
		"PPTP": 1, "L2F": 2, "L2TP": 3, "ATMP": 4, "VTP": 5, "AH": 6, "IP": 7, "MIN-IP": 8, "ESP": 9, "GRE": 10,
		"DVS": 11, "IP-in-IP": 12, "VLAN": 13,
	},
	"Tunnel-Medium-Type": {"IPv4": 1, "IPv6": 2, "IEEE-802": 6},
	"NS-Admin-Privilege": {
		"Root-Admin": 1, "All-VSYS-Root-Admin": 2, "VSYS-Admin": 3, "Read-Only-Admin": 4, "Read-Only-VSYS-Admin": 5,
	},
	"SonicWall-User-Privilege": {
		"Remote-Access": 1, "Bypass-Filters": 2, "VPN-Client-Access": 3, "Access-To-VPN": 4, "Limited-Management": 5,
		"L2TP-Client-Access": 6, "Wireless-Guest": 7, "Wireless-Add-ACL": 8, "Internet-Access": 9,
	},
}
