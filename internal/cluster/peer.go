package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

// PeerPaths are the paths that PeerHandler serves: those that end in "/" with all below.
var PeerPaths = []string{"/raft", "/raft/", "/members", "/members/", "/version", "/leases", "/leases/internal", "/downgrade/enabled"}

const clusterHeader = "X-Etcd-Cluster-ID"

// PeerHandler serves the other members of the group under PeerPaths. Whoever mounts it has
// checked that the caller is a member: there is no check here, and a caller can write the
// database. It speaks HTTP/1.1 and has requests that last as long as the connection, so
// the HTTP server must have no read or write time-outs for them. Requests of another
// cluster, as those of a member that was left behind in an earlier epoch, are refused with
// status 412 and counted in Status.Foreign; after Close all are refused with 503.
func (n *Node) PeerHandler() http.Handler {
	peers := etcdhttp.NewPeerHandler(n.etcd.GetLogger(), n.srv)
	ours := n.srv.Cluster().ID().String()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.ctx.Err() != nil {
			http.Error(w, "the database is closed", http.StatusServiceUnavailable)
			return
		}
		if theirs := r.Header.Get(clusterHeader); theirs != "" && theirs != ours {
			n.foreign.Add(1)
			w.Header().Set(clusterHeader, ours)
			http.Error(w, "cluster "+ours+" is not yours", http.StatusPreconditionFailed)
			return
		}
		peers.ServeHTTP(w, r)
	})
}

// info returns t in etcd's terms.
func (t PeerTLS) info() transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: t.CertFile, KeyFile: t.KeyFile, TrustedCAFile: t.CAFile,
		ClientCertAuth: true, MinVersion: tls.VersionTLS13,
	}
}

// peerClient asks other members what etcd's own client does not offer.
type peerClient struct{ http *http.Client }

const peerTimeout = 2 * time.Second

// newPeerClient returns nil if o has no peers.
func newPeerClient(o Options) (*peerClient, error) {
	if !o.peered() {
		return nil, nil
	}
	conf, err := o.PeerTLS.info().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("certificates for the peer port: %w", err)
	}
	return &peerClient{http: &http.Client{
		Timeout:       peerTimeout,
		Transport:     &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 1, IdleConnTimeout: 10 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (c *peerClient) close() {
	if c != nil {
		c.http.CloseIdleConnections()
	}
}

// members returns the members of the cluster that the server at url believes in, and the
// id of that cluster.
func (c *peerClient) members(ctx context.Context, url string) (list []membership.Member, cluster string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/members", nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%s/members: status %s", url, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&list); err != nil {
		return nil, "", fmt.Errorf("%s/members: %w", url, err)
	}
	id, err := parseID(resp.Header.Get(clusterHeader))
	if err != nil || len(list) == 0 {
		return nil, "", fmt.Errorf("%s/members: no list of members: %w", url, mfa.ErrInvalid)
	}
	return list, clusterID(uint64(id)), nil
}
