// Package cli is the operator's command line. Its verbs speak HTTP to the admin API of a
// running server: through the unix socket in the data folder, or over https with an API
// token. The verbs that need no server (init, server, backup restore and so on) are given
// by the program that calls Main.
package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/secret"
)

// Exit codes.
const (
	exitDone    = 0
	exitRefused = 1
	exitUsage   = 2
)

// Deps is what the command line has of the world. Stdin, Stdout, Stderr, Env, Now and
// Location must be set; a hook that is nil takes its verb away.
type Deps struct {
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Env      func(name string) string
	Now      func() time.Time
	Location *time.Location // times are shown in it
	Version  string
	Terminal bool // Stdout is a terminal
	// Prompt shows a prompt and reads a line, echoed or not; nil where nobody types.
	Prompt func(prompt string, echo bool) (string, error)

	// DataDir returns the data folder that a node file names; file is "" for the default one.
	DataDir func(file string) (string, error)
	// Init founds a group on this machine.
	Init func(ctx context.Context, g Globals, group string) error
	// Activate admits this machine to a group by a code, if confirm agrees to what it admits to.
	Activate func(ctx context.Context, g Globals, code string, confirm func(group.Preview) error) error
	// Abandon gives up the activation of a machine whose server has never joined the group, if
	// confirm agrees to the name of the server and of the group.
	Abandon func(ctx context.Context, g Globals, confirm func(name, group string) error) error
	// Server runs a server until ctx is done.
	Server func(ctx context.Context, g Globals, demo bool) error
	// InitCoordinator founds an independent coordinator on this machine, Coordinator runs it.
	InitCoordinator func(ctx context.Context, g Globals) error
	Coordinator     func(ctx context.Context, g Globals) error
	// JoinCoordinator admits this machine as another coordinator by a code, if confirm agrees.
	JoinCoordinator func(ctx context.Context, g Globals, code string, confirm func(group.Preview) error) error
	// DemoSignIn signs the demo's user in over RADIUS.
	DemoSignIn func(ctx context.Context, g Globals) error
	// VerifyBackup reads a backup to its end and says what is in it.
	VerifyBackup func(ctx context.Context, r io.Reader, passphrase secret.Text) (BackupInfo, error)
	// RestoreBackup fills the empty data folder of a server that is not running. confirm is
	// the GROUP/EPOCH that the operator typed, or "".
	RestoreBackup func(ctx context.Context, g Globals, r io.Reader, passphrase secret.Text, confirm string) error
	// RestoreSnapshot is RestoreBackup from a snapshot that lies in the data folder of the
	// server that made it, moved aside.
	RestoreSnapshot func(ctx context.Context, g Globals, file, confirm string) error
	// Doctor tries what can be tried while the server is not running.
	Doctor func(ctx context.Context, g Globals) ([]admin.Check, error)
	// Commands are further verbs.
	Commands []Command
}

// Command is a verb of the calling program: Grammar is a pointer to a kong command,
// whose Run may take a context.Context and a Globals.
type Command struct {
	Name, Help string
	Grammar    any
}

// BackupInfo says what a backup holds.
type BackupInfo struct {
	Group    string    `json:"group"`
	Epoch    uint64    `json:"epoch"`
	Revision int64     `json:"revision"`
	Created  time.Time `json:"created"`
	Server   string    `json:"server"`
	Records  int       `json:"records"`
	Users    int       `json:"users"`
}

// Globals are the flags that every verb has.
type Globals struct {
	Config    string `help:"Node file." placeholder:"FILE" type:"path"`
	Data      string `help:"Data folder of the server on this machine ($$COUNTERSIGN_DATA)." placeholder:"DIR" type:"path"`
	Server    string `help:"A server elsewhere, with an API token in $$COUNTERSIGN_TOKEN." placeholder:"URL"`
	CAFile    string `name:"ca-file" help:"Certificates (PEM) that the server's is checked with." placeholder:"FILE" type:"path"`
	TokenFile string `help:"File that holds the API token." placeholder:"FILE" type:"path"`
	JSON      bool   `help:"Print one JSON document and nothing else."`
	Yes       bool   `help:"Do not ask before something is destroyed." short:"y"`
}

