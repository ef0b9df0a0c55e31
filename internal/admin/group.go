package admin

import (
	"context"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const activationLife = 10 * time.Minute

// Servers lists the servers of the group.
func (s *Service) Servers(ctx context.Context) (MemberList, error) {
	all, err := s.Group.Servers(ctx)
	return MemberList{list(all)}, err
}

// CreateActivation makes a code that admits one server.
func (s *Service) CreateActivation(ctx context.Context, by string, r ActivationRequest) (ActivationCode, error) {
	role, life := or(r.Role, mfa.RoleServer), activationLife
	if r.Seconds < 0 || r.Seconds > 86400 {
		return ActivationCode{}, invalid("an activation code lives for at most a day")
	}
	if r.Seconds > 0 {
		life = time.Duration(r.Seconds) * time.Second
	}
	code, expires, err := s.Group.CreateActivation(ctx, by, role, life)
	if err != nil {
		return ActivationCode{}, err
	}
	st, err := s.Node.Status(ctx)
	return ActivationCode{Code: &secret.Wire{Text: code}, Group: st.Group, Role: role, Expires: expires}, err
}

// ForgetServer takes a server out of the group for good.
func (s *Service) ForgetServer(ctx context.Context, by, name string) (Removed, error) {
	return Removed{name}, s.Group.Forget(ctx, by, name)
}

// LeaveGroup takes this server out of its group.
func (s *Service) LeaveGroup(ctx context.Context, by string, r LeaveRequest) (Removed, error) {
	return Removed{s.Server}, s.Group.Leave(ctx, by, r.Force)
}

// PromoteServer makes another server of the group the master, without loss.
func (s *Service) PromoteServer(ctx context.Context, by string, r PromotionRequest) (mfa.Promotion, error) {
	p, err := s.Group.Promote(ctx, by, r.To, r.DryRun)
	p.Steps, p.Warnings = list(p.Steps), list(p.Warnings)
	return p, err
}

// PromoteDisaster begins a new epoch on this server, whose master is lost.
func (s *Service) PromoteDisaster(ctx context.Context, by string, r DisasterRequest) (mfa.DisasterPromotion, error) {
	p, err := s.Group.PromoteDisaster(ctx, by, r.Confirm, r.Force, r.DryRun)
	p.Known, p.NotKnown, p.Destroyed, p.Awaits = list(p.Known), list(p.NotKnown), list(p.Destroyed), list(p.Awaits)
	return p, err
}

// ReleaseHold lets codes pass that a promotion holds back.
func (s *Service) ReleaseHold(ctx context.Context, by string) (Released, error) {
	awaited, err := s.Group.ReleaseHold(ctx, by)
	return Released{list(awaited)}, err
}
