package config

import (
	"strings"
)

// setting is one key of the node file.
type setting struct {
	key   string // dotted, as in the file
	env   string // environment variable that overrides it
	list  bool   // takes several values
	check func(value string) error
	put   func(c *Config, values []string)
}

// settings is every key there is. The order is that of the documentation.
var settings = []setting{
	{"name", "COUNTERSIGN_NAME", false, checkName, func(c *Config, v []string) { c.Name = v[0] }},
	{"data_dir", "COUNTERSIGN_DATA", false, checkDir, func(c *Config, v []string) { c.DataDir = v[0] }},
	{"listen.peer", "COUNTERSIGN_LISTEN_PEER", false, checkListen, func(c *Config, v []string) { c.Listen.Peer = v[0] }},
	{"listen.https", "COUNTERSIGN_LISTEN_HTTPS", false, checkListen, func(c *Config, v []string) { c.Listen.HTTPS = v[0] }},
	{"listen.console", "COUNTERSIGN_LISTEN_CONSOLE", false, checkListen, func(c *Config, v []string) { c.Listen.Console = v[0] }},
	{"listen.portal", "COUNTERSIGN_LISTEN_PORTAL", false, checkListen, func(c *Config, v []string) { c.Listen.Portal = v[0] }},
	{"listen.radius", "COUNTERSIGN_LISTEN_RADIUS", true, checkListen, func(c *Config, v []string) { c.Listen.RADIUS = v }},
	{"listen.radius_accounting", "COUNTERSIGN_LISTEN_RADIUS_ACCOUNTING", true, checkListen, func(c *Config, v []string) { c.Listen.Accounting = v }},
	{"listen.ldap", "COUNTERSIGN_LISTEN_LDAP", true, checkListen, func(c *Config, v []string) { c.Listen.LDAP = v }},
	{"listen.coordinator", "COUNTERSIGN_LISTEN_COORDINATOR", false, checkListen, func(c *Config, v []string) { c.Listen.Coordinator = v[0] }},
	{"listen.metrics", "COUNTERSIGN_LISTEN_METRICS", false, checkListen, func(c *Config, v []string) { c.Listen.Metrics = loopback(v[0]) }},
	{"advertise.peer", "COUNTERSIGN_ADVERTISE_PEER", false, checkAdvertise, func(c *Config, v []string) { c.Advertise.Peer = v[0] }},
	{"advertise.https", "COUNTERSIGN_ADVERTISE_HTTPS", false, checkAdvertise, func(c *Config, v []string) { c.Advertise.HTTPS = v[0] }},
	{"advertise.console", "COUNTERSIGN_ADVERTISE_CONSOLE", false, checkAdvertise, func(c *Config, v []string) { c.Advertise.Console = v[0] }},
	{"advertise.portal", "COUNTERSIGN_ADVERTISE_PORTAL", false, checkAdvertise, func(c *Config, v []string) { c.Advertise.Portal = v[0] }},
	{"advertise.coordinator", "COUNTERSIGN_ADVERTISE_COORDINATOR", false, checkAdvertise, func(c *Config, v []string) { c.Advertise.Coordinator = v[0] }},
	{"coordinator.urls", "COUNTERSIGN_COORDINATOR_URLS", true, checkURL, func(c *Config, v []string) { c.Coordinator = v }},
	{"log.format", "COUNTERSIGN_LOG_FORMAT", false, checkFormat, func(c *Config, v []string) { c.Log.Format = v[0] }},
	{"log.level", "COUNTERSIGN_LOG_LEVEL", false, checkLevel, func(c *Config, v []string) { c.Log.Level = level(v[0]) }},
	{"log.file", "COUNTERSIGN_LOG_FILE", false, checkPath, func(c *Config, v []string) { c.Log.File = v[0] }},
	{"log.components", "COUNTERSIGN_LOG_COMPONENTS", true, checkComponent, putComponents},
	{"tls.cert_file", "COUNTERSIGN_TLS_CERT_FILE", false, checkPath, func(c *Config, v []string) { c.TLS.CertFile = v[0] }},
	{"tls.key_file", "COUNTERSIGN_TLS_KEY_FILE", false, checkPath, func(c *Config, v []string) { c.TLS.KeyFile = v[0] }},
	{"tls.console_cert_file", "COUNTERSIGN_TLS_CONSOLE_CERT_FILE", false, checkPath, func(c *Config, v []string) { c.TLS.Console.CertFile = v[0] }},
	{"tls.console_key_file", "COUNTERSIGN_TLS_CONSOLE_KEY_FILE", false, checkPath, func(c *Config, v []string) { c.TLS.Console.KeyFile = v[0] }},
	{"tls.portal_cert_file", "COUNTERSIGN_TLS_PORTAL_CERT_FILE", false, checkPath, func(c *Config, v []string) { c.TLS.Portal.CertFile = v[0] }},
	{"tls.portal_key_file", "COUNTERSIGN_TLS_PORTAL_KEY_FILE", false, checkPath, func(c *Config, v []string) { c.TLS.Portal.KeyFile = v[0] }},
	{"trusted_proxies", "COUNTERSIGN_TRUSTED_PROXIES", true, checkProxy, putProxies},
	{"countries_file", "COUNTERSIGN_COUNTRIES_FILE", false, checkPath, func(c *Config, v []string) { c.CountriesFile = v[0] }},
}

// find returns the setting of a dotted key.
func find(key string) (setting, bool) {
	for _, s := range settings {
		if s.key == key {
			return s, true
		}
	}
	return setting{}, false
}

// children returns the keys allowed directly under a dotted prefix ("" for the top), in
// order, each once.
func children(prefix string) []string {
	var names []string
	for _, s := range settings {
		rest := s.key
		if prefix != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(s.key, prefix+"."); !ok {
				continue
			}
		}
		name, _, _ := strings.Cut(rest, ".")
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	return names
}
