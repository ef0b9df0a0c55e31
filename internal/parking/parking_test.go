package parking

import (
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func TestFork(t *testing.T) {
	first, a, b := Ancestor{1, "01", 100}, Ancestor{2, "0a", 1_000_000_200}, Ancestor{3, "0c", 2_000_000_300}
	for name, c := range map[string]struct {
		epoch    uint64
		cluster  string
		old, now []Ancestor
		want     int64
		ok       bool
	}{
		"the epoch before":          {1, "01", nil, []Ancestor{first}, 100, true},
		"two epochs before":         {1, "01", nil, []Ancestor{first, a}, 100, true},
		"the middle one":            {2, "0a", []Ancestor{first}, []Ancestor{first, a, b}, 1_000_000_200, true},
		"a rival of ours":           {2, "0b", []Ancestor{{1, "01", 90}}, []Ancestor{first, a}, 90, true},
		"a rival that forked later": {2, "0b", []Ancestor{{1, "01", 110}}, []Ancestor{first, a}, 100, true},
		"another group's":           {1, "ff", nil, []Ancestor{first}, 0, false},
		"restored from a backup":    {4, "0d", nil, []Ancestor{{4, "", 77}}, 77, true},
		"nothing is known":          {1, "01", nil, nil, 0, false},
	} {
		if got, ok := Fork(c.epoch, c.cluster, c.old, c.now); got != c.want || ok != c.ok {
			t.Errorf("%s: %d, %t, want %d, %t", name, got, ok, c.want, c.ok)
		}
	}
}

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func user(change func(u *mfa.User)) Object {
	u := mfa.User{ID: "u", Login: "alice", State: mfa.StateProtected, Created: noon, Changed: noon}
	if change != nil {
		change(&u)
	}
	return Object{User: &u}
}

func credential(change func(c *mfa.Credential)) Object {
	c := mfa.Credential{ID: "c", User: "u", Method: mfa.MethodTOTP, Secret: secret.FromString("seed")}
	if change != nil {
		change(&c)
	}
	return Object{Credential: &c}
}

func named(name string) func(*mfa.User) { return func(u *mfa.User) { u.Name = name } }
func blocked(until time.Time) func(*mfa.User) {
	return func(u *mfa.User) { u.Block = &mfa.Block{By: "root", Until: until, Since: noon} }
}
func gatewayWith(password string) Object {
	return Object{Gateway: &mfa.Gateway{Name: "provider", Kind: mfa.GatewaySMS, Password: secret.FromString(password), Countries: []string{"DE"}}}
}
func off(c *mfa.Credential) { c.Disabled = true }

func TestStands(t *testing.T) {
	none := Object{}
	both := func(u *mfa.User) { named("A")(u); blocked(time.Time{})(u) }
	for name, c := range map[string]struct {
		before, after, now Object
		unknown            bool
		want               Standing
	}{
		"as at the fork":                {user(nil), user(named("A")), user(nil), false, Waits},
		"a later time is no change":     {user(nil), user(named("A")), user(func(u *mfa.User) { u.Changed = noon.Add(time.Hour) }), false, Waits},
		"done already":                  {user(nil), user(named("A")), user(named("A")), false, Done},
		"both changed it":               {user(nil), user(named("A")), user(named("B")), false, Conflict},
		"blocked meanwhile":             {user(nil), user(named("A")), user(blocked(time.Time{})), false, Waits},
		"done and blocked":              {user(nil), user(named("A")), user(both), false, Done},
		"blocked there and longer now":  {user(nil), user(blocked(noon)), user(blocked(time.Time{})), false, Done},
		"a block is lifted":             {user(blocked(noon)), user(nil), user(blocked(noon)), false, Waits},
		"lifted, but made longer now":   {user(blocked(noon)), user(nil), user(blocked(time.Time{})), false, Waits},
		"removed there":                 {user(nil), none, user(nil), false, Waits},
		"removed there, changed here":   {user(nil), none, user(named("B")), false, Conflict},
		"removed on both sides":         {user(nil), none, none, false, Done},
		"changed there, removed here":   {user(nil), user(named("A")), none, false, Conflict},
		"added":                         {none, user(nil), none, false, Waits},
		"nobody knows how it was":       {none, user(named("A")), user(nil), true, Conflict},
		"blocked now, and perhaps then": {none, user(nil), user(blocked(noon)), true, Conflict},
		"another secret":                {credential(nil), credential(func(c *mfa.Credential) { c.Secret = secret.FromString("new") }), credential(nil), false, Waits},
		"another secret on both": {credential(nil), credential(func(c *mfa.Credential) { c.Secret = secret.FromString("new") }),
			credential(func(c *mfa.Credential) { c.Secret = secret.FromString("other") }), false, Conflict},
		"a gateway's password":       {gatewayWith("a"), gatewayWith("b"), gatewayWith("a"), false, Waits},
		"a gateway changed on both":  {gatewayWith("a"), gatewayWith("b"), gatewayWith("c"), false, Conflict},
		"a gateway changed the same": {gatewayWith("a"), gatewayWith("b"), gatewayWith("b"), false, Done},
		"disabled by itself":         {credential(nil), none, credential(off), false, Waits},
	} {
		ch := Change{Kind: User, What: Changed, Before: c.before, After: c.after, BaseKnown: !c.unknown}
		if got := ch.Stands(c.now); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestRestriction(t *testing.T) {
	none := Object{}
	denied := user(func(u *mfa.User) { u.State = mfa.StateDenied })
	for name, c := range map[string]struct {
		c    Change
		what string
		all  bool
	}{
		"a block":               {Change{Kind: User, What: Changed, Before: user(nil), After: user(blocked(time.Time{}))}, mfa.ChangeBlock, true},
		"a block and a name":    {Change{Kind: User, What: Changed, Before: user(nil), After: user(func(u *mfa.User) { named("A")(u); blocked(noon)(u) })}, mfa.ChangeBlock, false},
		"a name":                {Change{Kind: User, What: Changed, Before: user(nil), After: user(named("A"))}, "", false},
		"unblocked":             {Change{Kind: User, What: Changed, Before: user(blocked(noon)), After: user(nil)}, "", false},
		"denied":                {Change{Kind: User, What: Changed, Before: user(nil), After: denied}, mfa.ChangeBlock, false},
		"a user removed":        {Change{Kind: User, What: Removed, Before: user(nil), After: none}, mfa.ChangeBlock, false},
		"a user added":          {Change{Kind: User, What: Added, After: denied}, "", false},
		"disabled":              {Change{Kind: Credential, What: Changed, Before: credential(nil), After: credential(off)}, mfa.ChangeDisable, true},
		"enabled":               {Change{Kind: Credential, What: Changed, Before: credential(off), After: credential(nil)}, "", false},
		"a credential removed":  {Change{Kind: Credential, What: Removed, Before: credential(nil), After: none}, mfa.ChangeDisable, false},
		"a token revoked":       {Change{Kind: Token, What: Removed, Object: "t", Before: Object{Token: &mfa.APIToken{ID: "t"}}}, mfa.ChangeRevoke, true},
		"a token made":          {Change{Kind: Token, What: Added, Object: "t", After: Object{Token: &mfa.APIToken{ID: "t"}}}, "", false},
		"an application closed": {Change{Kind: Application, What: Removed, Before: Object{Application: &mfa.Application{ID: "a"}}}, "", false},
	} {
		c.c.BaseKnown, c.c.Epoch, c.c.Server = true, 3, "nyc1"
		r, ok := c.c.Restriction(Object{})
		if got := map[bool]string{true: r.What}[ok]; got != c.what || c.c.Restricted() != c.all {
			t.Errorf("%s: %q, alone %t, want %q, %t", name, got, c.c.Restricted(), c.what, c.all)
		}
	}
}

// What others name is applied first and removed last.
func TestBefore(t *testing.T) {
	ordered := []Change{
		{Kind: Directory, What: Added, Revision: 9}, {Kind: Application, What: Changed, Revision: 8}, {Kind: User, What: Added, Revision: 7},
		{Kind: User, What: Changed, Revision: 8}, {Kind: Credential, What: Added, Revision: 1}, {Kind: Credential, What: Removed},
		{Kind: User, What: Removed}, {Kind: Application, What: Removed}, {Kind: Directory, What: Removed},
	}
	for i := range ordered {
		for j := range ordered {
			if got := Before(ordered[i], ordered[j]); got != (i < j) {
				t.Errorf("%+v before %+v: %t", ordered[i], ordered[j], got)
			}
		}
	}
}
