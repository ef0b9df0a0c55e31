package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"countersign/internal/admin"
)

// independentVerbs are those of an independent coordinator, on its own machine.
type independentVerbs struct {
	Serve      coordinatorServe      `cmd:"" default:"1" help:"Run an independent coordinator; so does the verb without another word."`
	Init       coordinatorInit       `cmd:"" help:"Found an independent coordinator on this machine."`
	Activation coordinatorActivation `cmd:"" help:"Codes that found groups, and that admit other coordinators."`
	Join       coordinatorJoin       `cmd:"" help:"Make this machine another coordinator beside one that runs."`
	Forget     coordinatorForget     `cmd:"" help:"Take one of several coordinators that is gone for good out."`
	Leave      coordinatorLeave      `cmd:"" help:"Take this one of several coordinators out."`
	Retire     coordinatorRetire     `cmd:"" help:"Have an independent coordinator forget a server or a group that is gone for good."`
}

var errNotHere = errors.New("this program runs no coordinator")

type coordinatorServe struct{}

func (coordinatorServe) Run(ctx context.Context, e *env) error {
	if e.Deps.Coordinator == nil {
		return errNotHere
	}
	return e.Deps.Coordinator(ctx, e.Globals)
}

type coordinatorInit struct{}

func (coordinatorInit) Run(ctx context.Context, e *env) error {
	if e.InitCoordinator == nil {
		return errNotHere
	}
	return e.InitCoordinator(ctx, e.Globals)
}

type coordinatorActivation struct {
	Create foundingCreate `cmd:"" help:"Make a code that founds one group, or admits one coordinator; on the coordinator only."`
}

type foundingCreate struct {
	Group       string `help:"Found a group of this name." placeholder:"NAME" xor:"what" required:""`
	Coordinator bool   `help:"Admit another coordinator." xor:"what" required:""`
	TTL         span   `name:"ttl" help:"How long the code lives." default:"10m" placeholder:"DURATION"`
}

func (v *foundingCreate) Run(ctx context.Context, e *env) error {
	life, err := v.TTL.codeLife()
	if err != nil {
		return err
	}
	in := admin.FoundingRequest{Group: v.Group, Coordinator: v.Coordinator, Seconds: life}
	var doc admin.ActivationCode
	if err := e.call(ctx, http.MethodPost, "/coordinator/activations", nil, in, &doc); err != nil {
		return err
	}
	if e.JSON {
		return e.document(doc)
	}
	fmt.Fprintln(e.Stdout, string(doc.Code.Expose()))
	if v.Coordinator {
		e.say("It admits one coordinator until %s and is not shown again. On the new machine: countersign coordinator join CODE --config FILE", doc.Expires.In(e.Location).Format("15:04:05"))
		return nil
	}
	e.say("It founds group %s until %s and is not shown again. On the first server: countersign activate CODE --config FILE", printable(doc.Group), doc.Expires.In(e.Location).Format("15:04:05"))
	return nil
}

type coordinatorRetire struct {
	Target string `arg:"" help:"GROUP/SERVER, or GROUP with all its servers." placeholder:"GROUP[/SERVER]"`
}

func (v *coordinatorRetire) Run(ctx context.Context, e *env) error {
	name, server, _ := strings.Cut(v.Target, "/")
	question := fmt.Sprintf("Forget group %s with all its servers here? They go on by themselves, but get no certificate any more and have nobody who grants them a new epoch.", name)
	if server != "" {
		question = fmt.Sprintf("Forget server %s of group %s here? It gets no certificate any more. (`countersign group forget` on the group's master takes it out of the group itself.)", server, name)
	}
	if err := e.confirm("%s", question); err != nil {
		return err
	}
	var doc admin.Removed
	if err := e.call(ctx, http.MethodPost, "/coordinator/retire", nil, admin.RetireRequest{Group: name, Server: server}, &doc); err != nil {
		return err
	}
	return e.show(doc)
}
