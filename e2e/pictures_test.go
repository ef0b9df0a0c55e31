//go:build screenshots

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"countersign/internal/console"
	"countersign/internal/portal"
)

// pictureQuality is that of the pictures, of 100: text can be read, and a page is some 20 kB.
const pictureQuality = 40

// pictured are the paths of the pages that pictures were taken of, and albums how many tests took some.
var (
	pictured = map[string]bool{}
	albums   int
)

// complete fails for every page that no picture was taken of, if all of the tests that take some have.
func complete(t *testing.T) {
	t.Helper()
	if albums < 5 || os.Getenv("SCREENSHOTS_ONLY") != "" {
		return
	}
	pages := visitsOf(slices.Concat(console.Pages(false), console.Pages(true), portal.Pages()), "GET /live", "GET /offer", "GET /attempts.csv", "GET /reports", "GET /reports/{name}/{file}", "GET /users/bulk",
		"GET /groups", "GET /portal/device/{id}", "GET /portal/device/{id}/tried/{trial}", "GET /portal/number/{id}/tried/{trial}") // lead on, or are shown as the answer to a form
	for path := range pictured {
		pages.see(path)
	}
	pages.done(t)
}

// album returns the folder that pictures go into.
func album(t *testing.T) string {
	t.Helper()
	albums++
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		t.Fatal("set SCREENSHOTS to a folder, or run `make screenshots`")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wanted reports whether a page is to be taken: SCREENSHOTS_ONLY names some, separated by commas.
func wanted(name string) bool {
	only := os.Getenv("SCREENSHOTS_ONLY")
	return only == "" || slices.Contains(strings.Split(only, ","), name)
}

// pictures takes those of one page, light and dark, on a desk and on a phone; "" is the one that
// is open, such as the answer to a form. SCREENSHOTS_FORMAT=png takes them for programs that
// know no WebP.
func (b *tab) pictures(dir, name, url string) {
	b.t.Helper()
	if !wanted(name) {
		return
	}
	format, quality := page.CaptureScreenshotFormatWebp, int64(pictureQuality)
	if os.Getenv("SCREENSHOTS_FORMAT") == "png" {
		format, quality = page.CaptureScreenshotFormatPng, 100
	}
	yes := true
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}); err != nil {
				b.t.Fatal(err)
			}
			b.do("resize", chromedp.EmulateViewport(width, 900))
			if url != "" {
				b.open(url)
			}
			b.do("see it drawn", chromedp.Evaluate[chromedp.Void]("new Promise(r => requestAnimationFrame(() => setTimeout(r)))", chromedp.EvalAwaitPromise))
			shot, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &yes, FromSurface: &yes, Format: format, Quality: &quality})
			if err != nil {
				b.t.Fatal(err)
			}
			if wide := b.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth"); wide != "false" {
				b.t.Errorf("%s is wider than %d", name, width)
			}
			b.accessible(name)
			pictured[b.eval("location.pathname")] = true
			file := filepath.Join(dir, fmt.Sprintf("%s-%s-%s.%s", name, map[int64]string{1280: "desktop", 390: "phone"}[width], scheme, format))
			if err := os.WriteFile(file, shot.Data, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}