// OS returns the Deps of the process, without hooks.
func OS(version string) Deps {
	d := Deps{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Getenv, Now: time.Now, Location: time.Local,
		Version: version, Terminal: term.IsTerminal(int(os.Stdout.Fd()))}
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())) {
		d.Prompt = prompt
	}
	return d
}

// prompt asks on the terminal. A terminal's line ends the wait; the input is not buffered
// beyond it.
func prompt(text string, echo bool) (string, error) {
	fmt.Fprint(os.Stderr, text)
	if !echo {
		b, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		return string(b), err
	}
	return readLine(os.Stdin)
}

// readLine reads byte by byte up to a line's end, so that what follows stays for the next.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) <= maxSecret; {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' || err != nil && len(line) > 0 {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, b[:n]...)
	}
	return "", fmt.Errorf("a line longer than %d bytes", maxSecret)
}

// Main runs one command and returns the exit code: 0 done, 1 refused or failed, 2 usage.
func Main(args []string, d Deps) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // a terminal that is closed asks no less politely
	defer stop()
	return Run(ctx, args, d)
}

// stopped is how kong's help ends the program: Run recovers it.
type stopped int

// Run is Main with a context of the caller's.
func Run(ctx context.Context, args []string, d Deps) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case stopped:
			code = int(r)
		default:
			panic(r)
		}
	}()
	g := &grammar{}
	parser, err := kong.New(g, g.options(d)...)
	if err != nil {
		fmt.Fprintln(d.Stderr, "countersign:", line(err))
		return exitRefused
	}
	parsed, err := parser.Parse(customary(args))
	if err != nil {
		at := "countersign"
		if p := (*kong.ParseError)(nil); errors.As(err, &p) && p.Context != nil {
			at = strings.TrimSpace("countersign " + verb(p.Context))
		}
		fmt.Fprintf(d.Stderr, "countersign: %s (see `%s --help`)\n", mistake(err, args), at)
		return exitUsage
	}
	e := &env{Deps: d, Globals: g.Globals, in: bufio.NewReader(d.Stdin), parser: parser}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(e, g.Globals)
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(d.Stderr, "countersign:", line(err))
		if errors.As(err, new(usageError)) {
			return exitUsage
		}
		return exitRefused
	}
	return exitDone
}

// customary turns what other programs have taught people to type into our own way:
// "help VERB" and "--version".
func customary(args []string) []string {
	switch {
	case len(args) > 0 && args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case len(args) == 1 && args[0] == "--version":
		return []string{"version"}
	}
	return args
}

// asking are switches that people take for flags with a value, which is a secret.
var asking = []string{"--password", "--bind-password", "--secret", "--password-stdin", "--bind-password-stdin", "--secret-stdin", "--pin-stdin", "--code-stdin"}

// mistake says what was wrong about args, and no secret that somebody typed into them.
func mistake(err error, args []string) string {
	said := line(err)
	for i, arg := range args {
		name, _, given := strings.Cut(arg, "=")
		if !slices.Contains(asking, name) {
			continue
		}
		if given || i+1 < len(args) && strings.HasSuffix(said, "unexpected argument "+args[i+1]) {
			return name + " takes no value, which others could read: it is asked for, or read from standard input by the flag of that name with -stdin"
		}
	}
	return said
}

// verb is the path of commands that were understood.
func verb(c *kong.Context) string {
	var names []string
	for _, p := range c.Path {
		if p.Command != nil {
			names = append(names, p.Command.Name)
		}
	}
	return strings.Join(names, " ")
}

// line puts an error on one line.
func line(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// usageError is a mistake in how a verb was called.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// env is what a verb runs with.
type env struct {
	Deps
	Globals
	in     *bufio.Reader // Stdin
	parser *kong.Kong
	client *client
}
