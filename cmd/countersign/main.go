// Countersign is a multi-factor authentication server and its operator's command line.
package main

import (
	_ "time/tzdata" // reports begin days in their reader's zone, also where the system has no time zones

	"os"

	"countersign/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	d := cli.OS(version)
	d.Now = clock()
	os.Exit(cli.Main(os.Args[1:], wire(d)))
}
