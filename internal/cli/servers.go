package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/mfa"
)

type groupVerbs struct {
	Activation groupActivation `cmd:"" help:"Codes that admit servers."`
	Members    groupMembers    `cmd:"" help:"List the servers of the group."`
	Forget     groupForget     `cmd:"" help:"Take a server that is gone for good out of the group."`
	Promote    groupPromote    `cmd:"" help:"Make another server the master, without loss."`
	Parked     groupParked     `cmd:"" help:"Changes of an epoch that ended while a server was away."`
	Leave      groupLeave      `cmd:"" help:"Take this server out of its group."`
}

type groupActivation struct {
	Create activationCreate `cmd:"" help:"Make a code that admits one server; on a server of the group only."`
}

type activationCreate struct {
	Role string `help:"Role of the new server; a witness votes, and signs nobody in." enum:"server,witness" default:"server"`
	TTL  span   `name:"ttl" help:"How long the code lives." default:"10m" placeholder:"DURATION"`
}

func (v *activationCreate) Run(ctx context.Context, e *env) error {
	life, err := v.TTL.codeLife()
	if err != nil {
		return err
	}
	in := admin.ActivationRequest{Role: v.Role, Seconds: life}
	var doc admin.ActivationCode
	if err := e.call(ctx, http.MethodPost, "/group/activations", nil, in, &doc); err != nil {
		return err
	}
	if e.JSON {
		return e.document(doc)
	}
	fmt.Fprintln(e.Stdout, string(doc.Code.Expose()))
	e.say("It admits one server until %s and is not shown again. On the new machine: countersign activate CODE --config FILE", doc.Expires.In(e.Location).Format("15:04:05"))
	return nil
}

type groupMembers struct{}

func (groupMembers) Run(ctx context.Context, e *env) error {
	var doc admin.MemberList
	if err := e.call(ctx, http.MethodGet, "/group/members", nil, nil, &doc); err != nil {
		return err
	}
	return e.table(doc, doc.Members, "name", "role", "voter", "reachable", "peer", "revision", "lag", "version")
}

type groupForget struct {
	Name string `arg:"" help:"Name of the server."`
}

func (v *groupForget) Run(ctx context.Context, e *env) error {
	if err := e.confirm("Take server %s out of the group for good? It will answer nobody any more, and needs a new activation code to come back.", v.Name); err != nil {
		return err
	}
	var doc admin.Removed
	if err := e.call(ctx, http.MethodPost, "/group/forget", nil, admin.ForgetRequest{Name: v.Name}, &doc); err != nil {
		return err
	}
	return e.show(doc)
}

type groupLeave struct {
	Force bool `help:"Also if no master answers, or if this machine was activated and has never joined."`
}

func (v *groupLeave) Run(ctx context.Context, e *env) error {
	var st admin.Status
	err := e.call(ctx, http.MethodGet, "/status", nil, nil, &st)
	if v.Force && errors.Is(err, errNotRunning) && e.Deps.Abandon != nil {
		return v.abandon(ctx, e)
	}
	if err != nil {
		return err
	}
	lost := ""
	if v.Force && st.Degraded {
		lost = fmt.Sprintf(" No master answers: the group has this server on record until `countersign group forget %s` is run there, and what this server settled alone (%d settlements) is lost to it.", printable(st.Name), st.Unmerged)
	}
	if err := e.confirm("Take this server, %s, out of group %s? It ends and answers nobody any more. The group's data stays with its other servers; this machine's copy is set aside when it is activated again.%s", st.Name, st.Group, lost); err != nil {
		return err
	}
	var doc admin.Removed
	if err := e.call(ctx, http.MethodPost, "/group/leave", nil, admin.LeaveRequest{Force: v.Force}, &doc); err != nil {
		return err
	}
	return e.show(doc)
}

// abandon gives up an activation whose server has never joined.
func (v *groupLeave) abandon(ctx context.Context, e *env) error {
	var doc admin.Removed
	err := e.Deps.Abandon(ctx, e.Globals, func(name, group string) error {
		doc.Removed = name
		return e.confirm("Give up the activation of this machine, %s, into group %s? It has nothing of that group but its own keys. The group has it on record until `countersign group forget %s` is run there.", printable(name), printable(group), printable(name))
	})
	if err != nil {
		return err
	}
	return e.show(doc)
}

type activateVerb struct {
	Code string `arg:"" help:"The activation code, quoted or in one word; - reads it from standard input."`
}

// maxCode bounds what is read as an activation code, in bytes.
const maxCode = 16 << 10

// code reads an activation code that was given as - .
func (e *env) code(given string) (string, error) {
	if given != "-" {
		return given, nil
	}
	if e.Prompt != nil {
		return e.Prompt("Activation code: ", false)
	}
	b, err := io.ReadAll(io.LimitReader(e.in, maxCode))
	return string(b), err
}

func (v *activateVerb) Run(ctx context.Context, e *env) error {
	code, err := e.code(v.Code)
	if err != nil {
		return err
	}
	return e.Deps.Activate(ctx, e.Globals, code, func(p group.Preview) error {
		if p.Role == group.RoleFounder {
			e.say("This machine becomes the first server, and the master, of a new group called %s, which uses the coordinator that the code is from. The code was made by %s.", printable(p.Group), printable(p.By))
			return e.confirm("Found this group?")
		}
		e.say("Group %s, epoch %d: servers %s; master %s; %d users. The code was made by %s.", printable(p.Group), p.Epoch,
			printable(strings.Join(p.Servers, ", ")), printable(p.Master), p.Users, printable(p.By))
		if p.Role == mfa.RoleWitness {
			return e.confirm("Join this group as a witness, which votes and signs nobody in?")
		}
		return e.confirm("Join this group?")
	})
}
