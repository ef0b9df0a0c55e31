package cluster

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/mfa"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3"
	"google.golang.org/protobuf/proto"
)

// proposalOf returns a proposal that puts the given keys if cond is at revision 1.
func proposalOf(t *testing.T, cond string, puts ...string) *proposal {
	t.Helper()
	ifRev := map[string]int64{}
	if cond != "" {
		ifRev[cond] = 1
	}
	values := map[string][]byte{}
	for _, k := range puts {
		values[k] = []byte("x")
	}
	p := newProposal()
	must(t, p.fill(ifRev, values, nil))
	return p
}

// keysOf names what a request to etcd changes, one word for each commit in it.
func keysOf(r *pb.TxnRequest) string {
	var words []string
	for _, op := range r.Success {
		if nested := op.GetRequestTxn(); nested != nil {
			words = append(words, keysOf(nested))
		} else {
			words = append(words, string(op.GetRequestPut().GetKey()))
		}
	}
	return strings.Join(words, " ")
}

// nested reports whether each commit in r stands by itself.
func nested(r *pb.TxnRequest) bool {
	return len(r.Compare) == 0 && !slices.ContainsFunc(r.Success, func(op *pb.RequestOp) bool { return op.GetRequestTxn() == nil })
}

// sent is a request that waits until the test answers.
type sent struct {
	req    *pb.TxnRequest
	ctx    context.Context
	answer chan error
}

// heldQueue returns a queue of one lane whose sends wait until the test answers.
func heldQueue(t *testing.T, limit int) (*queue, chan sent) {
	ctx, cancel := context.WithCancel(t.Context())
	sends := make(chan sent)
	q := &queue{base: ctx, timeout: time.Minute, lanes: 1, limit: limit}
	q.send = func(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
		s := sent{r, ctx, make(chan error, 1)}
		select {
		case sends <- s:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case err := <-s.answer:
			return answerTo(r), err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	t.Cleanup(func() { cancel(); q.wg.Wait() })
	return q, sends
}

// answerTo says that every commit on a key with "no" in it failed.
func answerTo(r *pb.TxnRequest) *pb.TxnResponse {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 7}, Succeeded: !strings.Contains(keysOf(r), "no")}
	for _, op := range r.Success {
		if nested := op.GetRequestTxn(); nested != nil {
			resp.Responses = append(resp.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: answerTo(nested)}})
		}
	}
	return resp
}

// enqueue hands p in and returns once it waits behind n-1 others.
func enqueue(ctx context.Context, q *queue, p *proposal) chan outcome {
	out := make(chan outcome, 1)
	q.mu.Lock()
	before := len(q.waiting)
	q.mu.Unlock()
	go func() { out <- q.do(ctx, p) }()
	for {
		q.mu.Lock()
		in := len(q.waiting) > before || len(out) > 0
		q.mu.Unlock()
		if in {
			return out
		}
		runtime.Gosched() // only the queue itself tells
	}
}

// Those who can run hand their commits in before the first batch leaves.
func TestBatchGathers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // or they run beside the lane
	const rounds, each = 10, 8
	first := 0
	for range rounds { // the scheduler may take the lane first once in a while
		q, sends := heldQueue(t, 64)
		outs := make(chan outcome, each)
		for i := range each {
			p := proposalOf(t, "", fmt.Sprint("k", i))
			go func() { outs <- q.do(t.Context(), p) }()
		}
		for left := each; left > 0; {
			batch := <-sends
			n := len(strings.Fields(keysOf(batch.req)))
			if left == each {
				first += n
			}
			left -= n
			batch.answer <- nil
		}
		for range each {
			if o := <-outs; !o.ok {
				t.Fatalf("%+v", o)
			}
		}
	}
	if first < 3*rounds {
		t.Errorf("%d commits in the first batches of %d rounds of %d", first, rounds, each)
	}
}

