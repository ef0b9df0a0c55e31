package cli

import (
	"context"

	"github.com/alecthomas/kong"
)

// grammar is every verb that speaks to a server; options adds those of the hooks.
type grammar struct {
	Globals

	User          userVerbs          `cmd:"" help:"People."`
	Credential    credentialVerbs    `cmd:"" help:"What people prove themselves with."`
	Application   applicationVerbs   `cmd:"" help:"What asks: RADIUS clients and the like."`
	Directory     directoryVerbs     `cmd:"" help:"What checks passwords."`
	Gateway       gatewayVerbs       `cmd:"" help:"What carries mail, text messages and calls."`
	Recording     recordingVerbs     `cmd:"" help:"What is said in calls."`
	Administrator administratorVerbs `cmd:"" help:"Who may do what: roles of users."`
	Policy        policyVerbs        `cmd:"" help:"The group's defaults, and which rule decides."`
	Test          testVerb           `cmd:"" help:"Authenticate for real, and tell the trace of every decision."`
	Audit         auditVerbs         `cmd:"" help:"The trail of attempts and of administrators' acts."`
	Report        reportVerb         `cmd:"" help:"What happened over time, by application, method, reason and server; who is enrolled, blocked, locked."`
	Blastradius   blastVerb          `cmd:"" help:"Which RADIUS clients are safe (CVE-2024-3596)."`
	Status        statusVerb         `cmd:"" help:"The state of the server and its group."`
	Doctor        doctorVerb         `cmd:"" help:"Try every connection that the server needs, layer by layer."`
	Group         groupVerbs         `cmd:"" help:"The servers of the group."`
	Coordinator   coordinatorVerbs   `cmd:"" help:"What watches over groups."`
	Console       consoleVerbs       `cmd:"" help:"The pages for administrators."`
	Log           logVerbs           `cmd:"" help:"Verbosity at run time."`
	Key           keyVerbs           `cmd:"" help:"The group's keyset."`
	APIToken      tokenVerbs         `cmd:"" name:"api-token" help:"Tokens for programs that use the admin API."`
	API           apiVerbs           `cmd:"" name:"api" help:"The REST API."`
	Backup        backupVerbs        `cmd:"" help:"One encrypted file with everything, keys included."`
	Completion    completionVerb     `cmd:"" help:"Print a script that completes commands in a shell."`
	Version       versionVerb        `cmd:"" help:"Print the version."`
}

func (g *grammar) options(d Deps) []kong.Option {
	o := []kong.Option{
		kong.Name("countersign"),
		kong.Description("Countersign, multi-factor authentication on your own machines."),
		kong.Writers(d.Stdout, d.Stderr),
		kong.Exit(func(code int) { panic(stopped(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
	}
	add := func(given bool, name, help string, cmd any) {
		if given {
			o = append(o, kong.DynamicCommand(name, help, "", cmd))
		}
	}
	add(d.Init != nil, "init", "Found a group on this machine.", &initVerb{})
	add(d.Activate != nil, "activate", "Admit this machine to a group.", &activateVerb{})
	add(d.Server != nil, "server", "Run a server.", &serverVerb{})
	add(d.DemoSignIn != nil, "demo", "Use the demo that `server --demo` makes.", &demoVerbs{})
	for _, c := range d.Commands {
		o = append(o, kong.DynamicCommand(c.Name, c.Help, "", c.Grammar))
	}
	return o
}

type initVerb struct {
	Group string `required:"" help:"Name of the group." placeholder:"NAME"`
}

func (v *initVerb) Run(ctx context.Context, e *env) error {
	return e.Deps.Init(ctx, e.Globals, v.Group)
}

type serverVerb struct {
	Demo bool `help:"A group to try things with: loopback only, one user, one RADIUS application."`
}

func (v *serverVerb) Run(ctx context.Context, e *env) error {
	return e.Deps.Server(ctx, e.Globals, v.Demo)
}

type demoVerbs struct {
	SignIn demoSignIn `cmd:"" help:"Send the RADIUS packets of the demo's user and show the answers."`
}

type demoSignIn struct{}

func (demoSignIn) Run(ctx context.Context, e *env) error { return e.DemoSignIn(ctx, e.Globals) }

type versionVerb struct{}

func (versionVerb) Run(e *env) error {
	return e.show(struct {
		Version string `json:"version"`
	}{e.Version})
}
