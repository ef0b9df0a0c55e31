package console

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"text/template"
)

// profile is one kind of RADIUS client: what an application for it should say, and what its
// own administrator has to set. What is done there stands as profile.ID.1 to .Steps in the
// catalogue.
type profile struct {
	ID          string
	Name        string // of the product; "": profile.ID.name in the catalogue
	FirstFactor string // what fits it; "": local or a directory
	Passcode    string
	Seconds     int // time-out of one request that the client should have
	Steps       int
	Files       []clientFile
}

// clientFile is a piece of a client's configuration, with what is known put in.
type clientFile struct {
	Name string // of the file, or where it is typed
	text *template.Template
}

// clientData is what is put into a clientFile.
type clientData struct {
	Servers []radiusAddress
	Secret  string
	Seconds int
}

// Try is the time of one of five tries within Seconds, s.
func (d clientData) Try() int { return d.Seconds / 5 }

// pamRADIUS is the file of pam_radius, which several profiles use.
var pamRADIUS = file("/etc/pam_radius_auth.conf (root, 0600)", `# server[:port]  secret  seconds
{{range .Servers}}{{.Address}}  {{$.Secret}}  {{$.Seconds}}
{{end}}`)

// profiles are those that the guide offers, the general one first. They all speak PAP.
var profiles = []profile{
	{ID: "generic", Passcode: "either", Seconds: 60, Steps: 2},
	{ID: "openvpn", Name: "OpenVPN", Passcode: "append", Seconds: 60, Steps: 4, Files: []clientFile{pamRADIUS,
		file("/etc/pam.d/openvpn", "auth     required  pam_radius_auth.so\naccount  required  pam_permit.so\n"),
		file("/etc/openvpn/server/server.conf", "plugin /usr/lib/openvpn/openvpn-plugin-auth-pam.so \"openvpn login USERNAME password PASSWORD\"\nauth-gen-token 36000\n"),
		file("client", "auth-user-pass\nauth-nocache\n")}},
	{ID: "strongswan", Name: "strongSwan", Passcode: "append", Seconds: 60, Steps: 3, Files: []clientFile{
		file("/etc/strongswan.d/charon/eap-radius.conf", `eap-radius {
  load = yes
  # five tries in all, {{.Seconds}} seconds
  retransmit_timeout = {{.Try}}
  retransmit_base = 1
  retransmit_tries = 4
  servers {
{{range .Servers}}    {{.Server}} {
      address = {{.Host}}
      auth_port = {{.Port}}
      secret = {{$.Secret}}
    }
{{end}}  }
}
`),
		file("/etc/strongswan.d/countersign.conf", "charon {\n  half_open_timeout = {{.Seconds}}\n}\n"),
		file("/etc/strongswan.d/charon/eap-gtc.conf", "eap-gtc {\n  load = yes\n  backend = radius\n}\n"),
		file("/etc/swanctl/conf.d/NAME.conf", "connections {\n  NAME {\n    version = 2\n    remote {\n      auth = eap-gtc\n      eap_id = %any\n    }\n  }\n}\n")}},
	{ID: "asa", Name: "Cisco ASA, Secure Firewall", Passcode: "either", Seconds: 60, Steps: 4, Files: []clientFile{
		file("configure terminal", `aaa-server COUNTERSIGN protocol radius
{{range .Servers}}aaa-server COUNTERSIGN (inside) host {{.Host}}
 key {{$.Secret}}
 authentication-port {{.Port}}
 timeout {{$.Seconds}}
 no mschapv2-capable
{{end}}tunnel-group NAME general-attributes
 authentication-server-group COUNTERSIGN
 no password-management
`)}},
	{ID: "fortigate", Name: "FortiGate", Passcode: "either", Seconds: 60, Steps: 3, Files: []clientFile{
		file("CLI", `config user radius
  edit "countersign"
{{range $i, $s := .Servers}}{{if eq $i 0}}    set server "{{$s.Host}}"
    set secret {{$.Secret}}
    set radius-port {{$s.Port}}
{{else if eq $i 1}}    set secondary-server "{{$s.Host}}"
    set secondary-secret {{$.Secret}}
{{else if eq $i 2}}    set tertiary-server "{{$s.Host}}"
    set tertiary-secret {{$.Secret}}
{{end}}{{end}}    set auth-type pap
    set timeout {{.Seconds}}
  next
end
config system global
  set remoteauthtimeout {{.Seconds}}
end
`)}},
	{ID: "paloalto", Name: "Palo Alto GlobalProtect", Passcode: "either", Seconds: 60, Steps: 4},
	{ID: "netscaler", Name: "NetScaler (Citrix ADC)", FirstFactor: "none", Passcode: "prompt", Seconds: 60, Steps: 3, Files: []clientFile{
		file("CLI", `{{range .Servers}}add authentication radiusAction countersign-{{.Server}} -serverIP {{.Host}} -serverPort {{.Port}} -radKey {{$.Secret}} -authTimeout {{$.Seconds}} -passEncoding pap -callingstationid ENABLED
add authentication Policy countersign-{{.Server}} -rule true -action countersign-{{.Server}}
{{end}}add authentication policylabel countersign -loginSchema lschema_code
{{range $i, $s := .Servers}}bind authentication policylabel countersign -policyName countersign-{{$s.Server}} -priority {{priority $i}} -gotoPriorityExpression END
{{end}}bind authentication vserver VSERVER -policy LDAP-POLICY -priority 100 -nextFactor countersign -gotoPriorityExpression NEXT
`)}},
	{ID: "rdgateway", Name: "Remote Desktop Gateway", FirstFactor: "none", Passcode: "prompt", Seconds: 60, Steps: 5},
	{ID: "pfsense", Name: "pfSense, OPNsense", Passcode: "append", Seconds: 60, Steps: 3, Files: []clientFile{
		file("VPN > OpenVPN > Servers > Custom options", "auth-gen-token 36000\n")}},
	{ID: "openssh", Name: "OpenSSH (pam_radius)", Passcode: "either", Seconds: 60, Steps: 4, Files: []clientFile{pamRADIUS,
		file("/etc/pam.d/sshd", "auth  required  pam_radius_auth.so\n#@include common-auth\n"),
		file("/etc/ssh/sshd_config.d/countersign.conf", "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\nLoginGraceTime 120\n")}},
	{ID: "nginx", Name: "nginx", Passcode: "append", Seconds: 60, Steps: 4, Files: []clientFile{pamRADIUS,
		file("/etc/pam.d/nginx", "auth     required  pam_radius_auth.so\naccount  required  pam_permit.so\n"),
		file("/etc/nginx/conf.d/countersign.conf", `proxy_cache_path /run/nginx-signed-in keys_zone=signed_in:1m inactive=10h max_size=16m;
server {
  listen unix:/run/nginx-countersign.sock;
  location / {
    auth_pam "Password and code";
    auth_pam_service_name "nginx";
    try_files /none =204;
  }
}
`),
		file("location", `location / {
  auth_request /countersign;
  # what is protected
}
location = /countersign {
  internal;
  proxy_pass http://unix:/run/nginx-countersign.sock:/;
  proxy_pass_request_body off;
  proxy_set_header Content-Length "";
  proxy_cache signed_in;
  proxy_cache_key $http_authorization;
  proxy_cache_valid 204 10h;
  proxy_cache_lock on;
  proxy_cache_lock_timeout 70s;
  proxy_read_timeout 70s;
}
`)}},
}

