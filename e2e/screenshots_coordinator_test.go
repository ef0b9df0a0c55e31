//go:build screenshots

package e2e_test

import (
	"net/url"
	"testing"
)

// TestScreenshotsCoordinator takes those of the management portal of an independent coordinator,
// and of the same pages in the console of a group that is its own.
func TestScreenshotsCoordinator(t *testing.T) {
	dir := album(t)
	c := newCoordinator(t)
	all := foundAt(t, c, "acme", 3)
	b := newTab(t)
	b.owner(c)
	await(t, "the servers' reports", func() bool {
		b.eval("location.reload()")
		return b.eval("document.body.innerText.includes('3 / 3')") == "true"
	})
	link, err := url.Parse(b.eval("location.href"))
	if err != nil {
		t.Fatal(err)
	}
	base := "https://" + link.Host
	b.pictures(dir, "coordinator-groups", base+"/")
	b.pictures(dir, "coordinator-found", base+"/found")
	b.open(base + "/found")
	b.fill("/found/create", "group", "umbrella")
	b.pictures(dir, "coordinator-code", "")
	all[2].kill9()
	await(t, "the violation", func() bool {
		b.open(base + "/groups/acme")
		return b.eval("document.body.innerText.includes('stale_server')") == "true"
	})
	b.pictures(dir, "coordinator-group", base+"/groups/acme")
	b.pictures(dir, "coordinator-operators", base+"/users")
	b.pictures(dir, "coordinator-administrators", base+"/administrators")
	b.pictures(dir, "coordinator-attempts", base+"/attempts")
	b.pictures(dir, "coordinator-audit", base+"/audit")

	own := newTab(t)
	own.owner(all[0])
	own.pictures(dir, "group-alarm", "https://"+all[0].https+"/groups/acme")
	own.pictures(dir, "status-alarm", "https://"+all[0].https+"/")
}