func TestBatches(t *testing.T) {
	q, sends := heldQueue(t, 4)
	first := make(chan outcome, 1)
	go func() { first <- q.do(t.Context(), proposalOf(t, "", "first")) }()
	head := <-sends // in flight; what comes now waits
	var outs []chan outcome
	for _, p := range []*proposal{
		proposalOf(t, "u", "a"),       // batch 1
		proposalOf(t, "u", "b", "no"), // batch 1: reads the same key, which is no conflict
		proposalOf(t, "", "a"),        // batch 2: changes a key of batch 1
		proposalOf(t, "b", "c"),       // batch 2: reads what batch 1 changes
		proposalOf(t, "", "u"),        // batch 1: changes what those before it only read
		proposalOf(t, "", "d"),        // batch 1
		proposalOf(t, "", "e"),        // batch 2: batch 1 is full
	} {
		outs = append(outs, enqueue(t.Context(), q, p))
	}
	head.answer <- nil
	if o := <-first; !o.ok || o.rev != 7 {
		t.Errorf("first: %+v", o)
	}
	batch := <-sends
	for _, way := range []string{"together", "nested"} { // together it fails
		if got := keysOf(batch.req); got != "a b no u d" || nested(batch.req) != (way == "nested") {
			t.Errorf("batch 1 %s is %q: %v", way, got, batch.req)
		}
		batch.answer <- nil
		if way == "together" {
			batch = <-sends
		}
	}
	for i, want := range map[int]bool{0: true, 1: false, 4: true, 5: true} {
		if o := <-outs[i]; o.ok != want || o.err != nil || o.rev != 7 {
			t.Errorf("commit %d: %+v, want ok %v", i, o, want)
		}
	}
	batch = <-sends
	if got := keysOf(batch.req); got != "a c e" {
		t.Errorf("batch 2 is %q", got)
	}
	batch.answer <- errors.New("boom")
	for _, i := range []int{2, 3, 6} {
		if o := <-outs[i]; !errors.Is(o.err, mfa.ErrUnknownOutcome) {
			t.Errorf("commit %d: %+v, want unknown outcome", i, o)
		}
	}
}

func TestLargeCommitGoesAlone(t *testing.T) {
	q, sends := heldQueue(t, 64)
	go q.do(t.Context(), proposalOf(t, "", "first"))
	head := <-sends
	big := newProposal()
	must(t, big.fill(nil, map[string][]byte{"big": make([]byte, batchBytes)}, nil))
	enqueue(t.Context(), q, proposalOf(t, "", "a"))
	enqueue(t.Context(), q, big)
	enqueue(t.Context(), q, proposalOf(t, "", "b"))
	head.answer <- nil
	for _, want := range []string{"a b", "big"} {
		s := <-sends
		if got := keysOf(s.req); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		s.answer <- nil
	}
}

func TestCallerThatGivesUp(t *testing.T) {
	q, sends := heldQueue(t, 64)
	gone, give := context.WithCancel(t.Context())
	flying := make(chan outcome, 1)
	go func() { flying <- q.do(gone, proposalOf(t, "", "flying")) }()
	head := <-sends
	waiting := enqueue(gone, q, proposalOf(t, "", "waiting"))
	stays := enqueue(t.Context(), q, proposalOf(t, "", "stays"))
	give()
	if o := <-flying; !errors.Is(o.err, mfa.ErrUnknownOutcome) || !errors.Is(o.err, context.Canceled) {
		t.Errorf("sent already: %+v, want unknown outcome", o)
	}
	if o := <-waiting; !errors.Is(o.err, mfa.ErrUnavailable) {
		t.Errorf("not sent: %+v, want unavailable", o)
	}
	head.answer <- nil
	s := <-sends
	if got := keysOf(s.req); got != "stays" {
		t.Errorf("sent %q, want stays alone", got)
	}
	s.answer <- nil
	if o := <-stays; !o.ok {
		t.Errorf("stays: %+v", o)
	}
}

