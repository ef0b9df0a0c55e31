package console

// profile is one kind of RADIUS client: what an application for it should say, and what its
// own administrator has to set. The text is profile.ID in the catalogue.
type profile struct {
	ID          string
	Name        string // of the product; "": profile.ID.name in the catalogue
	FirstFactor string // what fits it; "": local or a directory
	Passcode    string
	Seconds     int // time-out of one request that the client should have
}

// profiles are those that the guide offers, the general one first. They all speak PAP.
var profiles = []profile{
	{ID: "generic", Passcode: "either", Seconds: 60},
	{ID: "openvpn", Name: "OpenVPN", Passcode: "either", Seconds: 60},
	{ID: "strongswan", Name: "strongSwan", Passcode: "either", Seconds: 60},
	{ID: "asa", Name: "Cisco ASA, Firepower", Passcode: "either", Seconds: 60},
	{ID: "fortigate", Name: "FortiGate", Passcode: "either", Seconds: 60},
	{ID: "paloalto", Name: "Palo Alto GlobalProtect", Passcode: "either", Seconds: 60},
	{ID: "netscaler", Name: "NetScaler (Citrix ADC)", FirstFactor: "none", Passcode: "prompt", Seconds: 60},
	{ID: "pfsense", Name: "pfSense, OPNsense", Passcode: "append", Seconds: 60},
	{ID: "openssh", Name: "OpenSSH (pam_radius)", Passcode: "either", Seconds: 60},
}

// profileOf returns the profile of that id.
func profileOf(id string) (profile, bool) {
	for _, p := range profiles {
		if p.ID == id {
			return p, true
		}
	}
	return profile{}, false
}
