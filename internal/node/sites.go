package node

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/config"
	"countersign/internal/deviceapi"
	"countersign/internal/portal"
	"countersign/internal/portal/authenticator"
	"countersign/internal/receipt"
	"countersign/internal/web"
)

// site is one https listener. Everything is on that of https, unless console or portal have
// one of their own: then their pages are there and nowhere else. The REST API is beside the
// console in any case, for who may reach the one may reach the other, and never on the portal's.
type site struct {
	kind       string // "https", "console", "portal"
	listen     string // the setting's value
	advertised string
	certs      *certificates
	bound      *string // where it listens now; "": not
}

// Connections that a site holds at the same time: of one network, whose people may be many behind
// one address, and in all, which bounds the memory that strangers can take (some 50 kB each).
const (
	connectionsEach = 1024
	connectionsAll  = 8192
)

// sites are those of this server, each with its address or without.
func (s *server) sites() []site {
	c := s.Config
	return []site{
		{"https", c.Listen.HTTPS, c.Advertise.HTTPS, s.certs, &s.bound.HTTPS},
		{"console", c.Listen.Console, c.Advertise.Console, s.certsOf("console"), &s.bound.Console},
		{"portal", c.Listen.Portal, c.Advertise.Portal, s.certsOf("portal"), &s.bound.Portal},
	}
}

// certsOf is the certificate of a site: its own if the node file names files for it, otherwise
// that of https.
func (s *server) certsOf(part string) *certificates {
	for _, c := range s.partCerts {
		if c.part == part {
			return c
		}
	}
	return s.certs
}

// loadPartCerts reads the certificates that the node file names for console and portal.
func (s *server) loadPartCerts() error {
	for part, files := range map[string]config.Pair{"console": s.Config.TLS.Console, "portal": s.Config.TLS.Portal} {
		if files.CertFile == "" {
			continue
		}
		c := &certificates{config: s.Config, part: part, now: s.Now, log: s.log.Logger("tls")}
		if err := c.renew(); err != nil {
			return err
		}
		s.partCerts = append(s.partCerts, c)
	}
	return nil
}

// allCerts are the certificates of all sites, each once.
func (s *server) allCerts() []*certificates {
	if s.certs == nil {
		return nil
	}
	return append([]*certificates{s.certs}, s.partCerts...)
}

// certExpiry is when the first of the certificates in use expires; zero: there is no site.
func (s *server) certExpiry() (first time.Time) {
	for _, one := range s.sites() {
		if one.listen == "" || one.certs == nil {
			continue
		}
		if at := one.certs.expiry(); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// listenSites opens the sites.
func (s *server) listenSites() (open map[string]net.Listener, err error) {
	open = map[string]net.Listener{}
	for _, one := range s.sites() {
		l, err := s.listenTCP("listen."+one.kind, one.listen)
		if err != nil {
			for _, l := range open {
				_ = l.Close()
			}
			return nil, err
		}
		if l != nil {
			*one.bound = l.Addr().String()
			door := &web.Door{Listener: l, Each: connectionsEach, All: connectionsAll, Proxies: s.Config.TrustedProxies, Log: s.log.Logger("http")}
			open[one.kind] = tls.NewListener(door, one.certs.tlsConfig())
		}
	}
	return open, nil
}

// serveSites runs what listenSites opened.
func (s *server) serveSites(edges *stage, open map[string]net.Listener, pages map[string]http.Handler) {
	log := s.log.Logger("http")
	for _, one := range s.sites() {
		if l := open[one.kind]; l != nil {
			h := web.OverTLS(web.Proxies(s.Config.TrustedProxies).Handler(pages[one.kind], log))
			edges.run(one.kind, func(ctx context.Context) error { return adminapi.Serve(ctx, l, h, log) })
		}
	}
	if s.webURL() != "" {
		edges.run("first administrator", s.offerSetup)
	}
}

// spread puts API, console and portal onto the sites.
func (s *server) spread(api, browse, console, own, devices, receipts http.Handler) map[string]http.Handler {
	apart := s.Config.Listen
	https, admins, users := http.NewServeMux(), http.NewServeMux(), http.NewServeMux()
	for _, mux := range []*http.ServeMux{https, admins} {
		mux.Handle(adminapi.Prefix+"/", api)
		mux.Handle(adminapi.BrowsePath, browse)
	}
	admins.Handle("/", console)
	if apart.Console == "" {
		https.Handle("/", console)
	}
	for _, mux := range []*http.ServeMux{https, users} {
		if mux == https && apart.Portal != "" {
			continue
		}
		mux.Handle(deviceapi.Prefix, devices)
		mux.Handle(receipt.Prefix, receipts)
		mux.Handle(portal.Base+"/", own)
		mux.Handle(portal.Base, own)
		mux.Handle(authenticator.Base, own)
	}
	users.Handle("GET /{$}", http.RedirectHandler(portal.Base+"/", http.StatusSeeOther))
	users.Handle("/", own) // says that there is no such page
	return map[string]http.Handler{"https": https, "console": admins, "portal": users}
}

// url is where people find a site; "": nowhere.
func (o site) url() string {
	address := *o.bound
	if address == "" {
		return ""
	}
	if o.advertised != "" {
		return "https://" + o.advertised
	}
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			address = net.JoinHostPort(name, port)
		}
	}
	return "https://" + address
}

// siteURL is where people find the pages of a kind: at its own address or at that of https. The
// name that the node file advertises for them holds in both cases: a proxy in front of https may
// have one for each.
func (s *server) siteURL(kind string) string {
	all := s.sites()
	o, https := all[slices.IndexFunc(all, func(o site) bool { return o.kind == kind })], all[0]
	if o.listen == "" {
		o.bound = https.bound
		if o.advertised == "" {
			o.advertised = https.advertised
		}
	}
	return o.url()
}

// devicePage is where a device is activated; "": nowhere.
func (s *server) devicePage() string {
	if base := s.siteURL("portal"); base != "" {
		return base + "/authenticator/"
	}
	return ""
}

// webURL is where people find this server's console; "": nowhere.
func (s *server) webURL() string { return s.siteURL("console") }

// portalURL is where people find the portal; "": nowhere.
func (s *server) portalURL() string {
	if base := s.siteURL("portal"); base != "" {
		return base + portal.Base
	}
	return ""
}