// A commit that nobody answers is given up after the queue's own time, whatever its context allows.
func TestCommitThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, sends := heldQueue(t, 64)
		q.timeout = time.Second
		began := time.Now()
		flying := make(chan outcome, 1)
		go func() { flying <- q.do(t.Context(), proposalOf(t, "", "flying")) }()
		<-sends
		waiting := enqueue(t.Context(), q, proposalOf(t, "", "waiting"))
		if o := <-flying; !errors.Is(o.err, mfa.ErrUnknownOutcome) || !errors.Is(o.err, context.DeadlineExceeded) {
			t.Errorf("sent already: %+v, want unknown outcome", o)
		}
		if o := <-waiting; o.err == nil {
			t.Errorf("behind it: %+v, want an error", o)
		}
		if took := time.Since(began); took < time.Second || took > 2*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestDrain(t *testing.T) {
	q, sends := heldQueue(t, 64)
	q.drain(time.Minute) // nothing to wait for
	out := make(chan outcome, 1)
	go func() { out <- q.do(t.Context(), proposalOf(t, "", "a")) }()
	s := <-sends
	q.drain(time.Millisecond) // gives up
	s.answer <- nil
	q.drain(time.Minute)
	if o := <-out; !o.ok {
		t.Errorf("got %+v", o)
	}
}

