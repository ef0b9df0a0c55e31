package policy

import (
	"strings"
	"testing"
)

func TestPasskeySettings(t *testing.T) {
	const model = "fa2b99dc-9e39-4257-8f92-4a30d23c4118"
	for name, x := range map[string]struct {
		set  func(*Settings)
		want string // part of the error; "": there is none
	}{
		"nothing":             {func(*Settings) {}, ""},
		"a name":              {func(s *Settings) { s.PasskeySite = "mfa.corp.example" }, ""},
		"localhost":           {func(s *Settings) { s.PasskeySite = "localhost" }, ""},
		"an address":          {func(s *Settings) { s.PasskeySite = "10.0.0.7" }, "an IP address cannot be the site of passkeys"},
		"an IPv6 address":     {func(s *Settings) { s.PasskeySite = "[2001:db8::7]" }, "an IP address cannot be the site of passkeys"},
		"a URL":               {func(s *Settings) { s.PasskeySite = "https://mfa.corp.example" }, "want a domain name alone"},
		"a port":              {func(s *Settings) { s.PasskeySite = "mfa.corp.example:8443" }, "want a domain name alone"},
		"upper case":          {func(s *Settings) { s.PasskeySite = "MFA.corp.example" }, "lower case"},
		"an umlaut":           {func(s *Settings) { s.PasskeySite = "bücher.example" }, "want a domain name"},
		"a dot at the end":    {func(s *Settings) { s.PasskeySite = "corp.example." }, "want a domain name"},
		"no dot":              {func(s *Settings) { s.PasskeySite = "nyc1" }, "without a dot"},
		"a page below":        {origins("corp.example", "https://nyc1.corp.example:8443"), ""},
		"the page itself":     {origins("corp.example", "https://corp.example"), ""},
		"a page beside":       {origins("mfa.corp.example", "https://corp.example"), "ends in .mfa.corp.example"},
		"a page that ends so": {origins("corp.example", "https://evilcorp.example"), "ends in .corp.example"},
		"a page without TLS":  {origins("corp.example", "http://nyc1.corp.example"), "want https"},
		"a path":              {origins("corp.example", "https://nyc1.corp.example/"), "want https"},
		"the usual port":      {origins("corp.example", "https://nyc1.corp.example:443"), "if it is not 443"},
		"no site":             {origins("", "https://nyc1.corp.example"), "passkey_site is missing"},
		"verification":        {func(s *Settings) { s.PasskeyVerify = "always" }, "required, preferred, discouraged"},
		"models":              {func(s *Settings) { s.PasskeyAllow, s.PasskeyDeny = []string{model}, []string{strings.ToUpper(model)} }, ""},
		"no model":            {func(s *Settings) { s.PasskeyDeny = []string{"YubiKey"} }, "is no AAGUID"},
		"a model unlike":      {func(s *Settings) { s.PasskeyAllow = []string{strings.ReplaceAll(model, "-", "")} }, "is no AAGUID"},
		"no application":      {func(s *Settings) { s.PasskeyAlone = []string{" "} }, "without a name"},
	} {
		s := Defaults()
		x.set(&s)
		err := s.Check()
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func origins(site string, all ...string) func(*Settings) {
	return func(s *Settings) { s.PasskeySite, s.PasskeyOrigins = site, all }
}

func TestWhereThereArePasskeys(t *testing.T) {
	s := Defaults()
	if why := s.WhyNoPasskey("mfa.corp.example"); why != "off" || s.PasskeyOrigin("https://mfa.corp.example") || s.PasskeyStandsAlone("portal") {
		t.Errorf("without a site: %q", why)
	}
	s.PasskeySite, s.PasskeyOrigins = "mfa.corp.example", []string{"https://nyc1.mfa.corp.example:8443", "https://nyc2.mfa.corp.example"}
	for host, want := range map[string]string{
		"mfa.corp.example": "", "mfa.corp.example:8443": "", "MFA.corp.example": "", "nyc1.mfa.corp.example:8443": "", "nyc2.mfa.corp.example:443": "",
		"nyc1.mfa.corp.example": "name", "nyc2.mfa.corp.example:8443": "name", "corp.example": "name", "xmfa.corp.example": "name", "": "name",
		"10.0.0.7": "address", "10.0.0.7:8443": "address", "[2001:db8::7]:8443": "address", "[2001:db8::7]": "address", "mfa.corp.example:x": "name",
	} {
		if got := s.WhyNoPasskey(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

func TestPasskeyModels(t *testing.T) {
	const a, b = "fa2b99dc-9e39-4257-8f92-4a30d23c4118", "ee882879-721c-4913-9775-3dfcce97072a"
	model := func(text string) Model {
		m, err := ParseModel(text)
		if err != nil || m.String() != text {
			t.Fatalf("%s: %s, %v", text, m, err)
		}
		return m
	}
	for name, x := range map[string]struct {
		allow, deny []string
		takes       [3]bool // a, b, one that does not tell
	}{
		"everything":     {nil, nil, [3]bool{true, true, true}},
		"one":            {[]string{strings.ToUpper(a)}, nil, [3]bool{true, false, false}},
		"all but one":    {nil, []string{a}, [3]bool{false, true, true}},
		"denied as well": {[]string{a, b}, []string{a}, [3]bool{false, true, false}},
	} {
		s := Settings{PasskeyAllow: x.allow, PasskeyDeny: x.deny}
		if got := [3]bool{s.PasskeyModel(model(a)), s.PasskeyModel(model(b)), s.PasskeyModel(Model{})}; got != x.takes {
			t.Errorf("%s: %v, want %v", name, got, x.takes)
		}
	}
}