// file is a piece of configuration.
func file(name, text string) clientFile {
	f := template.FuncMap{"priority": func(i int) int { return 100 + 10*i }}
	return clientFile{name, template.Must(template.New(name).Funcs(f).Parse(text))}
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

// radiusAddress is where a server of the group takes RADIUS.
type radiusAddress struct{ Server, Host, Port, Address string }

// newRADIUSAddress reads where a server listens. One that listens everywhere is called by its
// name.
func newRADIUSAddress(server, listens string) radiusAddress {
	host, port, err := net.SplitHostPort(listens)
	if err != nil {
		return radiusAddress{server, listens, "1812", listens}
	}
	if at, err := netip.ParseAddr(host); host == "" || err == nil && at.IsUnspecified() {
		host = server
	}
	return radiusAddress{server, host, port, net.JoinHostPort(host, port)}
}

// filled is a clientFile as a page shows it.
type filled struct{ Name, Text string }

// noSecret stands where a secret goes that is not shown any more.
const noSecret = "SECRET"

// fill puts into the files of a profile what is known.
func (p profile) fill(servers []radiusAddress, shared string) ([]filled, error) {
	if len(servers) == 0 {
		servers = []radiusAddress{newRADIUSAddress("SERVER", "SERVER:1812")}
	}
	if shared == "" {
		shared = noSecret
	}
	all := make([]filled, len(p.Files))
	for i, f := range p.Files {
		var b strings.Builder
		if err := f.text.Execute(&b, clientData{servers, shared, p.Seconds}); err != nil {
			return nil, fmt.Errorf("profile %s, %s: %w", p.ID, f.Name, err)
		}
		all[i] = filled{f.Name, b.String()}
	}
	return all, nil
}

// Texts are the keys of what is done there, in order.
func (p profile) Texts() []string {
	all := make([]string, p.Steps)
	for i := range all {
		all[i] = fmt.Sprintf("profile.%s.%d", p.ID, i+1)
	}
	return all
}