func TestFate(t *testing.T) {
	for err, want := range map[error]error{
		etcderrors.ErrTooManyRequests: mfa.ErrUnavailable,
		raft.ErrProposalDropped:       mfa.ErrUnavailable,
		etcderrors.ErrRequestTooLarge: mfa.ErrInvalid,
		etcderrors.ErrCorrupt:         mfa.ErrReadOnly,
		etcderrors.ErrNoSpace:         mfa.ErrUnknownOutcome, // raised after it was applied
		etcderrors.ErrTimeout:         mfa.ErrUnknownOutcome,
		etcderrors.ErrStopped:         mfa.ErrUnknownOutcome,
		etcderrors.ErrCanceled:        mfa.ErrUnknownOutcome,
		context.DeadlineExceeded:      mfa.ErrUnknownOutcome,
		errors.New("anything else"):   mfa.ErrUnknownOutcome,
	} {
		got := fate(err)
		if !errors.Is(got, want) || !errors.Is(got, err) {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
		for _, other := range []error{mfa.ErrUnavailable, mfa.ErrInvalid, mfa.ErrReadOnly, mfa.ErrUnknownOutcome} {
			if other != want && errors.Is(got, other) {
				t.Errorf("%v is also %v", err, other)
			}
		}
	}
}

// A proposal is used again for whatever comes next: nothing of the commit before is in it.
func TestProposalIsUsedAgain(t *testing.T) {
	type commit struct {
		ifRev   map[string]int64
		puts    map[string][]byte
		deletes []string
	}
	one, two := []byte("1"), []byte("22")
	commits := []commit{
		{map[string]int64{"a": 1}, map[string][]byte{"a": one}, nil},
		{map[string]int64{"bb": 0}, map[string][]byte{"bb": two}, nil},
		{map[string]int64{"a": 5}, map[string][]byte{"c": one}, nil},
		{nil, map[string][]byte{"a": two}, nil},
		{map[string]int64{"a": 7}, nil, []string{"a"}},
		{map[string]int64{"a": 1, "b": 2}, map[string][]byte{"a": one}, nil},
		{map[string]int64{"a": 3}, map[string][]byte{"a": one, "b": two}, nil},
		{nil, nil, []string{"d", "e"}},
		{nil, nil, nil},
	}
	encode := func(p *proposal) string {
		slices.SortFunc(p.req.Compare, func(a, b *pb.Compare) int { return strings.Compare(string(a.Key), string(b.Key)) }) // a map has no order
		b, err := proto.Marshal(&p.req)
		must(t, err)
		slices.Sort(p.reads)
		return fmt.Sprintf("%x %v %v %d", b, p.reads, p.writes, p.size)
	}
	for i, before := range commits {
		for j, c := range commits {
			p, fresh := newProposal(), newProposal()
			must(t, p.fill(before.ifRev, before.puts, before.deletes))
			must(t, p.fill(c.ifRev, c.puts, c.deletes))
			must(t, fresh.fill(c.ifRev, c.puts, c.deletes))
			if got, want := encode(p), encode(fresh); got != want {
				t.Errorf("commit %d after commit %d is %s, want %s", j, i, got, want)
			}
		}
	}
}

// A proposal whose batch has not ended is not used again: etcd may still read it.
func TestFlyingProposalIsNotUsedAgain(t *testing.T) {
	q, sends := heldQueue(t, 64)
	gone, give := context.WithCancel(t.Context())
	flying := make(chan outcome, 1)
	go func() { flying <- q.do(gone, proposalOf(t, "", "a")) }()
	s := <-sends
	give()
	if o := <-flying; !o.flies {
		t.Errorf("given up on its way: %+v", o)
	}
	waiting := make(chan outcome, 1)
	go func() { waiting <- q.do(gone, proposalOf(t, "", "b")) }()
	if o := <-waiting; o.flies {
		t.Errorf("given up before it was sent: %+v", o)
	}
	s.answer <- nil
}

// TestBatchTogether: a batch whose conditions all hold is one transaction of etcd. After one
// that failed the next are not tried, for a while.
func TestBatchTogether(t *testing.T) {
	n := newNode(t)
	var reqs []*pb.TxnRequest
	send := n.queue.send
	n.queue.send = func(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
		reqs = append(reqs, r)
		return send(ctx, r)
	}
	run := func(want ...bool) (sent int) {
		t.Helper()
		reqs = nil
		var batch []*proposal
		for i, ok := range want {
			key := fmt.Sprint("k", i)
			_, rev, err := n.Get(t.Context(), key)
			must(t, err)
			if !ok {
				rev++
			}
			p := newProposal()
			must(t, p.fill(map[string]int64{key: rev}, map[string][]byte{key: []byte("x")}, nil))
			batch = append(batch, p)
		}
		n.queue.run(batch)
		for i, p := range batch {
			o := <-p.done
			_, rev, err := n.Get(t.Context(), fmt.Sprint("k", i))
			must(t, err)
			if o.err != nil || o.ok != want[i] || o.ok && o.rev != rev {
				t.Errorf("commit %d: %+v, want ok %v; the key is at revision %d", i, o, want[i], rev)
			}
		}
		return len(reqs)
	}
	if sent := run(true, true, true); sent != 1 || nested(reqs[0]) {
		t.Errorf("%d requests: %v", sent, reqs)
	}
	if sent := run(true, false, true); sent != 2 || nested(reqs[0]) || !nested(reqs[1]) {
		t.Errorf("with a conflict, %d requests: %v", sent, reqs)
	}
	for range apartAfter {
		if sent := run(true, true); sent != 1 || !nested(reqs[0]) {
			t.Errorf("soon after a conflict, %d requests: %v", sent, reqs)
		}
	}
	if sent := run(true, true); sent != 1 || nested(reqs[0]) {
		t.Errorf("long after a conflict, %d requests: %v", sent, reqs)
	}
}

// TestBatchIsSerial runs a batch on etcd in which later commits depend on nothing that
// earlier ones change, and compares with what they do one by one.
func TestBatchIsSerial(t *testing.T) {
	n := newNode(t)
	rev := put(t, n, "a", "1")
	var batch []*proposal
	add := func(ifRev map[string]int64, puts map[string][]byte, deletes ...string) {
		p := newProposal()
		must(t, p.fill(ifRev, puts, deletes))
		batch = append(batch, p)
	}
	one := []byte("1")
	add(map[string]int64{"a": rev, "b": 0}, map[string][]byte{"b": one})
	add(map[string]int64{"a": rev + 5}, map[string][]byte{"c": one}) // fails
	add(map[string]int64{"a": rev}, nil)                             // only a condition
	add(nil, nil, "a", "none")
	add(nil, nil)
	n.queue.run(batch)
	var got []string
	for _, p := range batch {
		o := <-p.done
		if o.err != nil || o.rev != rev+1 {
			t.Errorf("got %+v, want revision %d", o, rev+1)
		}
		got = append(got, fmt.Sprint(o.ok))
	}
	if want := []string{"true", "false", "true", "true", "true"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var keys []string
	if _, err := n.Scan(t.Context(), "", func(key string, _ []byte, _ int64) bool { keys = append(keys, key); return true }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(keys, []string{"b"}) {
		t.Errorf("the database holds %v, want b", keys)
	}
}
